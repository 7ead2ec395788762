"""PROOF_CHECK against solvers, against a plain checker, and against DRAT-trim where it is there."""

from __future__ import annotations

import shutil
import subprocess
from collections import Counter
from pathlib import Path
from random import Random

import numpy as np
import pytest
from pysat.solvers import Solver as External

from bem_kernel.errors import ProofError
from bem_kernel.logic.cnf import Cnf, cnf_from_clauses
from bem_kernel.logic.drat_text import parse_drat, write_drat
from bem_kernel.logic.proof import Proof, proof_from_steps
from bem_kernel.proofs.check import Accepted, Mode, Outcome, Rejected, check_proof
from bem_kernel.proofs.resolution import ResolutionProof, check_resolution, resolution_proof
from bem_kernel.sat.check import Satisfiable, Unsatisfiable, check

Clauses = list[list[int]]
Steps = list[tuple[bool, list[int]]]

SOLVERS = ("cadical195", "glucose4")


def random_formula(rng: Random) -> tuple[int, Clauses]:
    """Mixed sizes and densities on both sides of the threshold; no clause repeats a variable."""
    n = rng.choice((3, 5, 8, 12, 20, 30, 45))
    clauses = []
    for _ in range(int(n * rng.choice((3, 4.3, 5, 7)))):
        size = rng.choice((1, 2, 4, 5)) if rng.random() < 0.2 else 3
        chosen = rng.sample(range(1, n + 1), min(size, n))
        clauses.append([v * rng.choice((1, -1)) for v in chosen])
    return n, clauses


def proof_by(name: str, clauses: Clauses) -> Proof | None:
    """A solver's proof; None where there is a model."""
    with External(name, bootstrap_with=clauses, with_proof=True) as solver:
        return None if solver.solve() else parse_drat(solver.get_proof() or [])


def steps_of(proof: Proof) -> Steps:
    return [proof.step(index) for index in range(len(proof))]


def corrupted(rng: Random, steps: Steps, n: int) -> Steps:
    """The steps with one to three lines dropped, moved, repeated, altered, reordered or added."""
    result = [(deletes, list(literals)) for deletes, literals in steps]
    for _ in range(rng.choice((1, 1, 2, 3))):
        if not result:
            break
        at = rng.randrange(len(result))
        deletes, literals = result[at]
        place = rng.randrange(len(literals)) if literals else None
        match rng.choice(("drop", "move", "repeat", "negate", "shorten", "grow", "shuffle", "new")):
            case "drop":
                del result[at : at + rng.choice((1, 1, 4))]
            case "move":
                result.insert(rng.randrange(len(result)), result.pop(at))
            case "repeat":
                result.insert(rng.randrange(len(result) + 1), (deletes, list(literals)))
            case "negate" if place is not None:
                literals[place] *= -1
            case "shorten" if place is not None:
                del literals[place]
            case "grow":
                literals.append(rng.randint(1, n + 1) * rng.choice((1, -1)))
            case "shuffle":
                rng.shuffle(literals)
            case "new":
                clause = rng.sample(range(1, n + 3), rng.randint(1, 3))
                result.insert(at, (False, [v * rng.choice((1, -1)) for v in clause]))
    return result


def closure(clauses: Counter[frozenset[int]], true: set[int]) -> set[int] | None:
    """All that unit propagation makes true; None for a conflict."""
    true = set(true)
    if any(-x in true for x in true):
        return None
    grown = True
    while grown:
        grown = False
        for clause in clauses:
            if true & clause:
                continue
            rest = [x for x in clause if -x not in true]
            if not rest:
                return None
            if len(rest) == 1:
                true.add(rest[0])
                grown = True
    return true


def plain(clauses: Clauses, steps: Steps) -> int | None:
    """The step at which a plain forward checker rejects; None if it accepts."""
    live = Counter(frozenset(clause) for clause in clauses)
    true = closure(live, set())
    for index, (deletes, literals) in enumerate(steps):
        if true is None:
            return None
        clause = frozenset(literals)
        if deletes:
            if len(clause) > 1 and live[clause]:
                live[clause] -= 1
                live += Counter()
            continue
        assumed = true | {-x for x in clause}
        if closure(live, assumed) is not None:
            if not literals or -literals[0] in true:
                return index
            for other in live:
                resolved = assumed | {-x for x in other if x != -literals[0]}
                if -literals[0] in other and closure(live, resolved) is not None:
                    return index
        live[clause] += 1
        true = closure(live, true)
    return None if true is None else len(steps)


def has_model(clauses: Clauses) -> bool:
    with External("cadical195", bootstrap_with=clauses) as solver:
        return bool(solver.solve())


def core_suffices(clauses: Clauses, outcome: Outcome) -> bool:
    assert isinstance(outcome, Accepted)
    assert outcome.core is not None
    return not has_model([clauses[i] for i in outcome.core])


def judge_formulas(rng: Random, count: int) -> None:
    """Verdicts equal two solvers', and every proof is accepted, both ways."""
    unsatisfiable = 0
    for _ in range(count):
        n, clauses = random_formula(rng)
        cnf = cnf_from_clauses(clauses, n)
        verdict = check(cnf)
        proofs = [proof_by(name, clauses) for name in SOLVERS]
        expected = [proof is None for proof in proofs]
        assert expected == [isinstance(verdict, Satisfiable)] * 2
        if isinstance(verdict, Unsatisfiable):
            unsatisfiable += 1
            for proof in (verdict.proof, *proofs):
                assert proof is not None
                assert isinstance(check_proof(cnf, proof, mode=Mode.FORWARD), Accepted)
                assert isinstance(check_proof(cnf, proof, mode=Mode.BACKWARD), Accepted)
    assert count // 5 < unsatisfiable < count - count // 5


def test_all_proofs_of_all_solvers_are_accepted() -> None:
    judge_formulas(Random(1), 300)


@pytest.mark.slow
def test_all_proofs_of_20000_formulas_are_accepted() -> None:
    judge_formulas(Random(2), 20_000)


def test_long_proofs_with_deletions_and_their_cores() -> None:
    rng = Random(3)
    for name in SOLVERS:
        clauses = [
            [v * rng.choice((1, -1)) for v in rng.sample(range(1, 121), 3)] for _ in range(620)
        ]
        proof = proof_by(name, clauses)
        assert proof is not None
        assert proof.deletes.any()
        outcome = check_proof(cnf_from_clauses(clauses, 120), proof, mode=Mode.BACKWARD)
        assert core_suffices(clauses, outcome)
        assert isinstance(outcome, Accepted)
        assert outcome.steps is not None
        assert outcome.checked == len(outcome.steps) < int((~proof.deletes).sum())
        needed = [proof.step(int(step)) for step in outcome.steps]
        core = [clauses[i] for i in outcome.core] if outcome.core is not None else []
        again = check_proof(cnf_from_clauses(core, 120), proof_from_steps(needed))
        assert isinstance(again, Accepted)


@pytest.mark.parametrize("budget", [10_000, 0])
def test_refused_assumptions_are_proved(budget: int) -> None:
    """By our solver, and (without a budget) by the one it hands over to."""
    rng = Random(13)
    count = 0
    while count < 40:
        n, clauses = random_formula(rng)
        assumed = [v * rng.choice((1, -1)) for v in rng.sample(range(1, n + 1), 3)]
        cnf = cnf_from_clauses(clauses, n)
        verdict = check(cnf, assumed, budget=budget)
        if not isinstance(verdict, Unsatisfiable) or not verdict.failed:
            continue
        count += 1
        for mode in Mode:
            outcome = check_proof(cnf, verdict.proof, assumptions=verdict.failed, mode=mode)
            assert isinstance(outcome, Accepted)
        if has_model(clauses):
            assert isinstance(check_proof(cnf, verdict.proof), Rejected)


def false_proofs(rng: Random, formulas: int, each: int) -> list[tuple[int, Clauses, Steps]]:
    """Formulas, some with clauses missing, and corrupted proofs of them."""
    found: list[tuple[int, Clauses, Steps]] = []
    while len(found) < formulas * each:
        n, clauses = random_formula(rng)
        proof = proof_by(rng.choice(SOLVERS), clauses)
        if proof is None:
            continue
        kept = rng.choice((1, 0.95, 0.9, 0.85))
        clauses = [clause for clause in clauses if rng.random() < kept]
        steps = steps_of(proof)
        found += [(n, clauses, corrupted(rng, steps, n)) for _ in range(each)]
    return found


def test_corrupted_proofs_are_judged_as_by_a_plain_checker() -> None:
    rng = Random(4)
    rejected = rats = 0
    for n, clauses, steps in false_proofs(rng, 100, 4):
        cnf, proof = cnf_from_clauses(clauses, n), proof_from_steps(steps)
        forward = check_proof(cnf, proof, mode=Mode.FORWARD)
        backward = check_proof(cnf, proof, mode=Mode.BACKWARD)
        assert (forward.step if isinstance(forward, Rejected) else None) == plain(clauses, steps)
        if isinstance(forward, Accepted):
            assert isinstance(backward, Accepted)
            rats += forward.rats
        else:
            rejected += 1
        if isinstance(backward, Accepted):
            assert core_suffices(clauses, backward)
    assert rejected > 50
    assert rats


def test_a_formula_with_a_model_is_never_refuted() -> None:
    """Proofs of another formula: enough clauses are missing for a model."""
    rng = Random(5)
    count = 0
    while count < 100:
        n, clauses = random_formula(rng)
        proof = proof_by("cadical195", clauses)
        remaining = [clause for clause in clauses if rng.random() < 0.8]
        if proof is None or not has_model(remaining):
            continue
        count += 1
        for mode in Mode:
            assert isinstance(
                check_proof(cnf_from_clauses(remaining, n), proof, mode=mode), Rejected
            )


def resolution_of(cnf: Cnf, proof: Proof) -> ResolutionProof:
    result = resolution_proof(cnf, proof)
    assert isinstance(result, ResolutionProof)
    return result


def test_proofs_become_resolution_proofs() -> None:
    rng = Random(6)
    count = 0
    while count < 40:
        n, clauses = random_formula(rng)
        cnf = cnf_from_clauses(clauses, n)
        verdict = check(cnf)
        if not isinstance(verdict, Unsatisfiable):
            continue
        count += 1
        resolution = resolution_of(cnf, verdict.proof)
        assert check_resolution(cnf, resolution) is None
        # Without a clause of the formula that a step names, that step fails.
        named = int(resolution.hints[resolution.hints < len(cnf)][0])
        tautology = [clause if i != named else [1, -1] for i, clause in enumerate(clauses)]
        fault = check_resolution(cnf_from_clauses(tautology, n), resolution)
        assert isinstance(fault, Rejected)
        assert "does not follow by its resolutions" in fault.reason


def dimacs(n: int, clauses: Clauses) -> str:
    lines = [f"p cnf {n} {len(clauses)}", *(" ".join(map(str, [*c, 0])) for c in clauses)]
    return "\n".join(lines) + "\n"


@pytest.fixture
def drat_trim() -> str:
    program = shutil.which("drat-trim")
    if program is None:
        pytest.skip("the program drat-trim is not on the PATH")
    return program


def verdict_of(program: str, folder: Path, problem: tuple[int, Clauses, Steps], *modes: str) -> str:
    """What DRAT-trim says: verified, on another pivot, not verified; or that it broke down."""
    n, clauses, steps = problem
    (folder / "f.cnf").write_text(dimacs(n, clauses))
    (folder / "f.drat").write_text(write_drat(proof_from_steps(steps)))
    try:
        run = subprocess.run(
            [program, str(folder / "f.cnf"), str(folder / "f.drat"), "-I", *modes],
            capture_output=True,
            text=True,
            timeout=20,
            check=False,
        )
    except subprocess.TimeoutExpired:
        return "broke down"
    if run.returncode < 0:
        return "broke down"
    if "s VERIFIED" not in run.stdout:
        return "not verified"
    return "other pivot" if "RAT check on proof pivot failed" in run.stdout else "verified"


def compare_with_drat_trim(program: str, folder: Path, seed: int, formulas: int) -> None:
    """Forward, verdicts are equal. Backward, they are wherever every step holds.

    Where some step is false, the backward verdict depends on which of many cores is found first;
    then both must be sound, which `core_suffices` looks at. DRAT-trim breaks down on some proofs
    that are nothing but an empty clause; and after a RAT step fails on its first literal, it warns
    and tries the others: by the definition of DRAT that step has failed.
    """
    seen: Counter[tuple[str, str]] = Counter()
    for problem in false_proofs(Random(seed), formulas, 4):
        n, clauses, steps = problem
        cnf, proof = cnf_from_clauses(clauses, n), proof_from_steps(steps)
        forward = isinstance(check_proof(cnf, proof, mode=Mode.FORWARD), Accepted)
        theirs = verdict_of(program, folder, problem, "-f")
        seen["forward", theirs] += 1
        if theirs == "broke down":
            assert not forward
        else:
            assert forward == (theirs == "verified"), (problem, theirs)
        backward = check_proof(cnf, proof, mode=Mode.BACKWARD)
        theirs = verdict_of(program, folder, problem)
        same = isinstance(backward, Accepted) == (theirs in ("verified", "other pivot"))
        seen["backward", "same" if same else "another core"] += 1
        if forward:
            assert same, (problem, theirs)
        if isinstance(backward, Accepted):
            assert core_suffices(clauses, backward)
    assert seen["forward", "not verified"] > formulas // 10
    assert seen["forward", "verified"] > formulas // 10
    assert seen["backward", "another core"] <= 2 + 4 * formulas // 50, seen


def test_corrupted_proofs_are_judged_as_by_drat_trim(drat_trim: str, tmp_path: Path) -> None:
    compare_with_drat_trim(drat_trim, tmp_path, 7, 4)


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(100, 110))
def test_2000_corrupted_proofs_are_judged_as_by_drat_trim(
    drat_trim: str, tmp_path: Path, seed: int
) -> None:
    compare_with_drat_trim(drat_trim, tmp_path, seed, 50)


@pytest.mark.slow
def test_solvers_proofs_are_accepted_by_drat_trim_too(drat_trim: str, tmp_path: Path) -> None:
    rng = Random(9)
    count = 0
    while count < 200:
        n, clauses = random_formula(rng)
        verdict = check(cnf_from_clauses(clauses, n))
        if isinstance(verdict, Unsatisfiable):
            count += 1
            problem = (n, clauses, steps_of(verdict.proof))
            assert verdict_of(drat_trim, tmp_path, problem) == "verified"


def pigeonhole(holes: int) -> tuple[Clauses, Steps]:
    """Pigeons 0..holes do not fit; Cook's short proof, with a new variable for each (i, j) kept.

    Placing pigeon i into hole j of one hole fewer means: it was there, or it was in the last hole
    and the last pigeon was here.
    """
    names: dict[tuple[int, int, int], int] = {}

    def p(size: int, i: int, j: int) -> int:
        return names.setdefault((size, i, j), len(names) + 1)

    clauses = [[p(holes, i, j) for j in range(holes)] for i in range(holes + 1)]
    for j in range(holes):
        for i in range(holes + 1):
            clauses += [[-p(holes, i, j), -p(holes, k, j)] for k in range(i)]
    steps: Steps = []
    for size in range(holes, 1, -1):
        last = size - 1
        for i in range(size):
            for j in range(last):
                q, here = p(last, i, j), p(size, i, j)
                out, back = p(size, i, last), p(size, size, j)
                for clause in ([q, -here], [q, -out, -back], [-q, here, out], [-q, here, back]):
                    steps.append((False, clause))
        for i in range(size):
            steps.append((False, [p(last, i, j) for j in range(last)]))
        for j in range(last):
            for i in range(size):
                for k in range(i):
                    a, b = p(last, i, j), p(last, k, j)
                    steps.append((False, [-a, -b, p(size, i, j)]))
                    steps.append((False, [-a, -b]))
    steps.append((False, []))
    return clauses, steps


@pytest.mark.parametrize("mode", Mode)
def test_cooks_proof_of_the_pigeonhole_principle(mode: Mode) -> None:
    """Definitions of new variables are RAT and not RUP."""
    clauses, steps = pigeonhole(7)
    cnf = cnf_from_clauses(clauses)
    outcome = check_proof(cnf, proof_from_steps(steps), mode=mode)
    assert isinstance(outcome, Accepted)
    assert outcome.rats > 50
    with pytest.raises(ProofError, match="steps need RAT; have the solver use resolution only"):
        resolution_proof(cnf, proof_from_steps(steps))
    # The pivot is the first literal: a definition that begins with an old variable is refused.
    for index in (0, 5):
        turned = list(steps)
        turned[index] = (False, turned[index][1][::-1])
        assert isinstance(check_proof(cnf, proof_from_steps(turned), mode=mode), Rejected)


def test_no_single_step_of_a_tight_proof_can_be_left_out_or_negated() -> None:
    """Sabotage: each lost or inverted needed step of a minimal proof is noticed."""
    clauses, steps = pigeonhole(3)
    cnf = cnf_from_clauses(clauses)
    rejected = 0
    for index in range(len(steps) - 1):
        flipped = list(steps)
        literals = list(flipped[index][1])
        literals[0] *= -1
        flipped[index] = (False, literals)
        for changed in (flipped, steps[:index] + steps[index + 1 :]):
            outcome = check_proof(cnf, proof_from_steps(changed), mode=Mode.FORWARD)
            expected = plain(clauses, changed)
            assert (outcome.step if isinstance(outcome, Rejected) else None) == expected
            rejected += expected is not None
    assert rejected > len(steps) // 2


def test_renumbered_variables_make_no_difference() -> None:
    rng = Random(11)
    n, clauses = 20, random_formula(Random(12))[1]
    proof = proof_by("cadical195", clauses)
    while proof is None:
        n, clauses = random_formula(rng)
        proof = proof_by("cadical195", clauses)
    n = max(abs(x) for clause in clauses for x in clause)
    far = np.concatenate([[0], np.array(rng.sample(range(1, 1 << 27), n))]).astype(np.int32)

    def moved(literals: np.ndarray) -> np.ndarray:
        return (np.sign(literals) * far[np.abs(literals)]).astype(np.int32)

    near = cnf_from_clauses(clauses, n)
    cnf = Cnf(1 << 28, near.offsets, moved(near.literals))
    outcomes = [
        check_proof(cnf, Proof(proof.offsets, moved(proof.literals), proof.deletes), mode=mode)
        for mode in Mode
    ]
    assert all(isinstance(outcome, Accepted) for outcome in outcomes)
