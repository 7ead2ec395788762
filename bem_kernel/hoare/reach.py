"""Is BAD reachable? A run that the system follows, or a proof that the checker has followed.

k-induction is tried first, depth by depth beside bounded model checking; where a few depths do not
decide, lemmas are searched for. Whatever is found is a claim: a path is run, and a reason becomes
formulas that are solved once more, with proofs.

Source: BEM core spec 9.4.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from bem_kernel.errors import HoareError
from bem_kernel.hoare.depths import Depths
from bem_kernel.hoare.lemmas import Lemmas
from bem_kernel.hoare.reach_proof import Evidence, Reason, check_unreachable, formulas
from bem_kernel.hoare.transition import Cone, Path, TransitionSystem, cone, states_of
from bem_kernel.logic.proof import Proof
from bem_kernel.sat.check import Unsatisfiable
from bem_kernel.sat.check import check as sat_check

DEFAULT_DEPTH = 32
DEFAULT_QUESTIONS = 200_000
_DEPTHS_FIRST = 4
"""Depths before lemmas are searched for: where k-induction is quick, it is so by then."""


class Method(StrEnum):
    """How to search.

    AUTO: a few depths, then lemmas, then the other depths.
    INDUCTION: bounded model checking and k-induction only.
    LEMMAS: lemmas only.
    """

    AUTO = "auto"
    INDUCTION = "induction"
    LEMMAS = "lemmas"


@dataclass(frozen=True, eq=False)
class Reached:
    """BAD is reachable.

    Attributes:
        path: of the whole system; it was run, and is bad in its last step.
    """

    path: Path


@dataclass(frozen=True)
class Unreachable:
    """BAD is unreachable.

    Attributes:
        evidence: every proof of it was followed.
        cone: the part of the system that the evidence is about.
    """

    evidence: Evidence
    cone: Cone


@dataclass(frozen=True)
class Bounded:
    """Neither is known.

    Attributes:
        steps: the first so many steps of every run are good.
    """

    steps: int


def reach(
    system: TransitionSystem,
    *,
    depth: int = DEFAULT_DEPTH,
    method: Method = Method.AUTO,
    questions: int = DEFAULT_QUESTIONS,
) -> Reached | Unreachable | Bounded:
    """Decide whether a run of a system can be bad.

    Args:
        system: states, beginning and steps.
        depth: most steps of bounded model checking and of k-induction, and most sets of lemmas.
        method: how to search.
        questions: most questions in the search for lemmas.

    Raises:
        HoareError: solver and checker, or search and system, do not agree, which is a defect.
    """
    part = cone(system)
    steps = 0
    with Depths(part.system) as depths:
        first = {Method.INDUCTION: depth, Method.LEMMAS: 0}.get(method, min(depth, _DEPTHS_FIRST))
        found = _deepened(depths, first)
        if found is None and method is not Method.INDUCTION:
            with Lemmas(part.system, questions) as lemmas:
                found = lemmas.search(depth)
        if found is None and method is Method.AUTO:
            found = _deepened(depths, depth)
        steps = depths.steps
    if isinstance(found, Path):
        path = part.widened(found, system)
        steps = len(states_of(system, path))
        return Reached(Path(path.state, path.inputs[:steps]))
    if found is None:
        return Bounded(steps)
    evidence = Evidence(found, _proofs(part, found))
    check_unreachable(system, evidence)
    return Unreachable(evidence, part)


def _deepened(depths: Depths, to: int) -> Path | Reason | None:
    """Go down to a depth; None if that does not decide."""
    while depths.steps < to:
        if (found := depths.deepen()) is not None:
            return found
    return None


def _proofs(part: Cone, reason: Reason) -> tuple[Proof, ...]:
    """A proof for each formula of a reason; `check_unreachable` is what believes them."""
    proofs = []
    for name, cnf in formulas(part.system, reason).items():
        verdict = sat_check(cnf)
        if not isinstance(verdict, Unsatisfiable):
            raise HoareError(
                f"{name!r} does not hold for the reason that was found",
                where="reach",
                fix="report the system: search and formulas differ",
            )
        proofs.append(verdict.proof)
    return tuple(proofs)
