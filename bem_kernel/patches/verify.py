"""Verifying patches: a solver looks for proofs or counterexamples, the checker decides.

Source: BEM core spec 9.4; BEM use 2.3, V_equiv and V_proof.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from bem_kernel.experts.place import Place, Space
from bem_kernel.experts.table import ExpertTable
from bem_kernel.logic.proof import Proof
from bem_kernel.patches.certificate import (
    Certificate,
    Evidence,
    certify,
    check_structure,
    evidence_for,
)
from bem_kernel.patches.formula import Obligation
from bem_kernel.patches.obligations import obligations
from bem_kernel.patches.patch import Patch
from bem_kernel.sat.check import DEFAULT_BUDGET, Satisfiable, Unknown, check

if TYPE_CHECKING:
    from bem_kernel.ledger.chain import Ledger


@dataclass(frozen=True)
class Proved:
    """The patch is right.

    Attributes:
        certificate: for `apply`, in this process.
        evidence: for `certify`, in any.
    """

    certificate: Certificate
    evidence: Evidence


@dataclass(frozen=True)
class Refuted:
    """The patch is wrong.

    Attributes:
        claim: what does not hold.
        counterexample: the value of each bit in a lane where it does not.
        named: of a patch of the program, likewise, by name.
    """

    claim: str
    counterexample: tuple[tuple[Place, bool], ...]
    named: tuple[tuple[str, bool], ...] = ()


@dataclass(frozen=True)
class Undecided:
    """The budget is spent.

    Attributes:
        claim: what is not known to hold.
    """

    claim: str


def verify(
    table: ExpertTable,
    patch: Patch,
    *,
    log: Ledger | None = None,
    budget: int = DEFAULT_BUDGET,
    hand_over: bool = True,
) -> Proved | Refuted | Undecided:
    """Decide whether a patch is right for a machine.

    Args:
        table: of the machine; not changed.
        patch: to be applied to it.
        log: gets the counterexample of a patch that is wrong.
        budget: most conflicts for each obligation.
        hand_over: go on without a limit, with CaDiCaL, when the budget is spent.

    Raises:
        PatchError: the patch is for another machine, or does not lead where it says.
        KernelError: the patch cannot be applied to this table.
    """
    check_structure(table, patch.before, "the patch")
    found = prove(obligations(table, patch), budget=budget, hand_over=hand_over)
    if isinstance(found, Refuted) and log is not None:
        log.append(rejection_record(patch, found))
    if isinstance(found, Refuted | Undecided):
        return found
    evidence = evidence_for(patch, found)
    return Proved(certify(table, patch, evidence), evidence)


def prove(
    owed: Sequence[Obligation], *, budget: int = DEFAULT_BUDGET, hand_over: bool = True
) -> tuple[Proof, ...] | Refuted | Undecided:
    """Look for proofs of obligations; they are evidence for `certify`, and nothing more.

    It needs neither the machine nor the patch, so it can be a handler of the slow path, in a thread
    or process of its own, while the machine runs.

    Args:
        owed: as `obligations` returns them.
        budget: as for `verify`.
        hand_over: as for `verify`.

    Returns:
        One proof for each, or the first that does not hold or is not known to.
    """
    proofs: list[Proof] = []
    for obligation in owed:
        verdict = check(obligation.cnf, budget=budget, hand_over=hand_over)
        if isinstance(verdict, Satisfiable):
            return _refuted(obligation, verdict)
        if isinstance(verdict, Unknown):
            return Undecided(obligation.claim)
        proofs.append(verdict.proof)
    return tuple(proofs)


def place_name(place: Place) -> str:
    """A bit, for people: s[3], M[7], or s[4+2*M[8:12]] with the field of bits 8 to 11 of M."""
    terms = "".join(
        f"{stride:+}*M[{field.offset}:{field.offset + field.width}]"
        for field, stride in place.terms
    )
    return f"{'s' if place.space is Space.STATE else 'M'}[{place.base}{terms}]"


def counterexample_record(refuted: Refuted) -> dict[str, int]:
    """The bits of a counterexample by name; of a program's, what is not 0, with whole numbers."""
    values = {place_name(place): int(value) for place, value in refuted.counterexample}
    for name, value in refuted.named:
        whole, _, bit = name.removesuffix("]").rpartition("[")
        if value and whole in ("", "s"):
            values[name] = 1
        elif value:
            values[whole] = values.get(whole, 0) | 1 << int(bit)
    return values


def rejection_record(patch: Patch, refuted: Refuted) -> dict[str, Any]:
    """A log's entry for a patch that is wrong."""
    return {
        "kind": "patch.reject",
        "patch": patch.fingerprint,
        "before": patch.before,
        "reason": patch.reason,
        "claim": refuted.claim,
        "counterexample": counterexample_record(refuted),
    }


def _refuted(obligation: Obligation, verdict: Satisfiable) -> Refuted:
    values = verdict.model.tolist()
    return Refuted(
        obligation.claim,
        tuple(zip(obligation.places, values, strict=False)),
        tuple(zip(obligation.names, values, strict=False)),
    )
