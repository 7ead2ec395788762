"""Patches Δ: changes of a machine's experts, slots and program, as data.

A patch says from which structure to which it leads (hashes, see `structure`), what goes and what
comes, where old and new have to agree, why, and who says so. It does nothing by itself: `verify`
proves it, `apply` brings it about.

Source: BEM core spec 8.3, 8.4, 9.4.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from bb_core.canonical import fingerprint
from bem_kernel.circuits.circuit import Circuit
from bem_kernel.errors import PatchError
from bem_kernel.experts.expert import Condition, Expert
from bem_kernel.patches.region import Region


class Kind(StrEnum):
    """What a patch does.

    REPLACE: one expert gets another circuit, under its identifier, with its statistics.
    SPLIT: two experts, one for each value of a state bit, take the place of one.
    MERGE: one expert takes the place of several.
    RETIRE: experts go.
    ADD: experts come.
    REMAP: experts move to other slots.
    INVARIANT: what all steps preserve becomes more.
    REGION: instructions of the machine's program are replaced.
    """

    REPLACE = "replace"
    SPLIT = "split"
    MERGE = "merge"
    RETIRE = "retire"
    ADD = "add"
    REMAP = "remap"
    INVARIANT = "invariant"
    REGION = "region"


@dataclass(frozen=True)
class Scope:
    """The lanes in which old and new have to agree: all, or those of a care set.

    Attributes:
        bits: state bits, the care circuit's inputs.
        care: one output, 1 where it matters; None: everywhere.

    Raises:
        PatchError: the circuit has not one input per bit and one output.
    """

    bits: tuple[int, ...] = ()
    care: Circuit | None = None

    def __post_init__(self) -> None:
        shape = (0, 1) if self.care is None else (self.care.n_inputs, self.care.n_outputs)
        if shape != (len(self.bits), 1) or min(self.bits, default=0) < 0:
            raise PatchError(
                f"a care circuit of {shape[0]} inputs and {shape[1]} outputs for bits {self.bits}",
                where="scope",
                fix="give one input per state bit, and one output",
            )


EVERYWHERE = Scope()


@dataclass(frozen=True)
class Predicate:
    """What holds or does not in a lane.

    Attributes:
        bits: state bits, the circuit's inputs.
        circuit: one output.

    Raises:
        PatchError: the circuit has not one input per bit and one output.
    """

    bits: tuple[int, ...]
    circuit: Circuit

    def __post_init__(self) -> None:
        shape = (self.circuit.n_inputs, self.circuit.n_outputs)
        if shape != (len(self.bits), 1) or min(self.bits, default=0) < 0:
            raise PatchError(
                f"a circuit of {shape[0]} inputs and {shape[1]} outputs for bits {self.bits}",
                where="predicate",
                fix="give one input per state bit, and one output",
            )


@dataclass(frozen=True)
class Invariant:
    """What holds in every lane and is kept by every expert, such as that BAD is 0.

    Attributes:
        name: for messages.
        holds: where it does.
        lemma: whether it is there only for others to be inductive; a later patch of invariants
            may drop it.
    """

    name: str
    holds: Predicate
    lemma: bool = False


@dataclass(frozen=True)
class Entry:
    """An expert that comes.

    Attributes:
        identifier: of class `expert`.
        expert: what it does.
        findable: whether the ANN unit may find it.
        inherits: identifiers of present experts; its dual begins as the least of theirs, so that
            the policy is as likely to choose it. None of them: it begins at 0.
    """

    identifier: int
    expert: Expert
    findable: bool = True
    inherits: tuple[int, ...] = ()


@dataclass(frozen=True)
class Patch:
    """A change Δ.

    Attributes:
        kind: what it does.
        before: hash of the structure that it changes, hex.
        after: hash of the structure that it leads to, hex.
        reason: why, for people.
        provenance: who or what proposes it, as pairs of words, such as ("by", "optimiser").
        removed: identifiers of the experts that go.
        added: the experts that come.
        charges: (identifier, octaves in Q16 added to its dual): experts that stay with less weight.
        order: REMAP: all identifiers, in the order of their new slots.
        scope: where old and new have to agree, for REPLACE, SPLIT and MERGE; for REGION the
            states in which the program may come to its start.
        invariants: INVARIANT: all that are kept from then on.
        region: REGION: what goes and what comes.

    Raises:
        PatchError: the parts are not those of its kind.
    """

    kind: Kind
    before: str
    after: str
    reason: str
    provenance: tuple[tuple[str, str], ...] = ()
    removed: tuple[int, ...] = ()
    added: tuple[Entry, ...] = ()
    charges: tuple[tuple[int, int], ...] = ()
    order: tuple[int, ...] = ()
    scope: Scope = EVERYWHERE
    invariants: tuple[Invariant, ...] = ()
    region: Region | None = None

    def __post_init__(self) -> None:
        if fault := _fault(self):
            raise PatchError(fault, where=f"{self.kind.value} patch", fix="propose it again")

    @property
    def replaced(self) -> tuple[int, ...]:
        """Identifiers of the experts that the added ones have to agree with."""
        if self.kind is Kind.SPLIT and not self.removed:
            return (self.charges[0][0],)
        return self.removed if self.kind in (Kind.REPLACE, Kind.SPLIT, Kind.MERGE) else ()

    @property
    def fingerprint(self) -> str:
        """SHA-256 of the canonical record, hex."""
        from bem_kernel.patches.record import patch_record

        return fingerprint(patch_record(self))


def _fault(patch: Patch) -> str:
    """What about a patch's parts is not of its kind; "" if nothing."""
    removed, added = len(patch.removed), [entry.identifier for entry in patch.added]
    if len(set(patch.removed)) < removed or len(set(added)) < len(added):
        return "an expert is named twice"
    if len(set(patch.order)) < len(patch.order) or (patch.order and patch.kind is not Kind.REMAP):
        return "an order that is none, or no part of this kind"
    if bool(patch.invariants) != (patch.kind is Kind.INVARIANT):
        return f"{len(patch.invariants)} invariants"
    if (patch.region is not None) != (patch.kind is Kind.REGION):
        return "a region that is none, or no part of this kind"
    if patch.charges and (patch.kind is not Kind.SPLIT or removed or len(patch.charges) > 1):
        return "only the parent of a split that stays is charged"
    if patch.charges and not 0 < patch.charges[0][1] <= 1 << 40:
        return f"a charge of {patch.charges[0][1]}"
    return "" if _counts_fit(patch, removed, added) else f"{removed} go and {len(added)} come"


def _counts_fit(patch: Patch, removed: int, added: list[int]) -> bool:
    match patch.kind:
        case Kind.REPLACE:
            return removed == 1 and added == list(patch.removed)
        case Kind.SPLIT:
            return removed + len(patch.charges) == 1 and _both_values(patch.added)
        case Kind.MERGE:
            return removed >= 2 and len(added) == 1
        case Kind.RETIRE:
            return removed >= 1 and not added
        case Kind.ADD:
            return removed == 0 and len(added) >= 1
        case Kind.REMAP:
            return removed == 0 and not added and len(patch.order) > 0
        case Kind.INVARIANT | Kind.REGION:
            return removed == 0 and not added


def _both_values(added: tuple[Entry, ...]) -> bool:
    """Whether two experts share the lanes out by one state bit."""
    conditions = [entry.expert.condition for entry in added]
    if len(conditions) != 2 or conditions[0] is None:
        return False
    return conditions[1] == Condition(conditions[0].bit, not conditions[0].value)
