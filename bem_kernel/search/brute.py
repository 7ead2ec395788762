"""The nearest identifiers by looking at all of them, exact, compiled.

A vector comparison finds, 64 codes at a time, those that could still enter the list of the best;
only these are looked at one by one. The list starts with a limit on the distance that a uniform
table passes with near certainty; a table that does not is scanned again without a limit. Where
many are wanted, keeping them in order would cost their number squared: then the distances are
counted first, and each slot goes straight to its place.

Distances are counted on Gray codes, so tables hold `gray(identifier)`. Of equal distances the
lower slot is the nearer one. A slot that is not live is never found.

Source: BEM core spec 1.3, 3.3, 6.3.
"""

from __future__ import annotations

from math import comb
from typing import Any

import numpy as np

from bem_kernel.compiled import kernel
from bem_kernel.search.hamming import (
    GROUP,
    SPAN,
    any_closer,
    closer_than,
    gray_code,
    lowest_bit,
    popcount32,
)

BITS = 32
NO_LIMIT = BITS + 1
"""Every distance is below it."""

_BELOW = tuple(sum(comb(BITS, d) for d in range(limit)) for limit in range(NO_LIMIT + 1))
"""Number of 32-bit words closer to a given one than `limit`."""

SLOT_BITS = 32
"""A key is distance << SLOT_BITS | slot, so that keys are in the order of the result."""

_SLOT_MASK = (1 << SLOT_BITS) - 1
MANY = 256
"""Wanted neighbours from which distances are counted rather than the best kept in order."""

_FINE = 1 << 14
"""Slots up to which something is near often; measured."""

TILE = GROUP * GROUP
"""Codes that one query of a batch after the other passes over: 16 KiB, in the first cache."""


@kernel("int64(int64, int64)")
def limit_for(n: Any, wanted: Any) -> Any:
    """The least limit below which a uniform table of n codes has `wanted` codes on average."""
    for limit in range(NO_LIMIT):
        if (n * _BELOW[limit]) >> BITS >= wanted:
            return limit
    return NO_LIMIT


@kernel("int64(int64, int64)")
def first_limit(n: Any, k: Any) -> Any:
    """A limit below which a uniform table has fewer than k codes with a chance under 1e-5."""
    return limit_for(n, 2 * k + 12)


@kernel("int64(int64[::1], int64, int64, int64)")
def insert_key(keys: Any, count: Any, k: Any, key: Any) -> Any:
    """Enter a key among the k least of those seen, kept in ascending order.

    Args:
        keys: (at least k,) int64; the first `count` are in order.
        count: keys held, at most k.
        k: keys wanted.
        key: distance << 32 | slot.

    Returns:
        Keys held afterwards.
    """
    position = count
    if count == k:
        if k == 0 or key >= keys[k - 1]:
            return count
        position = k - 1
    else:
        count += 1
    while position > 0 and keys[position - 1] > key:
        keys[position] = keys[position - 1]
        position -= 1
    keys[position] = key
    return count


@kernel("uint64(uint32[::1], int64, int64, uint32, int64)", inline=True)
def near_within(codes: Any, start: Any, stop: Any, gray: Any, limit: Any) -> Any:
    """`closer_than` for the codes from `start` on, those from `stop` on left out."""
    if start + GROUP <= stop:
        return closer_than(codes, start, gray, limit)
    near = np.uint64(0)
    for j in range(stop - start):
        if popcount32(codes[start + j] ^ gray) < limit:
            near |= np.uint64(1) << np.uint64(j)
    return near


@kernel(
    "int64(uint32[::1], uint8[::1], int64, uint64, uint32, int64, int64[::1], int64, int64)",
    inline=True,
)
def enter_near(
    codes: Any,
    live: Any,
    start: Any,
    near: Any,
    gray: Any,
    k: Any,
    keys: Any,
    count: Any,
    limit: Any,
) -> Any:
    """Enter what a comparison has found near into the keys; nine arguments, as of `scan_codes`.

    `near` is what `closer_than` returned for the codes from `start` on. Returns the keys held.
    """
    while near != 0:
        found = start + lowest_bit(near)
        near &= near - np.uint64(1)
        distance = popcount32(codes[found] ^ gray)
        # Slots come in ascending order, so an equal distance never displaces an earlier slot.
        if distance < limit and live[found] != 0:
            count = insert_key(keys, count, k, distance << SLOT_BITS | found)
            if count == k:
                limit = min(limit, keys[k - 1] >> SLOT_BITS)
    return count


@kernel(
    "int64(uint32[::1], uint8[::1], int64, uint32, int64, int64[::1], int64, int64)", inline=True
)
def scan_tile(
    codes: Any, live: Any, start: Any, gray: Any, k: Any, keys: Any, count: Any, limit: Any
) -> Any:
    """`scan_codes` for the `TILE` codes from `start` on; eight arguments, as there.

    Which groups hold something near is found first, without a branch that cannot be predicted.
    """
    if count == k:
        limit = min(limit, keys[k - 1] >> SLOT_BITS)
    groups = np.uint64(0)
    for group in range(GROUP):
        near = closer_than(codes, start + GROUP * group, gray, limit)
        groups |= np.uint64(near != 0) << np.uint64(group)
    while groups != 0:
        place = start + GROUP * lowest_bit(groups)
        groups &= groups - np.uint64(1)
        if count == k:
            limit = min(limit, keys[k - 1] >> SLOT_BITS)
        near = closer_than(codes, place, gray, limit)
        count = enter_near(codes, live, place, near, gray, k, keys, count, limit)
    return count


@kernel("int64(uint32[::1], uint8[::1], int64, int64, uint32, int64, int64[::1], int64, int64)")
def scan_codes(
    codes: Any,
    live: Any,
    start: Any,
    stop: Any,
    gray: Any,
    k: Any,
    keys: Any,
    count: Any,
    limit: Any,
) -> Any:
    """Enter what is near in codes[start:stop] into the keys; nine arguments, being an inner loop.

    Args:
        codes: (n,) uint32 Gray codes.
        live: (n,) uint8, 0 for slots that hold nothing.
        start: first slot to look at; slots before it have been looked at.
        stop: last slot to look at plus one.
        gray: the query's Gray code.
        k: keys wanted, 1 or more.
        keys: (at least k,) int64, the best so far in ascending order.
        count: keys held.
        limit: distances from here on do not count.

    Returns:
        Keys held afterwards.
    """
    slot = start
    while slot < stop:
        if slot < _FINE and slot + TILE <= stop:
            count = scan_tile(codes, live, slot, gray, k, keys, count, limit)
            slot += TILE
            continue
        if count == k:
            limit = min(limit, keys[k - 1] >> SLOT_BITS)
        # By now little is near, so that larger pieces are passed over at once.
        while slot >= _FINE and slot + SPAN <= stop and any_closer(codes, slot, gray, limit) == 0:
            slot += SPAN
        end = min(stop, slot + SPAN)
        while slot < end:
            near = near_within(codes, slot, end, gray, limit)
            count = enter_near(codes, live, slot, near, gray, k, keys, count, limit)
            if count == k:
                limit = min(limit, keys[k - 1] >> SLOT_BITS)
            slot += GROUP
    return count


@kernel("int64(uint32[::1], uint8[::1], int64, uint32, int64, int64[::1], int64[::1])")
def count_codes(codes: Any, live: Any, n: Any, gray: Any, k: Any, keys: Any, places: Any) -> Any:
    """The keys of the k nearest by counting sort; seven arguments, being a kernel over arrays.

    Args:
        codes: (at least n,) uint32 Gray codes.
        live: (at least n,) uint8, 0 for slots that hold nothing.
        n: slots to look at.
        gray: the query's Gray code.
        k: keys wanted, `MANY` or more.
        keys: (at least k,) int64, receives the keys in ascending order.
        places: (at least k,) int64, scratch: the next place of each distance.

    Returns:
        Keys found.
    """
    for distance in range(NO_LIMIT):
        places[distance] = 0
    for slot in range(n):
        if live[slot] != 0:
            places[popcount32(codes[slot] ^ gray)] += 1
    count = np.int64(0)
    for distance in range(NO_LIMIT):
        size = places[distance]
        places[distance] = count
        count += size
    for slot in range(n):
        distance = popcount32(codes[slot] ^ gray)
        if live[slot] != 0 and places[distance] < k:
            keys[places[distance]] = distance << SLOT_BITS | slot
            places[distance] += 1
    return min(count, k)


@kernel("int64(uint32[::1], uint8[::1], int64, uint32, int64, int64[::1], int64[::1])")
def nearest_brute(
    codes: Any, live: Any, n: Any, query: Any, k: Any, slots: Any, distances: Any
) -> Any:
    """The k live slots nearest to one identifier, best first.

    Seven arguments, being a kernel over arrays.

    Args:
        codes: (at least n,) uint32, the Gray code of the identifier in each slot.
        live: (at least n,) uint8, 0 for slots that hold nothing.
        n: slots to look at.
        query: uint32, the identifier itself, not its Gray code.
        k: how many are wanted; none for 0 or less.
        slots: (at least k,) int64, receives the slots; of equal distances the lower slot first.
        distances: (at least k,) int64, receives the number of bits in which the codes differ.

    Returns:
        How many were found: k, or all live ones if there are fewer.
    """
    if k <= 0:
        return 0
    gray = gray_code(query)
    if k >= MANY:
        count = count_codes(codes, live, n, gray, k, slots, distances)
    else:
        limit = first_limit(n, k)
        count = scan_codes(codes, live, 0, n, gray, k, slots, 0, limit)
        if count < k and limit < NO_LIMIT:
            count = scan_codes(codes, live, 0, n, gray, k, slots, 0, NO_LIMIT)
    split_keys(slots, distances, count)
    return count


@kernel("void(int64[::1], int64[::1], int64)")
def split_keys(keys: Any, distances: Any, count: Any) -> None:
    """Take `count` keys apart: their distances to `distances`, their slots in place."""
    for j in range(count):
        distances[j] = keys[j] >> SLOT_BITS
        keys[j] &= _SLOT_MASK


@kernel(
    "void(uint32[::1], uint8[::1], int64, uint32[::1], int64,"
    " int64[:, ::1], int64[:, ::1], int64[::1])"
)
def nearest_brute_batch(
    codes: Any,
    live: Any,
    n: Any,
    queries: Any,
    k: Any,
    slots: Any,
    distances: Any,
    counts: Any,
) -> None:
    """`nearest_brute` for many queries, which pass over the table together, a piece at a time.

    Eight arguments, being a kernel over arrays.

    Args:
        codes: (at least n,) uint32, the Gray code of the identifier in each slot.
        live: (at least n,) uint8, 0 for slots that hold nothing.
        n: slots to look at.
        queries: (queries,) uint32, identifiers.
        k: how many are wanted; none for 0 or less.
        slots: (queries, at least k) int64, receives the slots, a row for each query.
        distances: (queries, at least k) int64, receives the distances.
        counts: (queries,) int64, receives how many were found.
    """
    if k <= 0 or k >= MANY:  # counting looks at every code twice: nothing to share
        for q in range(len(queries)):
            counts[q] = nearest_brute(codes, live, n, queries[q], k, slots[q], distances[q])
        return
    limit = first_limit(n, k)
    for q in range(len(queries)):
        counts[q] = 0
    for start in range(0, n, TILE):
        stop = min(n, start + TILE)
        for q in range(len(queries)):
            gray = gray_code(queries[q])
            counts[q] = scan_codes(codes, live, start, stop, gray, k, slots[q], counts[q], limit)
    for q in range(len(queries)):
        if counts[q] < k and limit < NO_LIMIT:
            gray = gray_code(queries[q])
            counts[q] = scan_codes(codes, live, 0, n, gray, k, slots[q], 0, NO_LIMIT)
        split_keys(slots[q], distances[q], counts[q])


@kernel("int64(uint8[::1], int64)")
def live_span(live: Any, n: Any) -> Any:
    """The last live slot below n, plus one."""
    while n > 0 and live[n - 1] == 0:
        n -= 1
    return n
