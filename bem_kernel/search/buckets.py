"""Buckets that grow and shrink in place: the storage of a multi-index.

A code is filed twice: by its low half, and by its high half. A bucket is named by one half, so it
holds only the other, in 16 bits: what a search compares is half as long as the codes. All buckets
live in two pools, one of halves and one of slots, which is read for what is found. They lie close,
since a search spends its time on loading them: whole cache lines for each took twice as long. A
bucket that is full moves to the end of the pools with twice its room; when they have none left,
the index is built anew.

`heads` is (2 * 65536,) uint64, start in the pools << 32 | size of each bucket, those of the low
half first; `rooms` (2 * 65536,) int32, places each may use. `end` is (1,) int64, the first unused
place. The pools reach `LINE` places beyond the last `end`, since comparisons take whole lines.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from bem_kernel.compiled import kernel
from bem_kernel.search.halves import bucket_of, deal, half_of
from bem_kernel.search.hamming import LINE

_START = np.uint64(32)
_SIZE = np.uint64((1 << 32) - 1)
_UNIT = 8
"""Buckets start at multiples of this many places."""


@kernel("int64(int64)")
def room_for(size: Any) -> Any:
    """Places that a bucket of this size gets: two more at least."""
    return (size + _UNIT + 1) & ~np.int64(_UNIT - 1)


@kernel("int64(uint32[::1], uint8[::1], int64, uint64[::1], int32[::1])")
def plan_buckets(codes: Any, live: Any, n: Any, heads: Any, rooms: Any) -> Any:
    """Count the sizes of all buckets, give each its place, and leave them empty.

    Args:
        codes: (at least n,) uint32 Gray codes by slot.
        live: (at least n,) uint8, 0 for slots that hold nothing.
        n: slots to look at.
        heads: (2 * 65536,) uint64, receives the plan.
        rooms: (2 * 65536,) int32, receives the plan.

    Returns:
        Places of the pools that are taken.
    """
    for bucket in range(len(heads)):
        heads[bucket] = 0
    for slot in range(n):
        if live[slot] != 0:
            dealt = deal(codes[slot])
            for half in range(2):
                heads[bucket_of(dealt, half)] += np.uint64(1)
    end = np.int64(0)
    for bucket in range(len(heads)):
        room = room_for(np.int64(heads[bucket]))
        heads[bucket] = np.uint64(end) << _START
        rooms[bucket] = np.int32(room)
        end += room
    return end


@kernel("int64(uint32, int64, uint64[::1], int32[::1], uint16[::1], int32[::1], int64[::1])")
def add_entry(
    code: Any, slot: Any, heads: Any, rooms: Any, halves: Any, slots: Any, end: Any
) -> Any:
    """File one code under both halves; seven arguments, being a kernel over arrays.

    Args:
        code: uint32 Gray code.
        slot: its slot.
        heads: starts and sizes.
        rooms: places each bucket may use.
        halves: pool of halves.
        slots: pool of slots.
        end: (1,) int64, the first unused place.

    Returns:
        1; or 0 if the pools have no room left, and the index must be built anew.
    """
    dealt = deal(code)
    for half in range(2):
        bucket = bucket_of(dealt, half)
        start, size = heads[bucket] >> _START, heads[bucket] & _SIZE
        if np.int64(size) == np.int64(rooms[bucket]):
            room = 2 * np.int64(size)
            if end[0] + room + LINE > len(slots):
                return 0
            new = np.uint64(end[0])
            for j in range(size):
                halves[new + j] = halves[start + j]
                slots[new + j] = slots[start + j]
            start = new
            rooms[bucket] = np.int32(room)
            end[0] += room
        halves[start + size] = np.uint16(half_of(dealt, 1 - half))
        slots[start + size] = np.int32(slot)
        heads[bucket] = (start << _START) + size + np.uint64(1)
    return 1


@kernel("void(uint32, int64, uint64[::1], uint16[::1], int32[::1])")
def drop_entry(code: Any, slot: Any, heads: Any, halves: Any, slots: Any) -> None:
    """Take one code out of both its buckets; the last of a bucket fills the gap.

    Args:
        code: uint32 Gray code.
        slot: its slot.
        heads: starts and sizes.
        halves: pool of halves.
        slots: pool of slots.
    """
    dealt = deal(code)
    for half in range(2):
        bucket = bucket_of(dealt, half)
        place = heads[bucket] >> _START
        last = place + (heads[bucket] & _SIZE) - np.uint64(1)
        while place < last and np.int64(slots[place]) != slot:
            place += np.uint64(1)
        halves[place] = halves[last]
        slots[place] = slots[last]
        heads[bucket] -= np.uint64(1)


@kernel(
    "void(uint32[::1], uint8[::1], int64, uint64[::1], int32[::1], uint16[::1], int32[::1],"
    " int64[::1])"
)
def fill_buckets(
    codes: Any,
    live: Any,
    n: Any,
    heads: Any,
    rooms: Any,
    halves: Any,
    slots: Any,
    end: Any,
) -> None:
    """File every live slot in the planned buckets; eight arguments, those of plan and add."""
    for slot in range(n):
        if live[slot] != 0:
            add_entry(codes[slot], slot, heads, rooms, halves, slots, end)
