"""The expert table: experts by identifier, as arrays in memory that kernels read.

EXPERT holds descriptors, names, the Gray codes that the ANN unit searches, and three arenas (gates,
places, address terms) in which each expert has one run. SHARED holds the slot map and what the
policy and the fast path change: duals, wins and visits. All of it is in a memory image; a table
made over a loaded memory has the experts of the image.

Whoever builds a machine adds experts as they like. Once it is started or has had a patch, the table
is sealed, in the image too: from then on experts come, go and move by `patches.apply` alone.

Source: BEM core spec 1.3, 2.3, 6.3.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from bem_kernel.errors import ExpertError
from bem_kernel.experts import descriptor as column
from bem_kernel.experts.arena import Arena
from bem_kernel.experts.check import check_fits, checked_expert, damaged
from bem_kernel.experts.descriptor import Encoded, decode_expert, encode_expert
from bem_kernel.experts.expert import Expert
from bem_kernel.experts.hot import HotCode
from bem_kernel.experts.place import Space
from bem_kernel.experts.regions import NAME, ArenaSizes, table_arenas, table_regions, table_seal
from bem_kernel.experts.scratch import Scratch, make_scratch
from bem_kernel.identifiers.classes import IdClass
from bem_kernel.identifiers.gray import gray
from bem_kernel.lanes import words_for
from bem_kernel.memory.memory import Memory
from bem_kernel.memory.segments import Segment
from bem_kernel.memory.slot_map import SlotMap

TableArrays = tuple[
    NDArray[np.int64],
    NDArray[np.int32],
    NDArray[np.int64],
    NDArray[np.int64],
    NDArray[np.uint64],
]
"""Descriptors, gates, places, terms and code: what kernels take as `table`."""


_MOST_DUAL_Q16 = 1 << 61  # where `policy.estimators` saturates


@dataclass(frozen=True)
class Statistics:
    """What the table keeps of an expert's use.

    Attributes:
        wins: W_i, steps that were rewarded.
        visits: N_i, steps in which it ran.
        dual_q16: L_i, cumulative eta * loss in Q16 octaves; the weight is 2 ** -(L_i / 65536).

    Source: BEM core spec 2.3, 7.2.
    """

    wins: int
    visits: int
    dual_q16: int


class ExpertTable:
    """Experts in a machine's memory.

    Attributes:
        memory: where they lie.
        slots: the slot map of their identifiers.
        codes: (max_experts,) uint32, the Gray code of the identifier in each slot.
        live: (max_experts,) uint8, 1 for experts that the ANN unit may find.
        duals_q16: (max_experts,) int64, the policy's cumulative losses.
        wins: (max_experts,) int64.
        visits: (max_experts,) int64.
        hot: machine code of experts that have earned it.

    Args:
        memory: a machine's memory; the table is made in it, or found there.
        sizes: of a new table's arenas; None shares out what EXPERT has free.

    Raises:
        SegmentError: the memory has no room for the table.
        ExpertError, CircuitError, IdentifierError: the table in memory is damaged.
    """

    def __init__(self, memory: Memory, sizes: ArenaSizes | None = None) -> None:
        self._bind(memory, sizes)
        self._needs = (0, 0, 0)
        for slot in range(memory.config.max_experts):
            if self._descriptors[slot, column.IDENTIFIER] or self.slots.identifiers[slot]:
                self._admit(self._checked_entry(slot))
        for arena, _, runs in self._runs():
            arena.check_apart(runs)
        if (self.duals_q16 > _MOST_DUAL_Q16).any() or (self.duals_q16 < -_MOST_DUAL_Q16).any():
            raise damaged("a dual is out of range")

    def _bind(self, memory: Memory, sizes: ArenaSizes | None) -> None:
        """Find the table's regions in a memory, or make them."""
        self.memory = memory
        size = memory.config.max_experts
        if not memory.has(Segment.EXPERT, f"{NAME}.descriptors"):
            SlotMap.create(memory, NAME, IdClass.EXPERT, size)
        self.slots = SlotMap(memory, NAME)
        regions = table_regions(memory)
        self._descriptors: NDArray[np.int64] = regions["descriptors"]
        self._names: NDArray[np.uint8] = regions["names"]
        self.codes: NDArray[np.uint32] = regions["codes"]
        self.live: NDArray[np.uint8] = regions["live"]
        self.duals_q16: NDArray[np.int64] = regions["duals_q16"]
        self.wins: NDArray[np.int64] = regions["wins"]
        self.visits: NDArray[np.int64] = regions["visits"]
        self._gates, self._places, self._terms = table_arenas(memory, sizes)
        self._seal: NDArray[np.uint8] = table_seal(memory)
        self._lifted = False
        self.hot = HotCode(size)
        self._scratch: Scratch | None = None

    def copied(self, memory: Memory) -> ExpertTable:
        """The same table, not sealed, over a memory with the same words, to try a change on."""
        twin = ExpertTable.__new__(ExpertTable)
        twin._bind(memory, None)
        twin._needs = self._needs
        twin._seal[0] = 0
        return twin

    @property
    def sealed(self) -> bool:
        """Whether only patches change which experts there are, and where."""
        return bool(self._seal[0])

    def seal(self) -> None:
        """End the building of the machine; there is no way back."""
        self._seal[0] = 1

    @contextmanager
    def lifted_seal(self) -> Iterator[None]:
        """Let a sealed table change; for `patches.apply`, which has seen a certificate."""
        before, self._lifted = self._lifted, True
        try:
            yield
        finally:
            self._lifted = before

    def check_open(self) -> None:
        """Refuse a change of a sealed table.

        Raises:
            ExpertError: the table is sealed.
        """
        if self.sealed and not self._lifted:
            raise ExpertError(
                "sealed, as the machine has been started or patched",
                where="expert table",
                fix="propose a patch, verify it, and apply it with its certificate",
            )

    def __len__(self) -> int:
        return len(self.slots)

    def __contains__(self, identifier: int) -> bool:
        return identifier in self.slots

    def __iter__(self) -> Iterator[int]:
        """Identifiers, by slot."""
        return (int(word) for word in self.slots.identifiers if word)

    @property
    def high_slot(self) -> int:
        """One more than the last slot taken: as far as a search has to look."""
        taken = np.flatnonzero(self.slots.identifiers)
        return int(taken[-1]) + 1 if len(taken) else 0

    @property
    def arrays(self) -> TableArrays:
        """What kernels take as `table`; changes to the table show in it."""
        return (
            self._descriptors,
            self._gates.rows,
            self._places.rows,
            self._terms.rows,
            self.hot.addresses,
        )

    @property
    def scratch(self) -> Scratch:
        """Room for kernels; fetch it again after `add`, which may need more."""
        slots, places, pending = self._needs
        if self._scratch is None:
            config = self.memory.config
            self._scratch = make_scratch(
                slots,
                places,
                min(config.n_shared_bits, config.lanes * pending),
                max_experts=config.max_experts,
                words=words_for(config.lanes),
            )
        return self._scratch

    def add(self, expert: Expert, identifier: int | None = None, *, findable: bool = True) -> int:
        """Enter an expert, with no wins, visits or losses.

        Args:
            expert: checked against the machine's sizes.
            identifier: of class `expert`, not in the table; None makes a new one.
            findable: whether the ANN unit may find it.

        Returns:
            Its identifier.

        Raises:
            ExpertError: it does not fit the machine, its name is too long, an arena is full, or
                the table is sealed.
            IdentifierError: the identifier is unfit or taken, or all slots are taken.
        """
        self.check_open()
        config = self.memory.config
        check_fits(expert, config.n_bits, config.n_shared_bits)
        encoded = encode_expert(expert)
        self._make_room(encoded)
        word = self.slots.new() if identifier is None else identifier
        slot = self.slots.slot(word) if identifier is None else self.slots.allocate(word)
        row = encoded.descriptor
        row[column.FIRST_GATE] = self._gates.append(encoded.gates)
        row[column.FIRST_PLACE] = self._places.append(encoded.places)
        row[column.FIRST_TERM] = self._terms.append(encoded.terms)
        row[column.IDENTIFIER] = word
        self._descriptors[slot] = row
        self._names[slot] = encoded.name
        self.codes[slot] = gray(np.array([word], dtype=np.uint32))[0]
        self.duals_q16[slot] = self.wins[slot] = self.visits[slot] = 0
        self.live[slot] = findable
        self._admit(expert)
        return word

    def retire(self, identifier: int) -> None:
        """Take an expert out; `SlotMap.new` never gives its identifier to another.

        Raises:
            IdentifierError: it is not in the table.
            ExpertError: the table is sealed.
        """
        self.check_open()
        slot = self.slots.free(identifier)
        self.hot.drop(slot)
        self._descriptors[slot] = 0
        self._names[slot] = 0
        self.codes[slot] = self.live[slot] = 0
        self.duals_q16[slot] = self.wins[slot] = self.visits[slot] = 0

    def expert(self, identifier: int) -> Expert:
        """The expert, as it was added.

        Raises:
            IdentifierError: it is not in the table.
        """
        return decode_expert(self._encoded(self.slots.slot(identifier)))

    def find(self, name: str) -> int:
        """The identifier of the expert with a name; of several, that in the lowest slot.

        Raises:
            ExpertError: there is none.
        """
        octets = name.encode()
        if len(octets) <= column.NAME_BYTES:
            row = np.frombuffer(octets.ljust(column.NAME_BYTES, b"\0"), dtype=np.uint8)
            hits = (self._names == row).all(axis=1) & (self.slots.identifiers != 0)
            if hits.any():
                return int(self.slots.identifiers[int(hits.argmax())])
        raise ExpertError(
            f"no expert is named {name!r}", where="expert table", fix="list the experts' names"
        )

    def statistics(self, identifier: int) -> Statistics:
        """Wins, visits and dual of an expert.

        Raises:
            IdentifierError: it is not in the table.
        """
        slot = self.slots.slot(identifier)
        return Statistics(int(self.wins[slot]), int(self.visits[slot]), int(self.duals_q16[slot]))

    def rebalance(self, keys: NDArray[np.int64] | None = None) -> NDArray[np.int64]:
        """Move experts to other slots; identifiers, contents and statistics stay.

        Args:
            keys: (max_experts,) int64 by slot, smaller ones come first, such as the negative
                number of visits; None: in the order of identifiers.

        Returns:
            (max_experts,) int64: slot i now has what was in slot source[i]. Other tables that are
            indexed by slots follow with `table[:] = table[source]`.

        Raises:
            IdentifierError: `keys` has another shape or type.
            ExpertError: the table is sealed.

        Source: BEM core spec 1.3.
        """
        self.check_open()
        source = self.slots.rebalance(keys)
        for table in (self._descriptors, self._names, self.codes, self.live):
            table[:] = table[source]
        for statistic in (self.duals_q16, self.wins, self.visits):
            statistic[:] = statistic[source]
        self.hot.move(source)
        return source

    def heat(self, limit: int = 1) -> int:
        """Compile experts that have spent the price of it in the interpreter; see `hot`.

        Args:
            limit: the most to compile now; one takes about 0.1 ms a gate.

        Returns:
            Number of experts compiled.
        """
        words = words_for(self.memory.config.lanes)
        gates = self._descriptors[:, column.N_GATES]
        due = self.hot.due(self.visits, gates, words)[:limit]
        for slot in due:
            self.hot.compile(slot, decode_expert(self._encoded(slot)).circuit)
        return len(due)

    def _admit(self, expert: Expert) -> None:
        """Let the scratch be large enough for an expert."""
        pending = sum(scatter.place.space is Space.SHARED for scatter in expert.scatters)
        circuit = expert.circuit
        rows = max(circuit.n_slots, circuit.n_inputs + circuit.n_outputs)
        needs = (rows, expert.n_reads + expert.n_writes, pending)
        most = (
            max(self._needs[0], needs[0]),
            max(self._needs[1], needs[1]),
            max(self._needs[2], needs[2]),
        )
        if most != self._needs:
            self._needs, self._scratch = most, None

    def _make_room(self, encoded: Encoded) -> None:
        """Close the arenas' gaps if what is free behind the last row does not suffice.

        Raises:
            ExpertError: even that leaves too little room.
        """
        wanted = (
            (self._gates, len(encoded.gates)),
            (self._places, len(encoded.places)),
            (self._terms, len(encoded.terms)),
        )
        if any(count > arena.free for arena, count in wanted):
            self._close_gaps()
        for arena, count in wanted:
            arena.check_room(count)

    def _close_gaps(self) -> None:
        slots = np.flatnonzero(self.slots.identifiers)
        for arena, first, runs in self._runs():
            self._descriptors[slots, first] = arena.close_gaps(runs)

    def _runs(self) -> Iterator[tuple[Arena, int, NDArray[np.int64]]]:
        """Each arena, the column with the first row of a run in it, and the runs by slot."""
        rows = self._descriptors[np.flatnonzero(self.slots.identifiers)]
        n_places = rows[:, column.N_INPUTS] + rows[:, column.N_OUTPUTS]
        for arena, first, lengths in (
            (self._gates, column.FIRST_GATE, rows[:, column.N_GATES]),
            (self._places, column.FIRST_PLACE, n_places),
            (self._terms, column.FIRST_TERM, rows[:, column.N_TERMS]),
        ):
            yield arena, first, np.stack([rows[:, first], lengths], axis=1)

    def _encoded(self, slot: int) -> Encoded:
        row = self._descriptors[slot]
        n_places = int(row[column.N_INPUTS]) + int(row[column.N_OUTPUTS])
        return Encoded(
            row,
            self._gates.run(int(row[column.FIRST_GATE]), int(row[column.N_GATES])),
            self._places.run(int(row[column.FIRST_PLACE]), n_places),
            self._terms.run(int(row[column.FIRST_TERM]), int(row[column.N_TERMS])),
            self._names[slot],
        )

    def _checked_entry(self, slot: int) -> Expert:
        """The expert in a slot of a table that comes from outside.

        Raises:
            ExpertError, CircuitError: it is none that `add` would have made.
        """
        word = int(self.slots.identifiers[slot])
        in_row, code = int(self._descriptors[slot, column.IDENTIFIER]), int(self.codes[slot])
        if word != in_row or code != word ^ word >> 1:
            raise damaged(f"slot {slot}: slot map, descriptor and code name different identifiers")
        config = self.memory.config
        return checked_expert(self._encoded(slot), config.n_bits, config.n_shared_bits)
