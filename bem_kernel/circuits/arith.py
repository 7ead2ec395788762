"""Word-level building blocks as circuits: counters, comparators, multiplexers, decoders.

Numbers are little endian: bit i of a number is input i of its group. Each function returns a
whole circuit; `>>`, `|` and `CircuitBuilder.embed` put them together.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from bem_kernel.circuits.builder import CircuitBuilder
from bem_kernel.circuits.circuit import Circuit
from bem_kernel.errors import CircuitError


def increment_saturating(width: int) -> Circuit:
    """Map x to min(x + 1, 2**width - 1); `width` inputs and outputs."""
    builder = CircuitBuilder(width)
    full = _all(builder, range(width))
    carry = builder.not_(full)
    outputs = []
    for bit in range(width):
        outputs.append(builder.xor(bit, carry))
        carry = builder.and_(bit, carry)
    return builder.build(outputs)


def decrement_saturating(width: int) -> Circuit:
    """Map x to max(x - 1, 0); `width` inputs and outputs."""
    builder = CircuitBuilder(width)
    borrow = _any(builder, range(width))
    outputs = []
    for bit in range(width):
        outputs.append(builder.xor(bit, borrow))
        borrow = builder.and_(builder.not_(bit), borrow)
    return builder.build(outputs)


def add(width: int) -> Circuit:
    """Map (x, y) to x + y; 2 * `width` inputs, `width` + 1 outputs, the last is the carry."""
    builder = CircuitBuilder(2 * width)
    carry = builder.const(False)
    outputs = []
    for bit in range(width):
        a, b = bit, width + bit
        either = builder.xor(a, b)
        outputs.append(builder.xor(either, carry))
        carry = builder.or_(builder.and_(a, b), builder.and_(either, carry))
    return builder.build([*outputs, carry])


def equal(width: int) -> Circuit:
    """Map (x, y) to x == y; 2 * `width` inputs, one output."""
    builder = CircuitBuilder(2 * width)
    same = [builder.not_(builder.xor(i, width + i)) for i in range(width)]
    return builder.build([_all(builder, same)])


def equal_constant(width: int, value: int) -> Circuit:
    """Map x to x == `value`; `width` inputs, one output.

    Raises:
        CircuitError: `value` does not fit in `width` bits.
    """
    _check_fits("arith.equal_constant", value, width)
    builder = CircuitBuilder(width)
    return builder.build([_match(builder, range(width), value)])


def less_than(width: int) -> Circuit:
    """Map (x, y) to x < y, unsigned; 2 * `width` inputs, one output."""
    builder = CircuitBuilder(2 * width)
    less = builder.const(False)
    for i in range(width):  # from the lowest bit up: the highest difference decides
        differs = builder.xor(i, width + i)
        less = builder.mux(differs, less, width + i)
    return builder.build([less])


def multiplex(width: int) -> Circuit:
    """Map (select, x, y) to y if select else x; 1 + 2 * `width` inputs, `width` outputs."""
    builder = CircuitBuilder(1 + 2 * width)
    return builder.build([builder.mux(0, 1 + i, 1 + width + i) for i in range(width)])


def select_word(n_words: int, width: int) -> Circuit:
    """Map (index, word_0, …, word_{n-1}) to word_index; zero if index is n or more.

    Inputs: (n_words - 1).bit_length() index bits, then n_words * `width` bits. `width` outputs.
    """
    index_bits = (n_words - 1).bit_length()
    builder = CircuitBuilder(index_bits + n_words * width)
    chosen = [_match(builder, range(index_bits), value) for value in range(n_words)]
    outputs = []
    for bit in range(width):
        words = [index_bits + value * width + bit for value in range(n_words)]
        gated = [builder.and_(c, w) for c, w in zip(chosen, words, strict=True)]
        outputs.append(_any(builder, gated))
    return builder.build(outputs)


def one_hot(width: int) -> Circuit:
    """Map x to the 2**`width` bits of which bit x is 1."""
    builder = CircuitBuilder(width)
    return builder.build([_match(builder, range(width), v) for v in range(1 << width)])


def all_of(width: int) -> Circuit:
    """AND of `width` inputs, 1 for none."""
    builder = CircuitBuilder(width)
    return builder.build([_all(builder, range(width))])


def any_of(width: int) -> Circuit:
    """OR of `width` inputs, 0 for none."""
    builder = CircuitBuilder(width)
    return builder.build([_any(builder, range(width))])


def parity(width: int) -> Circuit:
    """XOR of `width` inputs, 0 for none."""
    builder = CircuitBuilder(width)
    return builder.build([_tree(builder.xor, list(range(width)), builder.const(False))])


def constant(width: int, value: int) -> Circuit:
    """Give `value` in `width` bits; no inputs.

    Raises:
        CircuitError: `value` does not fit in `width` bits.
    """
    _check_fits("arith.constant", value, width)
    builder = CircuitBuilder(0)
    return builder.build([builder.const(bool(value >> i & 1)) for i in range(width)])


def _check_fits(where: str, value: int, width: int) -> None:
    if not 0 <= value < 1 << width:
        raise CircuitError(
            f"{value} does not fit in {width} bits",
            where=where,
            fix=f"use 0 to {(1 << width) - 1}",
        )


def _match(builder: CircuitBuilder, bits: Sequence[int], value: int) -> int:
    literals = [b if value >> i & 1 else builder.not_(b) for i, b in enumerate(bits)]
    return _all(builder, literals)


def _all(builder: CircuitBuilder, slots: Sequence[int]) -> int:
    return _tree(builder.and_, list(slots), builder.const(True))


def _any(builder: CircuitBuilder, slots: Sequence[int]) -> int:
    return _tree(builder.or_, list(slots), builder.const(False))


def _tree(gate: Callable[[int, int], int], slots: list[int], empty: int) -> int:
    """Combine `slots` pairwise, so that the depth is logarithmic."""
    while len(slots) > 1:
        pairs = [gate(a, b) for a, b in zip(slots[::2], slots[1::2], strict=False)]
        slots = pairs + slots[len(pairs) * 2 :]
    return slots[0] if slots else empty
