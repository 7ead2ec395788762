"""Why BAD is unreachable, as formulas without models, and the check of their proofs.

A `Reason` has a depth k, lemmas (clauses over the state), and pairs of steps. It stands if

    begin   a state where runs begin meets every lemma
    keep    an allowed step from where all lemmas hold leads to where they hold
    base    no allowed run from the beginning is bad in its first k steps
    step    no k allowed steps that are not bad, with the lemmas in force and different states
            before the steps of each pair, are followed by one that is allowed and bad

Then no run is bad: its shortest one would pass through different states, and its last step would
be one of those that `base` or `step` excludes. With k = 0 the lemmas alone exclude bad steps; with
no lemmas it is k-induction.

Source: BEM core spec 9.4; Sheeran, Singh and Stålmarck 2000 (k-induction); Bradley 2011 (lemmas).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from bem_kernel.errors import HoareError
from bem_kernel.hoare.transition import TransitionSystem, cone
from bem_kernel.hoare.unrolling import Unrolling
from bem_kernel.logic.cnf import Cnf
from bem_kernel.logic.proof import Proof
from bem_kernel.proofs.check import Rejected, check_proof

Lemma = tuple[int, ...]
"""A clause: x > 0 says that state bit x - 1 is 1, x < 0 that bit -x - 1 is 0."""


@dataclass(frozen=True)
class Reason:
    """Why no run is bad; nothing about it is believed.

    Attributes:
        depth: k.
        lemmas: hold in all reachable states.
        pairs: (i, j), i < j <= k: steps before which the states differ.
    """

    depth: int
    lemmas: tuple[Lemma, ...] = ()
    pairs: tuple[tuple[int, int], ...] = ()


@dataclass(frozen=True)
class Evidence:
    """A reason with proofs, to be checked by whoever needs to know.

    Attributes:
        reason: what is claimed.
        proofs: of each of its formulas, in order.
    """

    reason: Reason
    proofs: tuple[Proof, ...]


def check_unreachable(system: TransitionSystem, evidence: Evidence) -> None:
    """Refuse evidence that does not show that no run of a system is bad.

    Args:
        system: whole; the formulas are made once more, from its cone.
        evidence: from anywhere.

    Raises:
        HoareError: a proof is missing or rejected, or the reason does not fit the system; the
            message says which.
    """
    owed = formulas(cone(system).system, evidence.reason)
    if len(owed) != len(evidence.proofs):
        raise _refused(f"{len(evidence.proofs)} proofs for {len(owed)} formulas")
    for (name, cnf), proof in zip(owed.items(), evidence.proofs, strict=True):
        outcome = check_proof(cnf, proof)
        if isinstance(outcome, Rejected):
            raise _refused(f"the proof of {name!r} fails at step {outcome.step}: {outcome.reason}")


def formulas(system: TransitionSystem, reason: Reason) -> dict[str, Cnf]:
    """What must have no model for a reason to stand, by name.

    Raises:
        HoareError: the reason does not fit the system.
    """
    _check_fits(system, reason)
    made = _lemma_formulas(system, reason) if reason.lemmas else {}
    if reason.depth:
        made["base"] = _base(system, reason)
    made["step"] = _step(system, reason)
    return made


def _lemma_formulas(system: TransitionSystem, reason: Reason) -> dict[str, Cnf]:
    begin = Unrolling(system)
    for clause in begin.begins():
        begin.add(clause)
    begin.add([_violated(begin, lemma, begin.first.tolist()) for lemma in reason.lemmas])
    keep = Unrolling(system)
    frame = keep.grow()
    keep.add([frame.allowed])
    _meet(keep, reason, 0)
    keep.add([_violated(keep, lemma, frame.following.tolist()) for lemma in reason.lemmas])
    return {"begin": begin.cnf(), "keep": keep.cnf()}


def _base(system: TransitionSystem, reason: Reason) -> Cnf:
    run = Unrolling(system)
    for clause in run.begins():
        run.add(clause)
    bad = []
    before: list[int] = []  # a step matters only where all before it are allowed
    for index in range(reason.depth):
        frame = run.grow()
        _meet(run, reason, index)
        here = run.new()
        run.add([-here, frame.bad])
        run.add([-here, frame.allowed])
        for allowed in before:
            run.add([-here, allowed])
        before = [_both(run, before, frame.allowed)]
        bad.append(here)
    run.add(bad)
    return run.cnf()


def _step(system: TransitionSystem, reason: Reason) -> Cnf:
    run = Unrolling(system)
    for index in range(reason.depth + 1):
        frame = run.grow()
        run.add([frame.allowed])
        _meet(run, reason, index)
        run.add([frame.bad if index == reason.depth else -frame.bad])
    for i, j in reason.pairs:
        run.distinct(i, j)
    return run.cnf()


def _both(run: Unrolling, before: list[int], allowed: int) -> int:
    """A literal that implies what has been allowed so far and this step."""
    together = run.new()
    for literal in (*before, allowed):
        run.add([-together, literal])
    return together


def _meet(run: Unrolling, reason: Reason, index: int) -> None:
    """Assert the lemmas before a step."""
    state = run.frames[index].state.tolist()
    for lemma in reason.lemmas:
        run.add(list(_literals(lemma, state)))


def _violated(run: Unrolling, lemma: Lemma, state: list[int]) -> int:
    """A literal that implies that a lemma does not hold in a state."""
    violated = run.new()
    for literal in _literals(lemma, state):
        run.add([-violated, -literal])
    return violated


def _literals(lemma: Lemma, state: list[int]) -> Iterator[int]:
    return (state[x - 1] if x > 0 else -state[-x - 1] for x in lemma)


def _check_fits(system: TransitionSystem, reason: Reason) -> None:
    literals = [x for lemma in reason.lemmas for x in lemma]
    if reason.depth < 0 or not all(1 <= abs(x) <= system.n_state for x in literals):
        raise _refused(f"a reason of depth {reason.depth} with literals {literals[:8]}")
    if not all(0 <= i < j <= reason.depth for i, j in reason.pairs):
        raise _refused(f"pairs {reason.pairs[:8]} at depth {reason.depth}")


def _refused(what: str) -> HoareError:
    return HoareError(what, where="reach", fix="search again, for this system")
