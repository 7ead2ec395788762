"""Distances of one query to 64 codes at once, as vector instructions.

The comparison is written in LLVM's vector types, which fit every machine: with AVX-512 and
VPOPCNTDQ the 64 distances take four loads, XORs, counts and comparisons; a narrower machine gets
the same result from more instructions.

Source: BEM core spec 1.3, 3.3.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

from bem_kernel.compiled import kernel

GROUP = 64
"""Codes that `closer_than` compares at once."""


def _closer_than(typing: Any, codes: Any, start: Any, query: Any, limit: Any) -> Any:
    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        array = context.make_array(signature.args[0])(context, builder, arguments[0])
        words = ir.VectorType(ir.IntType(32), GROUP)
        first = builder.gep(array.data, [arguments[1]])
        word = builder.load(builder.bitcast(first, words.as_pointer()), align=4)
        differing = builder.xor(word, _splat(builder, arguments[2], words))
        kind, name = ir.FunctionType(words, [words]), f"llvm.ctpop.v{GROUP}i32"
        count: Any = cgutils.get_or_insert_function
        distances = builder.call(count(builder.module, kind, name), [differing])
        limits = _splat(builder, builder.trunc(arguments[3], ir.IntType(32)), words)
        return builder.bitcast(builder.icmp_unsigned("<", distances, limits), ir.IntType(GROUP))

    return types.uint64(codes, types.int64, types.uint32, types.int64), generate


def _popcount32(typing: Any, word: Any) -> Any:
    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        return builder.zext(builder.ctpop(arguments[0]), ir.IntType(64))

    return types.int64(types.uint32), generate


def _lowest_bit(typing: Any, mask: Any) -> Any:
    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        return builder.cttz(arguments[0], ir.Constant(ir.IntType(1), 1))

    return types.int64(types.uint64), generate


def _splat(builder: Any, value: Any, vector: ir.VectorType) -> Any:
    """The same value in every lane."""
    index = ir.IntType(32)
    nothing = ir.Constant(vector, ir.Undefined)
    one = builder.insert_element(nothing, value, ir.Constant(index, 0))
    zeros = ir.Constant(ir.VectorType(index, vector.count), [0] * vector.count)
    return builder.shuffle_vector(one, nothing, zeros)


closer_than: Any = intrinsic(_closer_than)
"""closer_than(codes, start, query, limit): which of codes[start : start + 64] are near, as uint64.

Bit j is set if codes[start + j] differs from `query` in fewer than `limit` bits (0 to 33). `codes`
is (n,) uint32 and contiguous; that start + 64 <= n is the caller's duty.
"""

popcount32: Any = intrinsic(_popcount32)
"""popcount32(word): number of ones of a uint32, as int64."""

lowest_bit: Any = intrinsic(_lowest_bit)
"""lowest_bit(mask): position of the lowest one of a uint64 that is not 0, as int64."""


@kernel("uint32(uint32)")
def gray_code(word: Any) -> Any:
    """Gray code of one identifier, g(u) = u ^ (u >> 1)."""
    return np.uint32(word ^ (word >> np.uint32(1)))
