"""Verdicts on reachability for people and for machines."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from bem_kernel.hoare.reach import Bounded, Reached, Unreachable
from bem_kernel.hoare.reach_program import ProgramSystem
from bem_kernel.hoare.report import refutation_lines, refutation_record

Verdict = Reached | Unreachable | Bounded


def reach_lines(verdict: Verdict, system: ProgramSystem) -> Iterator[str]:
    """The verdict; below BAD that is reached the run of the machine that reaches it."""
    match verdict:
        case Reached(path):
            yield f"BAD is REACHED in {len(path)} blocks"
            yield from refutation_lines(system.replayed(path), system.layout.program)
        case Unreachable():
            proofs = len(verdict.evidence.proofs)
            yield f"BAD is unreachable: {_how(verdict)}, {proofs} proofs checked"
        case Bounded(steps):
            yield f"UNDECIDED: no run of {steps} blocks reaches BAD"


def reach_record(verdict: Verdict, system: ProgramSystem) -> dict[str, Any]:
    """The verdict as JSON."""
    match verdict:
        case Reached(path):
            run = refutation_record(system.replayed(path), system.layout.program)
            return {"unreachable": False, "blocks": len(path), "counterexample": run}
        case Unreachable(evidence):
            found = {"k": evidence.reason.depth, "lemmas": len(evidence.reason.lemmas)}
            return {"unreachable": True, **found, "proofs": len(evidence.proofs)}
        case Bounded(steps):
            return {"unreachable": None, "blocks": steps}


def _how(verdict: Unreachable) -> str:
    reason = verdict.evidence.reason
    if reason.lemmas:
        return f"{len(reason.lemmas)} lemmas that every step keeps"
    return f"{reason.depth}-induction" if reason.depth else "no step is bad"
