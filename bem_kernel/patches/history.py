"""What a ledger says of a machine's patches: which were applied, and how to undo them.

Entries, by "kind": `patch.base` the structure at the beginning; `patch.apply` and `patch.undo` a
change, written before it is made; `patch.withdraw` that the change before it was not made after
all; `patch.reject` a patch that was refuted. Entries of other kinds are somebody else's.

Source: BEM core spec 8.1, 8.3.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from pydantic import BaseModel, ConfigDict, ValidationError

from bem_kernel.errors import KernelError, PatchError
from bem_kernel.experts.record import ExpertModel, expert_record
from bem_kernel.isa.record import program_from_record, program_record
from bem_kernel.patches.certificate import Certificate, certificate_record
from bem_kernel.patches.edits import Gone, Trace
from bem_kernel.patches.patch import Patch
from bem_kernel.patches.record import (
    InvariantModel,
    invariant_record,
    patch_from_record,
    patch_record,
    refused_record,
)


@dataclass(frozen=True)
class Change:
    """A patch that was applied or undone.

    Attributes:
        index: of the entry.
        before: hash of the structure before the change, hex.
        after: hash of the structure after it, hex.
        patch: which.
        trace: what undoes it.
        undone: True where the change took the patch back.
    """

    index: int
    before: str
    after: str
    patch: Patch
    trace: Trace
    undone: bool


@dataclass(frozen=True)
class History:
    """A machine's patches.

    Attributes:
        applied: those in force, the last one last.
        last: the last change, undone or not; None if there was none.
    """

    applied: tuple[Change, ...]
    last: Change | None


class _Gone(BaseModel):
    model_config = ConfigDict(extra="forbid")

    identifier: int
    expert: ExpertModel
    findable: bool
    rank: int
    numbers: dict[str, str]


class _Trace(BaseModel):
    model_config = ConfigDict(extra="forbid")

    gone: list[_Gone]
    order: list[int]
    invariants: list[InvariantModel]
    program: dict[str, Any] | None = None


def apply_entry(patch: Patch, certificate: Certificate, trace: Trace) -> dict[str, Any]:
    """The entry for a patch that is about to be applied."""
    return {
        "kind": "patch.apply",
        "before": patch.before,
        "after": patch.after,
        "patch": patch_record(patch),
        "certificate": certificate_record(certificate),
        "undo": _trace_record(trace),
    }


def undo_entry(change: Change) -> dict[str, Any]:
    """The entry for a patch that is about to be undone."""
    return {
        "kind": "patch.undo",
        "before": change.patch.after,
        "after": change.patch.before,
        "of": change.index,
        "patch": change.patch.fingerprint,
    }


def history(entries: Iterable[Mapping[str, Any]], where: str = "log") -> History:
    """Read a ledger's entries.

    Each change has to begin where the one before it ended. So undoing leads nowhere but to
    structures that the machine has had, whatever somebody may have appended.

    Args:
        entries: all of them, in order.
        where: the ledger, for messages.

    Raises:
        PatchError: an entry has another shape, takes back what was not applied, or does not begin
            where the one before it ended.
    """
    applied: list[Change] = []
    changes: list[Change] = []
    structure: str | None = None
    for index, entry in enumerate(entries):
        place = f"{where}: entry {index}"
        match entry.get("kind"):
            case "patch.base":
                _check_begins(structure, entry.get("structure"), place)
                structure = entry.get("structure")
            case "patch.apply":
                change = _applied(entry, index, place)
                _check_begins(structure, change.before, place)
                changes.append(change)
                applied.append(change)
                structure = change.after
            case "patch.undo":
                if not applied or entry.get("of") != applied[-1].index:
                    raise _refused("undoes what is not the last patch in force", place)
                patch, trace = applied[-1].patch, applied[-1].trace
                _check_begins(structure, patch.after, place)
                changes.append(Change(index, patch.after, patch.before, patch, trace, undone=True))
                applied.pop()
                structure = patch.before
            case "patch.withdraw":
                if not changes:
                    raise _refused("withdraws a change where there is none", place)
                structure = changes[-1].before
                _withdraw(applied, changes)
    return History(tuple(applied), changes[-1] if changes else None)


def _check_begins(structure: str | None, before: object, where: str) -> None:
    """Refuse an entry that does not begin at the structure to which the last one led."""
    if structure not in (None, before):
        raise _refused(f"does not begin at structure {str(structure)[:16]}", where)


def _withdraw(applied: list[Change], changes: list[Change]) -> None:
    """Leave the last change out."""
    change = changes.pop()
    if change.undone:  # the patch is in force again: it was the last one
        patch = change.patch
        again = [c for c in changes if c.patch is patch and not c.undone]
        applied.append(again[-1])
    else:
        applied.pop()


def _applied(entry: Mapping[str, Any], index: int, where: str) -> Change:
    patch = patch_from_record(entry.get("patch"), where)
    if (entry.get("before"), entry.get("after")) != (patch.before, patch.after):
        raise _refused("its hashes are not those of its patch", where)
    try:
        read = _Trace.model_validate(entry.get("undo"))
        gone = tuple(
            Gone(
                each.identifier,
                each.expert.expert(),
                each.findable,
                each.rank,
                tuple((name, int(number)) for name, number in each.numbers.items()),
            )
            for each in read.gone
        )
        kept = tuple(each.invariant() for each in read.invariants)
        program = None if read.program is None else program_from_record(read.program, where)
    except ValidationError as error:
        raise refused_record(error, where) from error
    except (KernelError, ValueError) as error:
        raise _refused(f"what undoes it is damaged: {error}", where) from error
    trace = Trace(gone, tuple(read.order), kept, program)
    return Change(index, patch.before, patch.after, patch, trace, undone=False)


def _trace_record(trace: Trace) -> dict[str, Any]:
    """Numbers are text, since duals may be too large for numbers of canonical JSON."""
    gone = [
        {
            "identifier": each.identifier,
            "expert": expert_record(each.expert),
            "findable": each.findable,
            "rank": each.rank,
            "numbers": {name: str(number) for name, number in each.numbers},
        }
        for each in trace.gone
    ]
    kept = [invariant_record(each) for each in trace.invariants]
    record = {"gone": gone, "order": list(trace.order), "invariants": kept}
    if trace.program is not None:
        record["program"] = program_record(trace.program, debug=False)
    return record


def _refused(what: str, where: str) -> PatchError:
    return PatchError(what, where=where, fix="restore the machine and its log from copies")
