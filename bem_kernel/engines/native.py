"""Calling machine code by its address from numba kernels.

The code is a function `void f(const uint64_t *in, uint64_t *out, int64_t in_pitch,
int64_t out_pitch, int64_t words)`, as `llvm.compile_circuit` makes; a table of experts can hold
addresses. Whoever calls an address keeps the `CompiledCircuit` that it belongs to.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from llvmlite import ir
from numba.core import types
from numba.extending import intrinsic

from bem_kernel.compiled import kernel

_WORD_BYTES = 8
_WORD_BYTES_LOG2 = 3
_I64 = ir.IntType(64)
_WORDS = _I64.as_pointer()


def _call_address(
    typing: Any, address: Any, source: Any, target: Any, in_pitch: Any, out_pitch: Any, words: Any
) -> tuple[Any, Any]:
    """Call the function at an address, with the addresses of its two arrays.

    The arguments are those of the function, after its address; address, source and target are
    uint64, pitches and words int64, in words.
    """

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        kind = ir.FunctionType(ir.VoidType(), [_WORDS, _WORDS, _I64, _I64, _I64])
        function = builder.inttoptr(args[0], kind.as_pointer())
        arrays = [builder.inttoptr(args[i], _WORDS) for i in (1, 2)]
        builder.call(function, [*arrays, *args[3:]])
        return context.get_dummy_value()

    unsigned, signed = types.uint64, types.int64
    return types.void(unsigned, unsigned, unsigned, signed, signed, signed), generate


call_address: Any = intrinsic(_call_address)


@kernel("int64(uint64, uint64[:, :], uint64[:, ::1])")
def call_planes(address, planes, results):  # type: ignore[no-untyped-def]
    """Run the code at an address on whole arrays, which do not overlap.

    Args:
        address: of a function as `llvm.compile_circuit` makes.
        planes: (n_inputs, words) uint64; the words of a row lie together, rows anywhere.
        results: (n_outputs, words) uint64, overwritten.

    Returns:
        1, or 0 without doing anything where the words of a row of `planes` do not lie together.
    """
    words = planes.shape[1]
    if words > 1 and planes.shape[0] > 0 and planes.strides[1] != _WORD_BYTES:
        return 0
    call_address(
        address,
        np.uint64(planes.ctypes.data),
        np.uint64(results.ctypes.data),
        planes.strides[0] >> _WORD_BYTES_LOG2,
        words,
        words,
    )
    return 1
