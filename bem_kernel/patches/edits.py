"""What a patch does to a machine, and how it is undone.

Rows that the runner keeps by slot follow the experts. Nothing here asks for a proof: `apply` does.

Source: BEM core spec 8.3.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bem_kernel.errors import PatchError
from bem_kernel.experts.check import check_fits
from bem_kernel.experts.expert import Expert
from bem_kernel.experts.table import ExpertTable
from bem_kernel.isa.program import Program
from bem_kernel.memory.segments import Segment
from bem_kernel.patches.invariant import read_invariants, write_invariants
from bem_kernel.patches.patch import Invariant, Kind, Patch
from bem_kernel.patches.program import check_marks, read_program, write_program
from bem_kernel.patches.region import edited
from bem_kernel.runner.layout import BY_SLOT, HEAD, TAIL

_MOST_DUAL_Q16 = 1 << 61  # as the table has it


@dataclass(frozen=True)
class Gone:
    """An expert that a patch took out.

    Attributes:
        identifier: its own.
        expert: what it did.
        findable: whether the ANN unit could find it.
        rank: its place among all experts in the order of slots, from 0.
        numbers: what was kept of it by slot: dual, wins, visits and the runner's rows, by name.
    """

    identifier: int
    expert: Expert
    findable: bool
    rank: int
    numbers: tuple[tuple[str, int], ...]


@dataclass(frozen=True)
class Trace:
    """What is needed to undo a patch.

    Attributes:
        gone: the experts that it took out.
        order: identifiers in the order of their slots before, if it moved them.
        invariants: that were kept before, if it changed them.
        program: that was there before, if it changed it.
    """

    gone: tuple[Gone, ...] = ()
    order: tuple[int, ...] = ()
    invariants: tuple[Invariant, ...] = ()
    program: Program | None = None


def perform(table: ExpertTable, patch: Patch) -> Trace:
    """Change a table as a patch says.

    Raises:
        PatchError: the patch names experts that are not there, or the runner has not learned from
            all its steps.
        KernelError: an expert does not fit the machine, there is no room, or the table is sealed.
    """
    table.check_open()
    check_settled(table)
    _check_present(table, patch)
    if patch.kind is Kind.REMAP:
        before = tuple(table)
        _reorder(table, patch.order)
        return Trace(order=before)
    if patch.kind is Kind.INVARIANT:
        kept_before = read_invariants(table.memory)
        write_invariants(table.memory, patch.invariants)
        return Trace(invariants=kept_before)
    if patch.region is not None:
        program = read_program(table.memory).program
        _rewrite(table, edited(program, patch.region))
        return Trace(program=program)
    heirs = {word for entry in patch.added for word in entry.inherits}
    duals = {word: table.statistics(word).dual_q16 for word in heirs}
    ranks = [_rank(table, word) for word in patch.removed]
    gone = tuple(map(partial(_take, table), patch.removed, ranks))
    kept = {each.identifier: each.numbers for each in gone}
    for entry in patch.added:
        table.add(entry.expert, entry.identifier, findable=entry.findable)
        inherited = (("duals_q16", min(map(duals.__getitem__, entry.inherits), default=0)),)
        _set_numbers(table, entry.identifier, kept.get(entry.identifier, inherited))
    for word, charge in patch.charges:
        _charge(table, word, charge)
    return Trace(gone)


def revert(table: ExpertTable, patch: Patch, trace: Trace) -> None:
    """Change a table back.

    Raises:
        PatchError: the experts that the patch brought are not there.
        KernelError: as for `perform`.
    """
    table.check_open()
    check_settled(table)
    if patch.kind is Kind.REMAP:
        _reorder(table, trace.order)
        return
    if patch.kind is Kind.INVARIANT:
        write_invariants(table.memory, trace.invariants)
        return
    if trace.program is not None:
        _rewrite(table, trace.program)
        return
    for word, charge in reversed(patch.charges):
        _charge(table, word, -charge)
    present = [entry.identifier for entry in patch.added]
    _check_there(table, present, patch)
    kept = {word: _take(table, word, 0).numbers for word in reversed(present)}
    order = list(table)
    for each in reversed(trace.gone):
        table.add(each.expert, each.identifier, findable=each.findable)
        _set_numbers(table, each.identifier, kept.get(each.identifier, each.numbers))
    for each in sorted(trace.gone, key=lambda each: each.rank):
        order.insert(each.rank, each.identifier)
    if order != list(table):  # slots were remapped since, so that they did not find their own
        _reorder(table, order)


def check_settled(table: ExpertTable) -> None:
    """Refuse to move experts that rows of the runner's trace still name by slot.

    Raises:
        PatchError: there are such rows.
    """
    if table.memory.has(Segment.SHARED, "runner.clock"):
        clock = table.memory.region(Segment.SHARED, "runner.clock")
        if clock[HEAD] != clock[TAIL]:
            raise PatchError(
                f"{int(clock[HEAD] - clock[TAIL])} steps have not been learned from",
                where="patch",
                fix="call machine.learn() first",
            )


def rows_by_slot(table: ExpertTable) -> dict[str, NDArray[Any]]:
    """What is kept by slot beside the structure, by name; views."""
    rows: dict[str, NDArray[Any]] = {
        "duals_q16": table.duals_q16,
        "wins": table.wins,
        "visits": table.visits,
    }
    for name in BY_SLOT:
        if table.memory.has(Segment.SHARED, name):
            rows[name] = table.memory.region(Segment.SHARED, name)
    return rows


def _rewrite(table: ExpertTable, program: Program) -> None:
    """Give the machine another program, of which the same is claimed."""
    config = table.memory.config
    for expert in program.experts:
        check_fits(expert, config.n_bits, config.n_shared_bits)
    installed = replace(read_program(table.memory), program=program)
    check_marks(installed)
    write_program(table.memory, installed)


def _rank(table: ExpertTable, word: int) -> int:
    """How many experts lie in lower slots."""
    return int(np.count_nonzero(table.slots.identifiers[: table.slots.slot(word)]))


def _take(table: ExpertTable, word: int, rank: int) -> Gone:
    """Take an expert out, and keep what there is to know of it."""
    slot = table.slots.slot(word)
    rows = rows_by_slot(table)
    numbers = tuple((name, int(row[slot])) for name, row in rows.items())
    gone = Gone(word, table.expert(word), bool(table.live[slot]), rank, numbers)
    table.retire(word)
    for row in rows.values():
        row[slot] = 0
    return gone


def _set_numbers(table: ExpertTable, word: int, numbers: Sequence[tuple[str, int]]) -> None:
    slot, rows = table.slots.slot(word), rows_by_slot(table)
    for name, number in numbers:
        if name in rows:
            rows[name][slot] = number


def _charge(table: ExpertTable, word: int, charge_q16: int) -> None:
    slot = table.slots.slot(word)
    dual = int(table.duals_q16[slot]) + charge_q16
    table.duals_q16[slot] = min(max(dual, -_MOST_DUAL_Q16), _MOST_DUAL_Q16)


def _reorder(table: ExpertTable, order: Sequence[int]) -> None:
    """Move experts to slots 0, 1, 2 … in an order of their identifiers."""
    keys = np.zeros(table.memory.config.max_experts, dtype=np.int64)
    for position, word in enumerate(order):
        keys[table.slots.slot(word)] = position
    own = ("duals_q16", "wins", "visits")
    source = table.rebalance(keys)
    for name, row in rows_by_slot(table).items():
        if name not in own:  # which the table has moved itself
            row[:] = row[source]


def _check_present(table: ExpertTable, patch: Patch) -> None:
    """Refuse a patch whose experts are not those of the table."""
    inherited = [word for entry in patch.added for word in entry.inherits]
    charged = [word for word, _ in patch.charges]
    _check_there(table, [*patch.removed, *inherited, *charged], patch)
    if patch.kind is Kind.REMAP and sorted(patch.order) != sorted(table):
        raise PatchError(
            f"orders {len(patch.order)} experts, the machine has others",
            where="remap patch",
            fix="propose it again",
        )
    for entry in patch.added:
        if entry.identifier in table and entry.identifier not in patch.removed:
            raise PatchError(
                f"identifier {entry.identifier:#010x} is taken",
                where=f"{patch.kind.value} patch",
                fix="propose it again",
            )


def _check_there(table: ExpertTable, words: Sequence[int], patch: Patch) -> None:
    for word in words:
        if word not in table:
            raise PatchError(
                f"expert {word:#010x} is not in the machine",
                where=f"{patch.kind.value} patch",
                fix="propose it again",
            )
