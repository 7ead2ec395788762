"""Applying and undoing patches: the only way in.

A patch is tried on a copy, then written to the log, then made. What stops it half-way, such as an
interrupt, is taken back, and the log says so; a killed process leaves whatever was saved last, see
`store`. The first patch seals the table (`ExpertTable.seal`); the seal is lifted here and nowhere
else.

Source: BEM core spec 9.4, BEM_APPLY_PATCH; DESIGN 4.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from bem_kernel.errors import PatchError
from bem_kernel.experts.table import ExpertTable
from bem_kernel.patches.certificate import (
    Certificate,
    check_certificate,
    check_structure,
    rehearse,
)
from bem_kernel.patches.edits import check_settled, perform, revert
from bem_kernel.patches.history import Change, apply_entry, history, undo_entry
from bem_kernel.patches.invariant import check_hold_now, read_invariants
from bem_kernel.patches.patch import Patch
from bem_kernel.patches.structure import CHANGED, copied_table, structure_hash
from bem_kernel.patches.verify import Proved, verify

if TYPE_CHECKING:
    from bem_kernel.ledger.chain import Ledger


def apply(table: ExpertTable, patch: Patch, certificate: Certificate, log: Ledger) -> int:
    """Change a machine as a patch says, if it is certified.

    Args:
        table: of the machine, such as `machine.table`.
        patch: what to do.
        certificate: of this patch for this machine, made by `verify` in this process.
        log: open; all of this machine's patches are in it.

    Returns:
        The index of the log's entry.

    Raises:
        PatchError: no certificate, a forged one, or one for another patch, scope or structure; the
            message says which. Or steps wait that the runner has not learned from.
        LedgerError: the log cannot be written; nothing is changed.
        KernelError: there is no room; nothing is changed.
    """
    checked = check_certificate(table, patch, certificate)
    check_hold_now(table.memory, patch.invariants)
    trace = rehearse(table, patch)
    entry = apply_entry(patch, checked, trace)
    return _logged(table, log, entry, lambda: perform(table, patch))


def undo(table: ExpertTable, log: Ledger) -> Change:
    """Take the last patch in force back.

    It leads to a structure that the machine had before, so it needs no proof; that it does is
    tried on a copy first. Statistics of experts that stayed are kept as they are now.

    Args:
        table: of the machine.
        log: open; all of this machine's patches are in it.

    Returns:
        The patch as it had been applied.

    Raises:
        PatchError: no patch is in force, or the machine is not as the last one left it.
        LedgerError: the log cannot be read or written; nothing is changed.
    """
    from bem_kernel.ledger.chain import read_entries

    applied = history(read_entries(log.path), str(log.path)).applied
    if not applied:
        raise PatchError("no patch is in force", where=f"{log.path}: undo", fix="apply one first")
    change = applied[-1]
    check_undo(table, change)
    _logged(table, log, undo_entry(change), lambda: revert(table, change.patch, change.trace))
    return change


def finish(table: ExpertTable, change: Change, where: str) -> None:
    """Make a change that the log has and the machine has not, once it has been proved again.

    Args:
        table: of the machine.
        change: the last one in the log.
        where: the log, for messages.

    Raises:
        PatchError: the machine is not the one before the change, or the patch is not proved.
        KernelError: there is no room.
    """
    patch = change.patch
    if change.undone:
        check_undo(table, change)
    else:
        check_structure(table, patch.before, "the log's last patch")
        if not isinstance(verify(table, patch), Proved):
            raise PatchError(
                f"entry {change.index} is not proved",
                where=where,
                fix="restore the image and its log from copies",
            )
    with table.lifted_seal():
        if change.undone:
            revert(table, patch, change.trace)
        else:
            perform(table, patch)


def check_undo(table: ExpertTable, change: Change) -> None:
    """Refuse to undo a patch in a machine that it has not made.

    Raises:
        PatchError: the machine is not as the patch left it, would not become what it was, or is
            in a state where a lemma does not hold that would be kept again.
    """
    found = structure_hash(table)
    if found != change.patch.after:
        raise PatchError(
            f"the patch led to {change.patch.after[:16]}, the machine is {found[:16]}",
            where="undo",
            fix="undo later changes first",
        )
    twin = copied_table(table)
    revert(twin, change.patch, change.trace)
    found = structure_hash(twin)
    if found != change.patch.before:
        raise PatchError(
            f"undoing leads to {found[:16]} and not to {change.patch.before[:16]}",
            where="undo",
            fix="restore the machine from an image",
        )
    check_hold_now(table.memory, read_invariants(twin.memory))  # lemmas may have been dropped


def _logged(
    table: ExpertTable, log: Ledger, entry: Mapping[str, Any], change: Callable[[], object]
) -> int:
    """Log a change and make it, or neither.

    Args:
        table: to be changed.
        log: gets the entry, and one that withdraws it if the change is taken back.
        entry: says to which structure the change leads.
        change: makes it.
    """
    check_settled(table)
    memory = table.memory
    before = {s: memory.words(s)[: memory.used_words(s)].copy() for s in CHANGED}
    index = log.append(entry)
    log.commit()
    try:
        table.seal()
        with table.lifted_seal():
            change()
        check_structure(table, entry["after"], "what was logged")
    except BaseException:
        for segment, words in before.items():
            memory.words(segment)[: len(words)] = words
            memory.words(segment)[len(words) : memory.used_words(segment)] = 0
        for slot in range(memory.config.max_experts):  # code may be another expert's by now
            table.hot.drop(slot)
        log.append({"kind": "patch.withdraw", "of": index})
        raise
    return index
