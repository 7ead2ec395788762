"""The nearest identifiers through an index of halves, exact, for large tables.

Codes that differ in fewer than r + s + 2 bits differ in at most r bits in the low half or in at
most s in the high half (the pigeonhole principle). So buckets are visited in rings: those of the
query's own low and high half, then those one bit away, and so on. Once the halves have been
searched to radius r and s, whatever has not been seen is at least r + s + 2 bits away; the search
ends as soon as the k-th best is nearer than that. A search that visits so much that looking at
everything is quicker gives up, which bounds its cost whatever the table holds; one that would in
a uniform table does not begin.

The time goes into waiting for memory. So where a bucket lies is loaded `AHEAD` visits before it is
compared, and the bucket half as many; and what is found is put aside, by distance and place in the
pool, until its slot has been loaded too. Counting the distances is enough to narrow the search.

Tried and slower at 10^6: three parts of 11, 11 and 10 bits (fewer but longer buckets; half the
rate); whole codes in the buckets (half); buckets in whole cache lines (two thirds).

Source: Norouzi, Punjani and Fleet, "Fast Exact Search in Hamming Space with Multi-Index Hashing",
2014; BEM core spec 3.3.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from bem_kernel.compiled import kernel
from bem_kernel.search.brute import (
    MANY,
    NO_LIMIT,
    SLOT_BITS,
    first_limit,
    insert_key,
    limit_for,
    split_keys,
)
from bem_kernel.search.halves import AHEAD, BUCKETS, HALF_BITS, RINGS, bucket_of, deal, half_of
from bem_kernel.search.hamming import (
    LINE,
    closer_halves,
    gray_code,
    lowest_bit,
    popcount32,
    prefetch,
)

_VISIT = 300
"""Codes that a look through the whole table passes over in the time of a visit to a bucket."""

_MOST_FOUND = 1 << 12
"""Codes that may be found near before the search gives up, as among very many equal codes."""

# Places of the scratch array. Below the limit, `_WITHIN` codes have been found; `_TALLY` counts
# them by distance; `_STAGED` of them wait for their slots, `_SETTLED` have got them.
_LIMIT, _WITHIN, _STAGED, _SETTLED, _COUNT, _TALLY = 0, 1, 2, 3, 4, 5
_STAGE = _TALLY + NO_LIMIT
SCRATCH = 256
"""Length of the scratch array."""

_SIZE = np.uint64((1 << 32) - 1)
_PLACE = np.int64((1 << SLOT_BITS) - 1)


@kernel("void(int32[::1], int64, int64[::1], int64[::1])")
def settle(slots: Any, k: Any, scratch: Any, keys: Any) -> None:
    """Enter what was put aside into the keys, now by its slots.

    Args:
        slots: pool of slots.
        k: keys wanted.
        scratch: see `_LIMIT` and the following.
        keys: (at least k,) int64, the best so far in ascending order.
    """
    for j in range(scratch[_STAGED]):
        staged = scratch[_STAGE + j]
        key = (staged & ~_PLACE) | np.int64(slots[staged & _PLACE])
        scratch[_COUNT] = insert_key(keys, scratch[_COUNT], k, key)
    scratch[_SETTLED] += scratch[_STAGED]
    scratch[_STAGED] = 0


@kernel(
    "void(uint16[::1], int32[::1], uint64, uint64, uint32, int64, int64, int64, int64[::1],"
    " int64[::1])"
)
def put_aside(
    halves: Any,
    slots: Any,
    start: Any,
    near: Any,
    query: Any,
    radius: Any,
    seen: Any,
    k: Any,
    scratch: Any,
    keys: Any,
) -> None:
    """Put aside what a comparison has found near; ten arguments, being an inner loop.

    Args:
        halves: pool of halves.
        slots: pool of slots.
        start: first place that was compared.
        near: bit j is set if the half at start + j is near.
        query: the half of the query that the bucket is not named by.
        radius: bits by which the bucket's name differs from the query.
        seen: radius to which the other half has been searched; -1 for not at all.
        k: keys wanted, 1 or more.
        scratch: see `_LIMIT` and the following.
        keys: (at least k,) int64.
    """
    while near != 0:
        place = start + np.uint64(lowest_bit(near))
        near &= near - np.uint64(1)
        rest = popcount32(np.uint32(halves[place]) ^ query)
        distance = rest + radius
        # What the other half's rings have shown is not counted again.
        if rest <= seen or distance >= scratch[_LIMIT]:
            continue
        prefetch(slots, np.int64(place))
        if _STAGE + scratch[_STAGED] == SCRATCH:
            settle(slots, k, scratch, keys)
        scratch[_STAGE + scratch[_STAGED]] = distance << SLOT_BITS | np.int64(place)
        scratch[_STAGED] += 1
        scratch[_TALLY + distance] += 1
        scratch[_WITHIN] += 1
        while scratch[_WITHIN] - scratch[_TALLY + scratch[_LIMIT] - 1] >= k:
            scratch[_LIMIT] -= 1
            scratch[_WITHIN] -= scratch[_TALLY + scratch[_LIMIT]]


@kernel("uint64(uint64[::1], uint16[::1], uint32[::1], uint64, uint64, uint64)", inline=True)
def look_ahead(heads: Any, halves: Any, order: Any, visit: Any, low: Any, high: Any) -> Any:
    """Begin to load what coming visits need; the head of the bucket of this visit.

    Six arguments, being a kernel over arrays.

    Args:
        heads: starts and sizes of the buckets.
        halves: pool of halves.
        order: the schedule.
        visit: number of the visit.
        low: number of the query's own bucket of the low half.
        high: that of the high half, as XORed to an entry of the schedule that has bit 16 set.
    """
    coming = np.uint64(order[visit + np.uint64(AHEAD)])
    own = low if coming < np.uint64(BUCKETS) else high
    prefetch(heads, np.int64(coming ^ own))
    coming = np.uint64(order[visit + np.uint64(AHEAD >> 1)])
    own = low if coming < np.uint64(BUCKETS) else high
    start = np.int64(heads[coming ^ own] >> np.uint64(32))
    prefetch(halves, start)
    prefetch(halves, start + 24)  # a bucket of usual size may reach into the next line
    current = np.uint64(order[visit])
    own = low if current < np.uint64(BUCKETS) else high
    return heads[current ^ own]


@kernel(
    "int64(uint64[::1], uint16[::1], int32[::1], uint32[::1], int64[::1], uint32, int64, int64,"
    " int64[::1], int64[::1])"
)
def search_buckets(
    heads: Any,
    halves: Any,
    slots: Any,
    order: Any,
    ends: Any,
    dealt: Any,
    k: Any,
    budget: Any,
    scratch: Any,
    keys: Any,
) -> Any:
    """The keys of the k nearest, unless that costs more than it is worth.

    Ten arguments, being a kernel over the arrays of an index.

    Args:
        heads: starts and sizes of the buckets.
        halves: pool of halves.
        slots: pool of slots.
        order: the schedule.
        ends: where its rings end.
        dealt: the dealt query.
        k: keys wanted, 1 or more.
        budget: codes that may be looked at, a visit to a bucket counting as `_VISIT`.
        scratch: (`SCRATCH`,) int64, zeros except for the limit, from which distances do not count.
        keys: (at least k,) int64, receives the keys in ascending order.

    Returns:
        Keys found: k, or all there are if fewer; -1 if the limit or the budget was too low, or
        too many codes are near.
    """
    low, high = bucket_of(dealt, 0), np.uint64(half_of(dealt, 1))
    limit, visit, spent = scratch[_LIMIT], np.uint64(0), np.int64(0)
    for ring in range(RINGS):
        half, radius = ring & 1, ring >> 1
        query = half_of(dealt, 1 - half)
        last = np.uint64(ends[ring])
        spent += np.int64(last - visit) * _VISIT
        if spent > budget:
            return -1
        while visit < last:
            head = look_ahead(heads, halves, order, visit, low, high)
            start, size = head >> np.uint64(32), head & _SIZE
            visit += np.uint64(1)
            spent += np.int64(size)
            stop = start + size
            while start < stop:
                near = closer_halves(
                    halves, np.int64(start), np.uint16(query), scratch[_LIMIT] - radius
                )
                if stop - start < np.uint64(LINE):
                    near &= (np.uint64(1) << (stop - start)) - np.uint64(1)
                if near != 0:
                    # The low half is one ring ahead of the high half.
                    seen = radius - 1 + half
                    put_aside(halves, slots, start, near, query, radius, seen, k, scratch, keys)
                    if scratch[_SETTLED] > _MOST_FOUND:
                        return -1
                start += np.uint64(LINE)
        # With k found below the limit, the k-th best is just below it.
        found = scratch[_WITHIN] >= k
        if radius == HALF_BITS or (found and scratch[_LIMIT] <= ring + 1):
            settle(slots, k, scratch, keys)
            return scratch[_COUNT] if found or limit == NO_LIMIT else -1
        if not found and ring + 1 >= limit:
            return -1
    return -1


@kernel(
    "void(uint64[::1], uint16[::1], int32[::1], uint32[::1], int64[::1], int64, int64,"
    " uint32[::1], int64, int64[::1], int64[:, ::1], int64[:, ::1], int64[::1])"
)
def nearest_indexed(
    heads: Any,
    halves: Any,
    slots: Any,
    order: Any,
    ends: Any,
    n: Any,
    budget: Any,
    queries: Any,
    k: Any,
    scratch: Any,
    found: Any,
    distances: Any,
    counts: Any,
) -> None:
    """The nearest slots to many identifiers; thirteen arguments, being a kernel over an index.

    Args:
        heads: starts and sizes of the buckets.
        halves: pool of halves.
        slots: pool of slots.
        order: the schedule.
        ends: where its rings end.
        n: codes in the index.
        budget: codes that may be looked at for one query.
        queries: (queries,) uint32, identifiers.
        k: how many are wanted, 1 or more.
        scratch: (`SCRATCH`,) int64.
        found: (queries, at least k) int64, receives the slots.
        distances: (queries, at least k) int64, receives the distances.
        counts: (queries,) int64, receives how many were found; -1 where the search gave up or
            did not begin.
    """
    limit = first_limit(n, k)
    # In a uniform table the k-th best is just below this limit, so this many rings are visited,
    # and by some queries more: twice the cost is allowed for.
    rings = min(limit_for(n, k), RINGS)
    if k >= MANY or 2 * ends[rings - 1] * _VISIT > budget:
        for q in range(len(queries)):
            counts[q] = -1
        return
    for q in range(len(queries)):
        dealt = deal(gray_code(queries[q]))
        for place in range(_STAGE):
            scratch[place] = 0
        scratch[_LIMIT] = limit
        counts[q] = search_buckets(
            heads, halves, slots, order, ends, dealt, k, budget, scratch, found[q]
        )
        split_keys(found[q], distances[q], counts[q])
