"""512-bit words in numba kernels: loads, gates and stores as LLVM instructions.

numba has no vector type, and its loop vectoriser refuses a loop whose rows it cannot prove apart.
These intrinsics write the vector code themselves: all operands of a vector are loaded before its
result is stored, so a row may be read and written by one gate. Where the processor has no 512-bit
registers, LLVM splits each vector into narrower ones.

A gate is its algebraic normal form with masks, c0 ^ (ca & a) ^ (cb & b) ^ (cab & a & b): no branch
to mispredict, and three ternary instructions on AVX-512.
"""

from __future__ import annotations

from typing import Any

from llvmlite import ir
from numba.core import types
from numba.core.cgutils import get_or_insert_function as _get_or_insert_function
from numba.extending import intrinsic

get_or_insert_function: Any = _get_or_insert_function

WORDS = 8
"""Words per vector."""
BLOCK_WORDS = 64
"""Words per block: as many vectors as hide the cost of decoding a gate."""

_I64 = ir.IntType(64)
_I1 = ir.IntType(1)
_VECTOR = ir.VectorType(_I64, WORDS)
_MASK = ir.VectorType(_I1, WORDS)
_ALIGN = 8  # bytes: rows start anywhere a word may


def _splat(builder: Any, scalar: Any) -> Any:
    """A vector with `scalar` in every word."""
    lowest = builder.insert_element(
        ir.Constant(_VECTOR, ir.Undefined), scalar, ir.Constant(ir.IntType(32), 0)
    )
    zeros = ir.Constant(ir.VectorType(ir.IntType(32), WORDS), [0] * WORDS)
    return builder.shuffle_vector(lowest, ir.Constant(_VECTOR, ir.Undefined), zeros)


def _combine(builder: Any, masks: list[Any], a: Any, b: Any) -> Any:
    """c0 ^ (cb & b) ^ (a & (ca ^ (cab & b))), the normal form with a factored out."""
    c0, ca, cb, cab = masks
    inner = builder.xor(ca, builder.and_(cab, b))
    outer = builder.xor(c0, builder.and_(cb, b))
    return builder.xor(outer, builder.and_(a, inner))


def _at(builder: Any, address: Any, vector: int) -> Any:
    """Pointer to the given vector of the row that starts at an address."""
    offset = builder.add(address, ir.Constant(_I64, vector * WORDS * 8))
    return builder.inttoptr(offset, _VECTOR.as_pointer())


def _gate(vectors: int) -> Any:
    """Code generator of one gate on this many vectors: four masks, then three row addresses."""

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        masks = [_splat(builder, mask) for mask in args[:4]]
        target, a, b = args[4:]
        for vector in range(vectors):
            left = builder.load(_at(builder, a, vector), align=_ALIGN)
            right = builder.load(_at(builder, b, vector), align=_ALIGN)
            result = _combine(builder, masks, left, right)
            builder.store(result, _at(builder, target, vector), align=_ALIGN)
        return context.get_dummy_value()

    return generate


def _masked_gate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
    """Code generator of one gate on the first words of a vector: as `_gate`, then their number."""
    masks = [_splat(builder, mask) for mask in args[:4]]
    target, a, b = (_at(builder, address, 0) for address in args[4:7])
    numbers = ir.Constant(_VECTOR, list(range(WORDS)))
    mask = builder.icmp_unsigned("<", numbers, _splat(builder, args[7]))
    align = ir.Constant(ir.IntType(32), _ALIGN)
    pointer, name = _VECTOR.as_pointer(), f"v{WORDS}i64.p0"
    kind = ir.FunctionType(_VECTOR, [pointer, align.type, _MASK, _VECTOR])
    load = get_or_insert_function(builder.module, kind, f"llvm.masked.load.{name}")
    kind = ir.FunctionType(ir.VoidType(), [_VECTOR, pointer, align.type, _MASK])
    store = get_or_insert_function(builder.module, kind, f"llvm.masked.store.{name}")
    zeros = ir.Constant(_VECTOR, [0] * WORDS)
    left, right = (builder.call(load, [row, align, mask, zeros]) for row in (a, b))
    builder.call(store, [_combine(builder, masks, left, right), target, align, mask])
    return context.get_dummy_value()


def _gate_block(
    typing: Any, c0: Any, ca: Any, cb: Any, cab: Any, target: Any, a: Any, b: Any
) -> tuple[Any, Any]:
    """One gate on BLOCK_WORDS words: masks, then the addresses of target and operand rows.

    All arguments are uint64, seven since a gate has four masks and three rows.
    """
    return types.void(*(types.uint64,) * 7), _gate(BLOCK_WORDS // WORDS)


def _gate_vector(
    typing: Any, c0: Any, ca: Any, cb: Any, cab: Any, target: Any, a: Any, b: Any
) -> tuple[Any, Any]:
    """As `_gate_block`, on one vector of WORDS words."""
    return types.void(*(types.uint64,) * 7), _gate(1)


def _gate_words(
    typing: Any, c0: Any, ca: Any, cb: Any, cab: Any, target: Any, a: Any, b: Any, count: Any
) -> tuple[Any, Any]:
    """As `_gate_block`, on the first `count` words of a vector; the others are not touched."""
    return types.void(*(types.uint64,) * 8), _masked_gate


gate_words: Any = intrinsic(_gate_words)
gate_block: Any = intrinsic(_gate_block)
gate_vector: Any = intrinsic(_gate_vector)


def _copy(kind: Any, count: int) -> Any:
    """Code generator that copies `count` values of a type between two addresses."""

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        target, source = (builder.inttoptr(address, kind.as_pointer()) for address in args)
        for i in range(count):
            index = [ir.Constant(_I64, i)]
            value = builder.load(builder.gep(source, index), align=_ALIGN)
            builder.store(value, builder.gep(target, index), align=_ALIGN)
        return context.get_dummy_value()

    return generate


def _copy_block(typing: Any, target: Any, source: Any) -> tuple[Any, Any]:
    """Copy BLOCK_WORDS words between two addresses."""
    return types.void(types.uint64, types.uint64), _copy(_VECTOR, BLOCK_WORDS // WORDS)


def _copy_vector(typing: Any, target: Any, source: Any) -> tuple[Any, Any]:
    """Copy WORDS words between two addresses."""
    return types.void(types.uint64, types.uint64), _copy(_VECTOR, 1)


def _copy_word(typing: Any, target: Any, source: Any) -> tuple[Any, Any]:
    """Copy one word between two addresses."""
    return types.void(types.uint64, types.uint64), _copy(_I64, 1)


copy_block: Any = intrinsic(_copy_block)
copy_vector: Any = intrinsic(_copy_vector)
copy_word: Any = intrinsic(_copy_word)
