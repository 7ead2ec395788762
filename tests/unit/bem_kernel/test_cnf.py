"""Formulas and proofs as arrays: what is accepted, refused, and kept through the bitset form."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bem_kernel.errors import CnfError, ProofError
from bem_kernel.logic.cnf import Cnf, cnf_from_clauses, from_bitsets, is_satisfied, to_bitsets
from bem_kernel.logic.proof import Proof, proof_from_steps

LITERALS = st.integers(-130, 130).filter(bool)
CLAUSES = st.lists(st.lists(LITERALS, max_size=6), max_size=12)


def row(*numbers: int) -> np.ndarray:
    return np.array(numbers, dtype=np.int32)


@given(CLAUSES)
def test_clauses_come_back(clauses: list[list[int]]) -> None:
    cnf = cnf_from_clauses(clauses)
    assert cnf.clauses() == clauses
    assert [cnf.clause(i) for i in range(len(cnf))] == clauses


@given(CLAUSES)
def test_bitsets_come_back_as_sets(clauses: list[list[int]]) -> None:
    cnf = cnf_from_clauses(clauses, 140)
    pos, neg = to_bitsets(cnf)
    assert pos.shape == neg.shape == (len(clauses), 3)
    back = from_bitsets(pos, neg, 140).clauses()
    assert [set(clause) for clause in back] == [set(clause) for clause in clauses]
    assert all(clause == sorted(clause, key=lambda x: (abs(x), x < 0)) for clause in back)


@given(CLAUSES, st.integers(0, 2**32))
def test_satisfied_means_every_clause_has_a_true_literal(
    clauses: list[list[int]], seed: int
) -> None:
    model = np.random.default_rng(seed).integers(0, 2, 130).astype(bool)
    expected = all(any(model[abs(x) - 1] == (x > 0) for x in clause) for clause in clauses)
    assert is_satisfied(cnf_from_clauses(clauses, 130), model) == expected


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((2, row(0, 1), row(3)), r"cnf: clause 0: literal 3; use 1 to 2 or their negations"),
        ((2, row(0, 1, 2), row(1, 0)), "cnf: clause 1: literal 0"),
        ((2, row(0, 2), row(1)), "offsets do not ascend"),
        ((2, row(1, 1), row(1)), "offsets do not ascend"),
        ((2, row(), row()), "offsets do not ascend"),
        ((-1, row(0), row()), "-1 variables"),
        ((2, row(0, 1).astype(np.int64), row(1)), "offsets are int64"),
        ((2, row(0, 1), row(1)[None]), r"literals are int32 of shape \(1, 1\)"),
    ],
)
def test_malformed_formulas_are_refused(arguments: tuple, message: str) -> None:
    with pytest.raises(CnfError, match=message):
        Cnf(*arguments)


def test_numbers_that_do_not_fit_are_refused() -> None:
    with pytest.raises(CnfError, match="variable 4294967297"):
        cnf_from_clauses([[1, 2**32 + 1]])
    with pytest.raises(CnfError, match=r"a model of shape \(1,\)"):
        is_satisfied(cnf_from_clauses([[2]]), np.zeros(1, dtype=bool))
    with pytest.raises(CnfError, match="bit 5 is set"):
        from_bitsets(np.full((1, 1), 32, np.uint64), np.zeros((1, 1), np.uint64), 5)
    with pytest.raises(ProofError, match="more than 32 bits"):
        proof_from_steps([(False, [2**31])])


def test_a_proof_keeps_its_steps() -> None:
    steps = [(False, [1, -2]), (True, [1, -2]), (False, [])]
    proof = proof_from_steps(steps)
    assert [proof.step(i) for i in range(len(proof))] == steps


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((row(0, 1), row(0), np.array([False])), "proof: step 0: literal 0"),
        ((row(0, 1), row(1), np.array([], dtype=bool)), "0 marks for 1 steps"),
        ((row(0, 1), row(1), row(0)), "deletes are int32"),
        ((row(0, 5), row(1), np.array([False])), "offsets do not ascend"),
    ],
)
def test_malformed_proofs_are_refused(arguments: tuple, message: str) -> None:
    with pytest.raises(ProofError, match=message):
        Proof(*arguments)
