"""Cardinalities, weighted sums and words: exactly the right assignments extend to a model."""

from __future__ import annotations

from itertools import product

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bem_kernel.circuits import arith
from bem_kernel.errors import CnfError
from bem_kernel.logic.cnf import cnf_from_clauses
from bem_kernel.logic.encodings import (
    Clauses,
    Counting,
    at_least,
    at_most,
    exactly,
    weighted_at_most,
    word_circuit,
)
from bem_kernel.sat.check import Satisfiable, check

LITERALS = (1, -2, 3, 4, -5)


def admitted(clauses: Clauses, n: int) -> list[bool]:
    """For each assignment of variables 1 to n, whether it extends to a model."""
    cnf = cnf_from_clauses(clauses.rows, max(clauses.top, n))
    return [
        isinstance(check(cnf, [v if on else -v for v, on in enumerate(row, 1)]), Satisfiable)
        for row in product([False, True], repeat=n)
    ]


def expected(literals: tuple[int, ...], weights: list[int], n: int) -> list[int]:
    """For each assignment, the weights of the literals that are true."""
    return [
        sum(w for x, w in zip(literals, weights, strict=True) if row[abs(x) - 1] == (x > 0))
        for row in product([False, True], repeat=n)
    ]


@pytest.mark.parametrize("counting", Counting)
@pytest.mark.parametrize("bound", range(-1, 7))
def test_cardinalities(counting: Counting, bound: int) -> None:
    counts = expected(LITERALS, [1] * 5, 5)
    if counting is Counting.PAIRS and bound in (2, 3, 4):
        with pytest.raises(CnfError, match=f"pairs for at most {bound}; use another counting"):
            at_most(LITERALS, bound, 5, counting)
        return
    assert admitted(at_most(LITERALS, bound, 5, counting), 5) == [c <= bound for c in counts]
    if counting is Counting.PAIRS:
        return
    assert admitted(at_least(LITERALS, bound, 5, counting), 5) == [c >= bound for c in counts]
    assert admitted(exactly(LITERALS, bound, 5, counting), 5) == [c == bound for c in counts]


def test_a_literal_twice_counts_twice() -> None:
    assert admitted(at_most([1, 1, 2], 1, 2), 2) == [True, True, False, False]


@given(st.lists(st.integers(-9, 9), min_size=4, max_size=4), st.integers(-20, 20))
def test_weighted_sums(weights: list[int], bound: int) -> None:
    literals = (1, -2, 3, -4)
    sums = expected(literals, weights, 4)
    assert admitted(weighted_at_most(literals, weights, bound, 4), 4) == [s <= bound for s in sums]


def test_a_sum_of_words() -> None:
    total = word_circuit(arith.add(2), [1, 2, 3, -4], 4)
    for row in product([False, True], repeat=4):
        assumed = [v if on else -v for v, on in enumerate(row, 1)]
        verdict = check(cnf_from_clauses(total.rows, total.top), assumed)
        assert isinstance(verdict, Satisfiable)
        bits = [bool(verdict.model[abs(x) - 1]) == (x > 0) for x in total.outputs]
        want = row[0] + 2 * row[1] + row[2] + 2 * (not row[3])
        assert sum(bit << i for i, bit in enumerate(bits)) == want


def test_what_is_refused() -> None:
    with pytest.raises(CnfError, match="literal 3; use 1 to 2 or their negations"):
        at_most([1, 3], 1, 2)
    with pytest.raises(CnfError, match="literal 0"):
        at_least([1, 0], 1, 2)
    with pytest.raises(CnfError, match="1 weights for 2 literals; give one for each"):
        weighted_at_most([1, 2], [1], 1, 2)
    with pytest.raises(CnfError, match="1 literals for 2 inputs"):
        word_circuit(arith.equal(1), [1], 1)
