"""A table of identifiers that answers which are nearest, while entries come and go.

Small tables are looked through as a whole, large ones through a multi-index; both are exact and
give the same answers, so only the time tells them apart. Slots are the caller's: expert numbers,
rows of an array. Two slots may hold the same identifier. Space and time go with the highest slot,
so slots should lie close.

Source: BEM core spec 3.3, 6.3.
"""

from __future__ import annotations

from dataclasses import dataclass
from threading import Lock

import numpy as np
from numpy.typing import NDArray

from bem_kernel.errors import SearchError, ShapeError
from bem_kernel.identifiers.gray import gray, gray_inverse
from bem_kernel.search.brute import BITS, live_span, nearest_brute_batch
from bem_kernel.search.buckets import add_entry, drop_entry, fill_buckets, plan_buckets
from bem_kernel.search.halves import BUCKETS, schedule
from bem_kernel.search.hamming import GROUP, LINE
from bem_kernel.search.multi_index import SCRATCH, nearest_indexed
from bem_kernel.search.neighbours import NeighbourBatch, Neighbours

MAX_SLOTS = 1 << 27
"""Slots are below it, so that places in a multi-index fit 31 bits."""

INDEX_FROM = 1 << 17
"""Entries from which a multi-index is kept; it is dropped below half as many. Measured: see
`benchmarks/machine_search.py`."""

BUDGET = 1
"""A search in the multi-index may cost what looking through this many tables costs."""


@dataclass(frozen=True)
class _MultiIndex:
    """The arrays of one multi-index, as the kernels read them."""

    heads: NDArray[np.uint64]
    rooms: NDArray[np.int32]
    halves: NDArray[np.uint16]
    slots: NDArray[np.int32]
    end: NDArray[np.int64]


class NearestIndex:
    """Slots with identifiers; threads may share it.

    Args:
        identifiers: (n,) uint32 for slots 0 to n - 1; none if absent.

    Raises:
        ShapeError: `identifiers` is not (n,) uint32.
        SearchError: there are more than `MAX_SLOTS`.
    """

    def __init__(self, identifiers: NDArray[np.uint32] | None = None) -> None:
        self._lock = Lock()
        self._codes = np.zeros(GROUP, dtype=np.uint32)
        self._live = np.zeros(GROUP, dtype=np.uint8)
        self._span = 0
        self._count = 0
        self._index: _MultiIndex | None = None
        if identifiers is not None:
            _check_table(identifiers)
            self._make_room(len(identifiers))
            self._codes[: len(identifiers)] = gray(identifiers)
            self._live[: len(identifiers)] = 1
            self._span = self._count = len(identifiers)
            self._choose()

    def __len__(self) -> int:
        """Number of slots that hold an identifier."""
        return self._count

    def __contains__(self, slot: int) -> bool:
        return 0 <= slot < self._span and bool(self._live[slot])

    def identifier(self, slot: int) -> int:
        """The identifier in a slot.

        Raises:
            SearchError: the slot holds none.
        """
        self._check_held(slot)
        return int(gray_inverse(self._codes[slot : slot + 1])[0])

    @property
    def indexed(self) -> bool:
        """Whether searches go through a multi-index."""
        return self._index is not None

    def insert(self, slot: int, identifier: int) -> None:
        """Put an identifier into a free slot.

        Raises:
            SearchError: the slot is taken or not below `MAX_SLOTS`, or the identifier is not 32
                bits.
        """
        _check_word(identifier)
        with self._lock:
            if not 0 <= slot < MAX_SLOTS:
                raise SearchError(
                    f"slot {slot}", where="search.insert", fix=f"use 0 to {MAX_SLOTS - 1}"
                )
            if slot in self:
                raise SearchError(
                    f"slot {slot} is taken", where="search.insert", fix="remove it first"
                )
            self._make_room(slot + 1)
            code = gray(np.array([identifier], dtype=np.uint32))[0]
            self._codes[slot] = code
            self._live[slot] = 1
            self._span = max(self._span, slot + 1)
            self._count += 1
            if self._index is None:
                self._choose()
            elif not self._add(self._index, slot):
                self._build()

    def remove(self, slot: int) -> None:
        """Empty a slot.

        Raises:
            SearchError: the slot holds nothing.
        """
        with self._lock:
            self._check_held(slot)
            if self._index is not None:
                index = self._index
                drop_entry(self._codes[slot], slot, index.heads, index.halves, index.slots)
            self._live[slot] = 0
            self._count -= 1
            self._span = int(live_span(self._live, self._span))
            if self._index is not None and 2 * self._count < INDEX_FROM:
                self._index = None

    def query(self, identifier: int, k: int) -> Neighbours:
        """The k most similar identifiers; of equals, the lower slot comes first.

        Args:
            identifier: 32 bits.
            k: how many, 0 or more; fewer come back if fewer are held.

        Raises:
            SearchError: the identifier has over 32 bits, or k is negative.
        """
        _check_word(identifier)
        batch = self.query_batch(np.array([identifier], dtype=np.uint32), k)
        return Neighbours(batch.slots[0], batch.similarities[0])

    def query_batch(self, identifiers: NDArray[np.uint32], k: int) -> NeighbourBatch:
        """`query` for many identifiers at once, which is quicker than one by one.

        Args:
            identifiers: (queries,) uint32.
            k: how many, 0 or more; rows are shorter if fewer are held.

        Raises:
            ShapeError: `identifiers` is not (queries,) uint32.
            SearchError: k is negative.
        """
        _check_table(identifiers)
        if k < 0:
            raise SearchError(f"k is {k}", where="search.query", fix="use 0 or more")
        queries = np.require(identifiers, requirements=["C", "W"])
        with self._lock:
            shape = len(queries), min(k, self._count)
            slots, distances = np.empty(shape, np.int64), np.empty(shape, np.int64)
            if self._index is None or not shape[1]:
                self._scan(queries, slots, distances)
            else:
                missing = self._search(self._index, queries, slots, distances)
                self._scan_rows(missing, queries, slots, distances)
        return NeighbourBatch(slots, (BITS - distances).astype(np.uint8))

    def _search(
        self,
        index: _MultiIndex,
        queries: NDArray[np.uint32],
        slots: NDArray[np.int64],
        distances: NDArray[np.int64],
    ) -> NDArray[np.int64]:
        """Search the multi-index; the rows in which it gave up."""
        counts = np.zeros(len(queries), dtype=np.int64)
        nearest_indexed(
            index.heads,
            index.halves,
            index.slots,
            *schedule(),
            self._count,
            self._span * BUDGET,
            queries,
            slots.shape[1],
            np.empty(SCRATCH, dtype=np.int64),
            slots,
            distances,
            counts,
        )
        return np.flatnonzero(counts < 0)

    def _scan_rows(
        self,
        rows: NDArray[np.int64],
        queries: NDArray[np.uint32],
        slots: NDArray[np.int64],
        distances: NDArray[np.int64],
    ) -> None:
        """`_scan` for some of the queries."""
        if len(rows):
            some_slots, some_distances = slots[rows], distances[rows]
            self._scan(queries[rows], some_slots, some_distances)
            slots[rows], distances[rows] = some_slots, some_distances

    def _scan(
        self,
        queries: NDArray[np.uint32],
        slots: NDArray[np.int64],
        distances: NDArray[np.int64],
    ) -> None:
        """Look through the whole table for every query."""
        counts = np.empty(len(queries), dtype=np.int64)
        k = slots.shape[1]
        nearest_brute_batch(
            self._codes, self._live, self._span, queries, k, slots, distances, counts
        )
        assert (counts == k).all()

    def _make_room(self, n: int) -> None:
        """Grow the table to at least n slots."""
        if n > MAX_SLOTS:
            raise SearchError(f"{n} slots", where="search.index", fix=f"use {MAX_SLOTS} at most")
        if n > len(self._codes):
            more = max(n, 2 * len(self._codes)) - len(self._codes)
            self._codes = np.pad(self._codes, (0, more))
            self._live = np.pad(self._live, (0, more))

    def _choose(self) -> None:
        """Build a multi-index once the table is large enough for one."""
        if self._count >= INDEX_FROM:
            self._build()

    def _build(self) -> None:
        """Build the multi-index from the table, with room to grow by a quarter."""
        self._index = None  # whatever happens below, the table alone answers rightly
        heads = np.empty(2 * BUCKETS, dtype=np.uint64)
        rooms = np.empty(2 * BUCKETS, dtype=np.int32)
        table = self._codes, self._live, self._span
        taken = plan_buckets(*table, heads, rooms)
        places = taken + (taken >> 2) + LINE
        halves, slots = np.empty(places, dtype=np.uint16), np.empty(places, dtype=np.int32)
        end = np.array([taken], dtype=np.int64)
        fill_buckets(*table, heads, rooms, halves, slots, end)
        self._index = _MultiIndex(heads, rooms, halves, slots, end)

    def _add(self, index: _MultiIndex, slot: int) -> int:
        """Enter a slot of the table into the multi-index; 0 if it has no room."""
        return int(
            add_entry(
                self._codes[slot],
                slot,
                index.heads,
                index.rooms,
                index.halves,
                index.slots,
                index.end,
            )
        )

    def _check_held(self, slot: int) -> None:
        if slot not in self:
            raise SearchError(
                f"slot {slot} holds nothing", where="search.index", fix="insert there first"
            )


def _check_table(identifiers: NDArray[np.uint32]) -> None:
    if identifiers.ndim != 1 or identifiers.dtype != np.uint32:
        raise ShapeError(
            f"identifiers are {identifiers.dtype} of shape {identifiers.shape}",
            where="search.index",
            fix="give (n,) uint32",
        )


def _check_word(identifier: int) -> None:
    if not 0 <= identifier < 1 << BITS:
        raise SearchError(
            f"identifier {identifier}", where="search.index", fix="use 0 to 2**32 - 1"
        )
