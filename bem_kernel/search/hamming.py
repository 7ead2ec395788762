"""Distances of one query to many codes at once, as vector instructions.

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

SPAN = 256
"""Codes that `any_closer` compares at once."""

LINE = 32
"""Halves of codes that `closer_halves` compares at once: a cache line of 64 bytes."""


def _comparison(kind: Any, width: int) -> Any:
    """The intrinsic that compares `width` words at once and returns one bit for each."""
    word = ir.IntType(kind.bitwidth)
    words = ir.VectorType(word, width)
    size_bytes = kind.bitwidth >> 3

    def compare(typing: Any, codes: Any, start: Any, query: Any, limit: Any) -> Any:
        def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
            first = _element(context, builder, signature.args[0], arguments[0], arguments[1])
            loaded = builder.load(builder.bitcast(first, words.as_pointer()), align=size_bytes)
            differing = builder.xor(loaded, _splat(builder, arguments[2], words))
            count = f"llvm.ctpop.v{width}i{kind.bitwidth}"
            distances = _call(builder, count, ir.FunctionType(words, [words]), [differing])
            limits = _splat(builder, builder.trunc(arguments[3], word), words)
            closer = builder.icmp_unsigned("<", distances, limits)
            return builder.zext(builder.bitcast(closer, ir.IntType(width)), ir.IntType(64))

        return types.uint64(codes, types.int64, kind, types.int64), generate

    return intrinsic(compare)


def _any_closer(typing: Any, codes: Any, start: Any, query: Any, limit: Any) -> Any:
    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        word = ir.IntType(32)
        words = ir.VectorType(word, GROUP >> 2)
        wanted = _splat(builder, arguments[2], words)
        one, two = ir.FunctionType(words, [words]), ir.FunctionType(words, [words, words])
        least: list[Any] = []
        for offset in range(0, SPAN, words.count):
            index = builder.add(arguments[1], ir.Constant(ir.IntType(64), offset))
            first = _element(context, builder, signature.args[0], arguments[0], index)
            loaded = builder.load(builder.bitcast(first, words.as_pointer()), align=4)
            differing = [builder.xor(loaded, wanted)]
            least.append(_call(builder, f"llvm.ctpop.v{words.count}i32", one, differing))
        while len(least) > 1:
            pairs = zip(least[::2], least[1::2], strict=True)
            name = f"llvm.umin.v{words.count}i32"
            least = [_call(builder, name, two, list(pair)) for pair in pairs]
        limits = _splat(builder, builder.trunc(arguments[3], word), words)
        closer = builder.icmp_unsigned("<", least[0], limits)
        return builder.zext(builder.bitcast(closer, ir.IntType(words.count)), ir.IntType(64))

    return types.uint64(codes, types.int64, types.uint32, types.int64), generate


def _prefetch(typing: Any, array: Any, index: Any) -> Any:
    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        place = _element(context, builder, signature.args[0], arguments[0], arguments[1])
        address = builder.bitcast(place, ir.IntType(8).as_pointer())
        number = ir.IntType(32)
        kind = ir.FunctionType(ir.VoidType(), [address.type, number, number, number])
        read, keep, data = (ir.Constant(number, value) for value in (0, 3, 1))
        _call(builder, "llvm.prefetch.p0", kind, [address, read, keep, data])
        return context.get_dummy_value()

    return types.void(array, types.int64), generate


def _popcount(kind: Any) -> Any:
    """The intrinsic that counts the ones of one word, as int64."""

    def count(typing: Any, word: Any) -> Any:
        def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
            return builder.zext(builder.ctpop(arguments[0]), ir.IntType(64))

        return types.int64(kind), generate

    return intrinsic(count)


def _lowest_bit(typing: Any, mask: Any) -> Any:
    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        return builder.cttz(arguments[0], ir.Constant(ir.IntType(1), 1))

    return types.int64(types.uint64), generate


def _element(context: Any, builder: Any, kind: Any, array: Any, index: Any) -> Any:
    """Address of array[index], unchecked; the array is contiguous and has one axis."""
    return builder.gep(context.make_array(kind)(context, builder, array).data, [index])


def _call(builder: Any, name: str, kind: ir.FunctionType, arguments: list[Any]) -> Any:
    """Call one of LLVM's own functions."""
    declare: Any = cgutils.get_or_insert_function
    return builder.call(declare(builder.module, kind, name), arguments)


def _splat(builder: Any, value: Any, vector: ir.VectorType) -> Any:
    """The same value in every lane."""
    index = ir.IntType(32)
    nothing = ir.Constant(vector, ir.Undefined)
    one = builder.insert_element(nothing, value, ir.Constant(index, 0))
    zeros = ir.Constant(ir.VectorType(index, vector.count), [0] * vector.count)
    return builder.shuffle_vector(one, nothing, zeros)


closer_than: Any = _comparison(types.uint32, GROUP)
"""closer_than(codes, start, query, limit): which of codes[start : start + 64] are near, as uint64.

Bit j is set if codes[start + j] differs from `query` in fewer than `limit` bits (0 to 33). `codes`
is (n,) uint32 and contiguous; that start + 64 <= n is the caller's duty.
"""

any_closer: Any = intrinsic(_any_closer)
"""any_closer(codes, start, query, limit): not 0 if any of codes[start : start + 256] is near.

It keeps the least distances rather than comparing each, which is quicker where nothing is near.
"""

closer_halves: Any = _comparison(types.uint16, LINE)
"""closer_halves(halves, start, query, limit): `closer_than` for 32 words of uint16, a bit each."""

prefetch: Any = intrinsic(_prefetch)
"""prefetch(array, index): begin to load array[index] into the cache; any index is harmless."""

popcount32: Any = _popcount(types.uint32)
"""popcount32(word): number of ones of a uint32, as int64."""

popcount64: Any = _popcount(types.uint64)
"""popcount64(word): number of ones of a uint64, as int64."""

lowest_bit: Any = intrinsic(_lowest_bit)
"""lowest_bit(mask): position of the lowest one of a uint64 that is not 0, as int64."""


@kernel("uint32(uint32)")
def gray_code(word: Any) -> Any:
    """Gray code of one identifier, g(u) = u ^ (u >> 1)."""
    return np.uint32(word ^ (word >> np.uint32(1)))
