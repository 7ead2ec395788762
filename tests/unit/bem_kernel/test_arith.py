"""Word-level blocks against Python integers, on all inputs."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from bem_kernel.circuits import arith
from bem_kernel.circuits.circuit import Circuit
from bem_kernel.errors import CircuitError
from bem_kernel.forms.truth_table import truth_table


def numbers(circuit: Circuit) -> list[int]:
    """The outputs as one number for every input."""
    return [sum(bit << i for i, bit in enumerate(row)) for row in truth_table(circuit).tolist()]


def pairs(width: int) -> list[tuple[int, int]]:
    """(x, y) in the order of rows: x in the low bits."""
    size = 1 << width
    return [(row % size, row // size) for row in range(size * size)]


@pytest.mark.parametrize("width", [1, 2, 3, 4])
def test_one_number(width: int) -> None:
    size = 1 << width
    rows = range(size)
    assert numbers(arith.increment_saturating(width)) == [min(x + 1, size - 1) for x in rows]
    assert numbers(arith.decrement_saturating(width)) == [max(x - 1, 0) for x in rows]
    assert numbers(arith.one_hot(width)) == [1 << x for x in rows]
    assert numbers(arith.all_of(width)) == [int(x == size - 1) for x in rows]
    assert numbers(arith.any_of(width)) == [int(x > 0) for x in rows]
    assert numbers(arith.parity(width)) == [x.bit_count() & 1 for x in rows]
    for value in rows:
        assert numbers(arith.equal_constant(width, value)) == [int(x == value) for x in rows]
        assert numbers(arith.constant(width, value)) == [value]


BINARY: list[tuple[Callable[[int], Circuit], Callable[[int, int], int]]] = [
    (arith.add, lambda x, y: x + y),
    (arith.equal, lambda x, y: int(x == y)),
    (arith.less_than, lambda x, y: int(x < y)),
]


@pytest.mark.parametrize("width", [1, 2, 3, 4])
@pytest.mark.parametrize(("make", "means"), BINARY)
def test_two_numbers(
    width: int, make: Callable[[int], Circuit], means: Callable[[int, int], int]
) -> None:
    assert numbers(make(width)) == [means(x, y) for x, y in pairs(width)]


def test_multiplex() -> None:
    expected = [(row >> 3 if row & 1 else row >> 1) & 3 for row in range(32)]
    assert numbers(arith.multiplex(2)) == expected


@pytest.mark.parametrize("n_words", [1, 2, 3, 4])
def test_select_word(n_words: int) -> None:
    index_bits = (n_words - 1).bit_length()
    for row, value in enumerate(numbers(arith.select_word(n_words, 2))):
        index, words = row % (1 << index_bits), row >> index_bits
        assert value == (words >> 2 * index & 3 if index < n_words else 0)


def test_no_bits() -> None:
    assert numbers(arith.all_of(0)) == [1]
    assert numbers(arith.any_of(0)) == [0]
    assert numbers(arith.parity(0)) == [0]
    assert arith.increment_saturating(0).n_outputs == 0


def test_constants_must_fit() -> None:
    with pytest.raises(CircuitError, match="8 does not fit in 3 bits; use 0 to 7"):
        arith.equal_constant(3, 8)
    with pytest.raises(CircuitError, match="-1 does not fit"):
        arith.constant(3, -1)
