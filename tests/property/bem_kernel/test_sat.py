"""SAT_CHECK against python-sat: verdicts, models, failed assumptions, proofs, growing formulas."""

from __future__ import annotations

from random import Random

import numpy as np
import pytest
from pysat.solvers import Solver as External

from bem_kernel.errors import CnfError
from bem_kernel.logic.cnf import cnf_from_clauses, is_satisfied
from bem_kernel.logic.drat_text import parse_drat, write_drat
from bem_kernel.logic.proof import Proof
from bem_kernel.sat.check import Satisfiable, Solver, Unknown, Unsatisfiable, Verdict, check

Clauses = list[list[int]]


def random_formula(rng: Random) -> tuple[int, Clauses]:
    """Small and odd: empty clauses, units, repeated literals, tautologies, unused variables."""
    n = rng.randint(1, rng.choice((4, 12, 30)))
    clauses = []
    for _ in range(rng.randint(0, int(n * rng.choice((2, 4.3, 7))))):
        size = rng.choice((0, 1, 2, 3, 4, 6)) if rng.random() < 0.15 else 3
        clauses.append([rng.randint(1, n) * rng.choice((1, -1)) for _ in range(size)])
    return n, clauses


def random_assumptions(rng: Random, n: int) -> list[int]:
    return [rng.randint(1, n) * rng.choice((1, -1)) for _ in range(rng.choice((0, 0, 1, 3, 6)))]


def expected(clauses: Clauses, assumptions: list[int]) -> bool:
    if not all(clauses):
        return False
    with External("glucose4", bootstrap_with=clauses) as solver:
        return solver.solve(assumptions=assumptions)


def follows(clauses: list[frozenset[int]]) -> bool:
    """Whether unit propagation refutes the clauses."""
    true: set[int] = set()
    while True:
        units = set()
        for clause in clauses:
            if true & clause:
                continue
            rest = [x for x in clause if -x not in true]
            if not rest:
                return True
            if len(rest) == 1:
                units.add(rest[0])
        if not units:
            return False
        true |= units
        if any(-x in true for x in true):
            return True


def refutes(clauses: Clauses, proof: Proof) -> bool:
    """A plain RUP checker; deletions of unit clauses are passed over, as DRAT-trim does."""
    known = [frozenset(clause) for clause in clauses]
    for index in range(len(proof)):
        if follows(known):
            return True
        deletes, literals = proof.step(index)
        clause = frozenset(literals)
        if deletes:
            if len(clause) > 1:
                known.remove(clause)
        elif follows([*known, *(frozenset([-x]) for x in clause)]):
            known.append(clause)
        else:
            return False
    return follows(known)


def agree(verdict: Verdict, n: int, clauses: Clauses, assumptions: list[int]) -> None:
    if expected(clauses, assumptions):
        assert isinstance(verdict, Satisfiable)
        assert is_satisfied(cnf_from_clauses(clauses, n), verdict.model)
        assert all(verdict.model[abs(x) - 1] == (x > 0) for x in assumptions)
    else:
        assert isinstance(verdict, Unsatisfiable)
        assert set(verdict.failed) <= set(assumptions)
        assert verdict.proof.step(len(verdict.proof) - 1) == (False, [])
        assert refutes([*clauses, *([x] for x in verdict.failed)], verdict.proof)


@pytest.mark.parametrize("seed", range(8))
def test_verdicts_models_and_proofs(seed: int) -> None:
    rng = Random(seed)
    for _ in range(100):
        n, clauses = random_formula(rng)
        assumptions = random_assumptions(rng, n)
        agree(check(cnf_from_clauses(clauses, n), assumptions), n, clauses, assumptions)


def test_the_large_solver_agrees() -> None:
    rng = Random(100)
    for _ in range(60):
        n, clauses = random_formula(rng)
        assumptions = random_assumptions(rng, n)
        verdict = check(cnf_from_clauses(clauses, n), assumptions, budget=0)
        assert not isinstance(verdict, Unknown)
        assert verdict.solver == "cadical195"
        agree(verdict, n, clauses, assumptions)


def test_a_growing_formula_keeps_what_it_learnt() -> None:
    rng = Random(7)
    for _ in range(150):
        n, clauses = random_formula(rng)
        solver, known = Solver(n), []
        while True:
            part = rng.randint(0, len(clauses) - len(known))
            added = clauses[len(known) : len(known) + part]
            known += added
            solver.add(cnf_from_clauses(added, n))
            assumptions = random_assumptions(rng, n)
            agree(solver.solve(assumptions), n, known, assumptions)
            if len(known) == len(clauses) or rng.random() < 0.2:
                break


def hard(n: int, seed: int) -> Clauses:
    rng = Random(seed)
    return [
        [v * rng.choice((1, -1)) for v in rng.sample(range(1, n + 1), 3)]
        for _ in range(round(4.4 * n))
    ]


def test_long_searches_reduce_grow_and_stay_right() -> None:
    """Thousands of conflicts: clauses deleted, arrays grown, the search stopped and resumed."""
    for seed in range(2):
        clauses = hard(200, seed)
        cnf = cnf_from_clauses(clauses, 200)
        solver = Solver(200)
        solver.add(cnf)
        rounds = 1
        while isinstance(verdict := solver.solve(budget=700), Unknown):
            assert verdict.conflicts == 700
            rounds += 1
        assert rounds > 1
        assert isinstance(verdict, Satisfiable) == expected(clauses, [])
        whole = check(cnf, budget=10**6, hand_over=False)
        assert isinstance(whole, type(verdict))
        if isinstance(whole, Unsatisfiable):
            assert whole.proof.deletes.any()


def test_the_budget_is_kept_and_handed_over() -> None:
    clauses = hard(120, 3)
    cnf = cnf_from_clauses(clauses, 120)
    assert check(cnf, budget=10, hand_over=False) == Unknown(10)
    handed = check(cnf, budget=10)
    assert not isinstance(handed, Unknown)
    assert handed.solver == "cadical195"


@pytest.mark.parametrize("assumption", [0, 4, -4])
def test_assumptions_beyond_the_formula_are_refused(assumption: int) -> None:
    cnf = cnf_from_clauses([[1, 2, 3]])
    with pytest.raises(CnfError, match=f"assumption {assumption}; use 1 to 3"):
        check(cnf, [1, assumption])
    with pytest.raises(CnfError, match=f"assumption {assumption}"):
        Solver(3).solve([assumption])


def test_sizes_are_refused() -> None:
    with pytest.raises(CnfError, match="5001 variables; use at most 5000"):
        Solver(5001)
    with pytest.raises(CnfError, match="4 variables; use the solver's 3"):
        Solver(3).add(cnf_from_clauses([[4]]))


def test_a_wrong_model_is_never_returned(monkeypatch: pytest.MonkeyPatch) -> None:
    cnf = cnf_from_clauses([[1, 2], [-1, 2]])
    wrong = Satisfiable(np.zeros(2, dtype=bool), "own")
    monkeypatch.setattr("bem_kernel.sat.check._check_small", lambda *_: wrong)
    with pytest.raises(AssertionError, match="does not satisfy"):
        check(cnf)


def test_proofs_survive_their_text() -> None:
    verdict = check(cnf_from_clauses(hard(60, 9) + hard(60, 10), 60))
    assert isinstance(verdict, Unsatisfiable)
    text = write_drat(verdict.proof)
    back = parse_drat(text.splitlines())
    for name in ("offsets", "literals", "deletes"):
        assert np.array_equal(getattr(back, name), getattr(verdict.proof, name))
