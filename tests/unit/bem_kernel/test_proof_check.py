"""PROOF_CHECK on proofs made by hand: what is accepted, what is refused, and what is said."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest

from bem_kernel.errors import CnfError, ProofError
from bem_kernel.logic.cnf import cnf_from_clauses
from bem_kernel.logic.proof import proof_from_steps
from bem_kernel.proofs.check import FORWARD_UP_TO, Accepted, Mode, Outcome, Rejected, check_proof
from bem_kernel.proofs.resolution import ResolutionProof, check_resolution, resolution_proof

ALL_OF_TWO = [[1, 2], [1, -2], [-1, 2], [-1, -2]]
BOTH = pytest.mark.parametrize("mode", Mode)


def outcome_of(
    clauses: list[list[int]], steps: list[tuple[bool, list[int]]], mode: Mode | None = None
) -> Outcome:
    return check_proof(cnf_from_clauses(clauses), proof_from_steps(steps), mode=mode)


def refused(outcome: Outcome, step: int, reason: str) -> bool:
    assert isinstance(outcome, Rejected)
    assert outcome.reason == reason
    return outcome.step == step


@BOTH
def test_a_refutation(mode: Mode) -> None:
    outcome = outcome_of([*ALL_OF_TWO, [1, 2, 3]], [(False, [1]), (False, [])], mode)
    assert isinstance(outcome, Accepted)
    assert (outcome.checked, outcome.rats) == (1, 0)
    if mode is Mode.BACKWARD:
        assert outcome.core is not None
        assert outcome.core.tolist() == [0, 1, 2, 3]
        assert outcome.steps is not None
        assert outcome.steps.tolist() == [0]
        assert outcome.assumptions == ()
    else:
        assert (outcome.core, outcome.steps, outcome.assumptions) == (None, None, None)


@BOTH
@pytest.mark.parametrize("clauses", [[[]], [[1], [-1]], [[1], [-1, 2], [-2]], [[1, 2], []]])
def test_what_unit_propagation_refutes_needs_no_proof(clauses: list[list[int]], mode: Mode) -> None:
    assert isinstance(outcome_of(clauses, [], mode), Accepted)
    # What follows the conflict is not looked at.
    assert isinstance(outcome_of(clauses, [(False, [5]), (False, [])], mode), Accepted)


@BOTH
def test_an_empty_formula_is_not_refuted(mode: Mode) -> None:
    end = "unit propagation finds no conflict after the last step"
    assert refused(outcome_of([], [], mode), 0, end)
    assert refused(outcome_of([], [(True, [1, 2]), (False, [1])], mode), 2, end)


@BOTH
def test_a_step_that_does_not_follow(mode: Mode) -> None:
    clauses = [[1, 2], [1, -2], [-1, 3], [-1, -3, 4], [-4, 5], [-5, -4, 6]]
    steps = [(False, [1]), (False, [-6]), (False, [])]
    assert refused(outcome_of(clauses, steps, mode), 1, "[-6] is neither RUP nor RAT on -6")


@BOTH
def test_the_empty_clause_does_not_follow(mode: Mode) -> None:
    outcome = outcome_of(ALL_OF_TWO, [(False, []), (False, [1])], mode)
    assert refused(outcome, 0, "the empty clause does not follow by unit propagation")


@BOTH
def test_a_clause_whose_literals_are_all_false_does_not_follow(mode: Mode) -> None:
    outcome = outcome_of([[1], [2], [3, 4]], [(False, [-1, -2])], mode)
    assert refused(outcome, 0, "[-1, -2] is neither RUP nor RAT on -1")


def test_a_false_step_that_nothing_needs() -> None:
    clauses = [*ALL_OF_TWO, [3, 4, 5], [-3, 4], [3, -4]]
    steps = [(False, [-4, 5]), (False, [1]), (False, [])]
    assert refused(
        outcome_of(clauses, steps, Mode.FORWARD), 0, "[-4, 5] is neither RUP nor RAT on -4"
    )
    backward = outcome_of(clauses, steps, Mode.BACKWARD)
    assert isinstance(backward, Accepted)
    assert backward.steps is not None
    assert backward.steps.tolist() == [1]


def test_short_proofs_are_checked_forward_and_long_ones_backward() -> None:
    false = (False, [-4, 5])
    clauses = [*ALL_OF_TWO, [3, 4, 5], [-3, 4], [3, -4]]
    filling = [(False, [1, 2])] * (FORWARD_UP_TO - 2)
    assert isinstance(outcome_of(clauses, [*filling, false, (False, [1])]), Rejected)
    assert isinstance(
        outcome_of(clauses, [*filling, (False, [1, 2]), false, (False, [1])]), Accepted
    )


@BOTH
def test_what_is_deleted_is_gone(mode: Mode) -> None:
    deleted = [(True, [2, 1]), (False, [1]), (False, [])]
    assert isinstance(outcome_of(ALL_OF_TWO, deleted, mode), Rejected)
    # One of two copies may go.
    assert isinstance(outcome_of([*ALL_OF_TWO, [2, 1]], deleted, mode), Accepted)
    twice = [(True, [1, 2]), *deleted]
    assert isinstance(outcome_of([*ALL_OF_TWO, [2, 1]], twice, mode), Rejected)
    # It may be added again where it follows, repeated literals count once.
    clauses = [*ALL_OF_TWO, [1, 2, 3], [1, 2, -3]]
    again = [(True, [1, 1, 2]), (False, [2, 1]), (False, [1])]
    assert isinstance(outcome_of(clauses, again, mode), Accepted)


@BOTH
def test_deletions_without_effect(mode: Mode) -> None:
    clauses = [[1], [-1, 2], [-2, 3, 4], [-2, 3, -4], [-3, 5, 6], [-3, 5, -6], [-3, -5]]
    for deleted in ([1], [2, -1], [7, 8], [-2, 3], [9]):
        steps = [(True, deleted), (False, [3]), (False, [])]
        outcome = outcome_of(clauses, steps, mode)
        assert isinstance(outcome, Accepted), deleted
    # A learnt unit stays, and so does the clause that made it so.
    steps = [(False, [3]), (True, [3]), (False, [5]), (True, [5])]
    assert isinstance(outcome_of(clauses, steps, mode), Accepted)


@BOTH
def test_new_variables_are_defined_by_rat(mode: Mode) -> None:
    """x3 := x1 and x2; a pivot that is not new, or a definition twice, is refused."""
    define = [(False, [3, -1, -2]), (False, [-3, 1]), (False, [-3, 2])]
    use = [(False, [-3]), (False, [-1])]
    clauses = [[1, 2], [-1, -2], [1, -2], [-1, 2]]
    outcome = outcome_of(clauses, [*define, *use], mode)
    assert isinstance(outcome, Accepted)
    satisfiable = [[1, 4], [-1, 2]]
    turned = [(False, [-1, -2, 3]), *define[1:]]
    assert refused(
        outcome_of(satisfiable, turned, Mode.FORWARD), 0, "[-1, -2, 3] is neither RUP nor RAT on -1"
    )
    both_ways = [*define, (False, [-3, -1])]
    assert refused(
        outcome_of(satisfiable, both_ways, Mode.FORWARD), 3, "[-3, -1] is neither RUP nor RAT on -3"
    )
    end = outcome_of(satisfiable, define, Mode.FORWARD)
    assert refused(end, 3, "unit propagation finds no conflict after the last step")


@BOTH
def test_a_false_pivot_is_none(mode: Mode) -> None:
    """-1 is a unit clause; the clause [1, 5] would be RAT on 5, but its pivot is 1."""
    clauses = [[-1], [2, 3], [2, -3], [-2, 3, 5], [-2, -3]]
    assert isinstance(outcome_of(clauses, [(False, [1, 5]), (False, [2])], Mode.FORWARD), Rejected)
    assert isinstance(
        outcome_of([*clauses, [-2, -5, 3]], [(False, [2]), (False, [3])], mode), Accepted
    )


@BOTH
def test_tautologies_and_repeated_literals(mode: Mode) -> None:
    clauses = [[1, -1, 2], [1, 1, 2], [1, -2, -2], [-1, 2], [-1, -2, -1]]
    steps = [(False, [3, -3]), (True, [3, -3]), (False, [1, 1])]
    assert isinstance(outcome_of(clauses, steps, mode), Accepted)
    assert isinstance(outcome_of([[1, -1], [2, -2]], [(False, [1, -1])], mode), Rejected)


def test_assumptions_are_unit_clauses() -> None:
    cnf = cnf_from_clauses([[-1, -2, 3], [-1, -3], [4, 5]])
    proof = proof_from_steps([(False, [])])
    outcome = check_proof(cnf, proof, assumptions=[5, 1, 2], mode=Mode.BACKWARD)
    assert isinstance(outcome, Accepted)
    assert outcome.assumptions == (1, 2)
    assert outcome.core is not None
    assert outcome.core.tolist() == [0, 1]
    assert isinstance(check_proof(cnf, proof, assumptions=[1]), Rejected)
    for wrong in (0, 6, -6):
        with pytest.raises(CnfError, match=f"proof check: assumption {wrong}; use 1 to 5"):
            check_proof(cnf, proof, assumptions=[wrong])


@BOTH
def test_far_variables_take_no_room(mode: Mode) -> None:
    far = (1 << 31) - 1
    steps = [(False, [far, -1]), (False, [-far, 1]), (False, [1]), (True, [far, -1])]
    assert isinstance(outcome_of(ALL_OF_TWO, steps, mode), Accepted)
    assert isinstance(outcome_of(ALL_OF_TWO, [(False, [-far]), (False, [])], mode), Rejected)


def hints(*rows: list[int]) -> tuple[np.ndarray, np.ndarray]:
    offsets = np.cumsum([0, *map(len, rows)]).astype(np.int64)
    return offsets, np.array([hint for row in rows for hint in row], dtype=np.int64)


def test_resolution_by_hand() -> None:
    cnf = cnf_from_clauses(ALL_OF_TWO)
    clauses = cnf_from_clauses([[1], [-1], []])
    good = ResolutionProof(clauses, *hints([0, 1], [2, 3], [4, 5]))
    assert check_resolution(cnf, good) is None
    assert check_resolution(cnf, ResolutionProof(cnf_from_clauses([[]]), *hints([0, 1, 2, 3]))) == (
        Rejected(0, "[] does not follow by its resolutions")
    )
    for rows, step, literals in (
        (([0, 2], [2, 3], [4, 5]), 0, [1]),  # resolves to [2]
        (([0, 1], [1, 2], [4, 5]), 1, [-1]),  # two clashes
        (([0, 1], [0, 3], [4, 5]), 1, [-1]),
        (([0, 1], [2, 3], [6]), 2, []),  # itself
        (([0, 1], [2, 3], [7]), 2, []),
        (([0, 1], [2, 3], [4, -1]), 2, []),
        (([0, 1], [2, 3], [4, 4]), 2, []),  # no clash
        (([0, 1], [2, 3], []), 2, []),
        (([0, 1], [2, 3], [0, 1]), 2, []),  # more than is claimed
    ):
        outcome = check_resolution(cnf, ResolutionProof(clauses, *hints(*rows)))
        assert outcome == Rejected(step, f"{literals} does not follow by its resolutions"), rows


def test_a_tautology_is_not_resolved_away() -> None:
    """From [1, -1] and [-1] follows [-1]; dropping both signs of 1 would refute anything."""
    cnf = cnf_from_clauses([[1, -1], [-1]])
    for order in ([0, 1], [1, 0]):
        proof = ResolutionProof(cnf_from_clauses([[]], 1), *hints(order))
        assert isinstance(check_resolution(cnf, proof), Rejected)
    claimed = ResolutionProof(cnf_from_clauses([[2, -2], []]), *hints([], []))
    outcome = check_resolution(cnf, claimed)
    assert outcome == Rejected(1, "[] does not follow by its resolutions")


def test_a_resolution_proof_ends_in_the_empty_clause() -> None:
    cnf = cnf_from_clauses(ALL_OF_TWO)
    for clauses in (cnf_from_clauses([]), cnf_from_clauses([[1]])):
        proof = ResolutionProof(clauses, *hints(*[[0, 1]] * len(clauses)))
        outcome = check_resolution(cnf, proof)
        assert outcome == Rejected(len(clauses), "the last clause is not empty")


def test_resolution_with_assumptions_and_across_words() -> None:
    clauses = [[-1, 70], [-70, 2, 130], [-130, -2], [-2, 130], [2, -130]]
    cnf = cnf_from_clauses(clauses)
    proof = proof_from_steps([(False, [2]), (False, [])])
    result = resolution_proof(cnf, proof, assumptions=[1])
    assert isinstance(result, ResolutionProof)
    assert check_resolution(cnf, result, assumptions=[1]) is None
    assert isinstance(check_resolution(cnf, result, assumptions=[-1]), Rejected)


def test_a_long_chain_of_reasons_is_one_resolution() -> None:
    """More hints than there is room for at first."""
    length = 500
    cnf = cnf_from_clauses([[1], *([-i, i + 1] for i in range(1, length)), [-length]])
    result = resolution_proof(cnf, proof_from_steps([]))
    assert isinstance(result, ResolutionProof)
    assert sorted(result.hints.tolist()) == list(range(length + 1))
    assert check_resolution(cnf, result) is None


def test_false_proofs_have_no_resolution() -> None:
    cnf = cnf_from_clauses([[1, 2, 4], [-1, 2], [1, -2], [-1, -2], [-4, 1, 5], [-4, 1, -5]])
    outcome = resolution_proof(cnf, proof_from_steps([(False, [])]))
    assert outcome == Rejected(0, "the empty clause does not follow by unit propagation")


def test_malformed_resolution_proofs_are_refused() -> None:
    clauses = cnf_from_clauses([[]])
    offsets, numbers = hints([0, 1])
    with pytest.raises(ProofError, match="hints are int32 of shape .2,.; give a row of int64"):
        ResolutionProof(clauses, offsets, numbers.astype(np.int32))
    for wrong in ([0, 1], [1, 2], [0, 1, 2], [0]):
        with pytest.raises(ProofError, match="offsets do not ascend from 0"):
            ResolutionProof(clauses, np.array(wrong, dtype=np.int64), numbers)


def test_bitsets_of_far_variables_are_refused() -> None:
    cnf = cnf_from_clauses([*ALL_OF_TWO] * 20, 1 << 28)
    proof = ResolutionProof(cnf_from_clauses([[1], [-1], []]), *hints([0, 1], [2, 3], [4, 5]))
    with pytest.raises(ProofError, match="bitsets of 348127315 words; use at most 67108864"):
        check_resolution(cnf, proof)


def test_the_checker_never_loads_a_solver() -> None:
    code = (
        "import sys, bem_kernel.proofs.check, bem_kernel.proofs.resolution\n"
        "print([m for m in sys.modules if m.startswith(('pysat', 'bem_kernel.sat'))])"
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert run.stdout.strip() == "[]"
