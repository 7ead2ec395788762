"""BEM_EXPERT_BATCH and BEM_UPDATE_STATS: experts applied by slot, and their statistics.

A batch descriptor is, word by word, one of

    n, slot, mask, slot, mask, …    n experts; a mask is the address of one bit per lane,
                                    64 lanes a word, or -1 for all lanes in use
    -1, choices                     the address of one slot per lane in use, -1 for none

The lanes of two experts may not overlap. A statistics descriptor is `slot, wins, visits, loss`:
what is added to W_i and N_i, and to the dual in Q16 octaves.

Source: BEM core spec 2.3, 6.5, 7.2.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Protocol

import numpy as np
from numpy.typing import NDArray

from bem_kernel.errors import MachineError
from bem_kernel.experts.scratch import Scratch
from bem_kernel.experts.table import ExpertTable, TableArrays
from bem_kernel.isa.core import signed
from bem_kernel.isa.instructions import Opcode
from bem_kernel.isa.units import ALL_LANES, Answer, Request
from bem_kernel.lanes import unpack_bits, words_for

PER_LANE: Final = -1
"""First word of a batch descriptor that chooses an expert in each lane."""

MAX_EXPERTS: Final = 64
"""Most experts of a batch by masks."""

MAX_COUNT: Final = 1 << 32
"""What one call adds to a statistic is below it."""


class Experts(Protocol):
    """Experts by slot: an `ExpertTable`, or a program's own."""

    @property
    def arrays(self) -> TableArrays:
        """See `table.TableArrays`."""
        ...

    @property
    def scratch(self) -> Scratch:
        """Room for the kernels."""
        ...


@dataclass(frozen=True)
class ExpertUnit:
    """Applies experts by slot; work is counted in gates, each on 64 lanes."""

    experts: Experts
    bound: int = 1 << 32

    def call(self, request: Request) -> Answer:
        """Apply a batch; the value is the number of lanes that stepped."""
        from bem_kernel.experts.batch import apply_lanes
        from bem_kernel.experts.descriptor import N_GATES
        from bem_kernel.experts.faults import expert_fault_text

        core, table, scratch = request.core, self.experts.arrays, self.experts.scratch
        choices, slots = _choices(request, len(table[0]))
        memory = core.memory
        fault = apply_lanes(
            table,
            choices,
            memory.plane_rows,
            words_for(core.lanes),
            memory.shared_bits,
            scratch.arrays,
        )
        if fault:
            what = expert_fault_text(int(fault), scratch.fault_slot)
            raise _refused(what, "nothing was changed")
        gates = sum(int(table[0][slot, N_GATES]) for slot in slots)
        return Answer(int(np.count_nonzero(choices >= 0)), gates * words_for(core.lanes))


def _refused(what: str, fix: str) -> MachineError:
    return MachineError(what, where="BEM_EXPERT_BATCH", fix=fix)


def _choices(request: Request, n_slots: int) -> tuple[NDArray[np.int64], set[int]]:
    """(lanes,) int64, the slot of each lane's expert, -1 for none; and all slots in it."""
    lanes, address = request.core.lanes, request.address
    n = signed(int(request.read(address, 1)[0]))
    if n == PER_LANE:
        place = signed(int(request.read(address + 1, 1)[0]))
        choices = request.read(place, lanes).view(np.int64)
        chosen = set(choices.tolist()) - {-1}
        for slot in chosen:
            _check_slot(slot, n_slots)
        return choices, chosen
    if not 0 <= n <= MAX_EXPERTS:
        raise _refused(f"a batch of {n} experts", f"use 0 to {MAX_EXPERTS}, or -1 for one per lane")
    choices = np.full(lanes, -1, dtype=np.int64)
    pairs = request.read(address + 1, 2 * n).reshape(n, 2).tolist() if n else []
    for slot, place in pairs:
        _check_slot(signed(slot), n_slots)
        mask = _mask(request, place)
        if (choices[mask] != -1).any():
            raise _refused("a lane is in the masks of two experts", "make the masks disjoint")
        choices[mask] = slot
    return choices, {slot for slot, _ in pairs}


def _check_slot(slot: int, n_slots: int) -> None:
    if not 0 <= slot < n_slots:
        raise _refused(f"there is no slot {slot}", f"use 0 to {n_slots - 1}")


def _mask(request: Request, place: int) -> slice | NDArray[np.bool_]:
    """The lanes of a mask in a descriptor."""
    if place == ALL_LANES:
        return slice(None)
    lanes = request.core.lanes
    words = request.read(signed(place), words_for(lanes))
    return unpack_bits(words[None], lanes)[:, 0]


@dataclass(frozen=True)
class StatisticsUnit:
    """Adds to the statistics of a table's experts; a call is one unit of work."""

    table: ExpertTable

    @property
    def bound(self) -> int:
        """Four words, whatever the descriptor says."""
        return 1

    def call(self, request: Request) -> Answer:
        """Add; the value is the expert's visits afterwards."""
        slot, wins, visits, loss = map(signed, request.read(request.address, 4).tolist())
        where, table = Opcode.BEM_UPDATE_STATS.name, self.table
        if not 0 <= slot < len(table.visits) or not table.slots.identifiers[slot]:
            raise MachineError(
                f"slot {slot} holds no expert", where=where, fix="use a slot that ANN_QUERY found"
            )
        if not all(0 <= number < MAX_COUNT for number in (wins, visits, loss)):
            raise MachineError(
                f"wins {wins}, visits {visits}, loss {loss}",
                where=where,
                fix=f"use numbers from 0 to {MAX_COUNT - 1}",
            )
        if max(int(a[slot]) for a in (table.wins, table.visits, table.duals_q16)) >= 1 << 62:
            raise MachineError("a statistic is full", where=where, fix="renormalise the duals")
        table.wins[slot] += wins
        table.visits[slot] += visits
        table.duals_q16[slot] += loss
        return Answer(int(table.visits[slot]), 1)
