"""The hash table behind a slot map, compiled.

`identifiers[slot]` is the word of the object in a slot, 0 if it is free; `buckets` is a power of
two of int32, slot + 1 or 0, with linear probing from the word's hash. Only `identifiers` holds
words, so two identifiers can never share a slot. Removal shifts later entries back (Knuth, The Art
of Computer Programming 3, 6.4, algorithm R), so probing needs no tombstones.

Loops over buckets end after one round even if the table is damaged.
"""

from __future__ import annotations

import numpy as np

from bem_kernel.compiled import kernel

ABSENT = -1
_FIBONACCI = np.uint32(2654435769)  # 2**32 over the golden ratio: Knuth's multiplicative hash


@kernel("int64(uint32, int64)")
def home(word, mask):  # type: ignore[no-untyped-def]
    """The first bucket to look into, for a table of mask + 1 buckets."""
    mixed = np.uint32(word * _FIBONACCI)
    return np.int64(mixed ^ (mixed >> np.uint32(15))) & mask


@kernel("int64(uint32[::1], int32[::1], uint32)")
def find_slot(identifiers, buckets, word):  # type: ignore[no-untyped-def]
    """The slot of an identifier, or ABSENT.

    Args:
        identifiers: (capacity,) uint32.
        buckets: (a power of two,) int32.
        word: uint32, not 0.
    """
    mask = np.int64(len(buckets) - 1)
    place = home(word, mask)
    for _ in range(len(buckets)):
        slot = np.int64(buckets[place]) - 1
        if slot < 0:
            return np.int64(ABSENT)
        if identifiers[slot] == word:
            return slot
        place = (place + 1) & mask
    return np.int64(ABSENT)


@kernel("void(uint32[::1], int32[::1], uint32[::1], int64[::1])")
def find_slots(identifiers, buckets, words, slots):  # type: ignore[no-untyped-def]
    """`find_slot` for each of `words`, into `slots`."""
    for i in range(len(words)):
        slots[i] = find_slot(identifiers, buckets, words[i])


@kernel("void(uint32[::1], int32[::1], int64)")
def enter_slot(identifiers, buckets, slot):  # type: ignore[no-untyped-def]
    """Make a slot findable by the identifier that is in it; there must be a free bucket."""
    mask = np.int64(len(buckets) - 1)
    place = home(identifiers[slot], mask)
    for _ in range(len(buckets)):
        if buckets[place] == 0:
            buckets[place] = np.int32(slot + 1)
            return
        place = (place + 1) & mask


@kernel("void(uint32[::1], int32[::1])")
def enter_all(identifiers, buckets):  # type: ignore[no-untyped-def]
    """Build the table anew for all identifiers that are not 0."""
    buckets[:] = 0
    for slot in range(len(identifiers)):
        if identifiers[slot] != 0:
            enter_slot(identifiers, buckets, np.int64(slot))


@kernel("void(uint32[::1], int32[::1], int64)")
def remove_slot(identifiers, buckets, slot):  # type: ignore[no-untyped-def]
    """Take a slot out of the table; its identifier must still be in `identifiers`."""
    mask = np.int64(len(buckets) - 1)
    hole = home(identifiers[slot], mask)
    for _ in range(len(buckets)):
        if np.int64(buckets[hole]) == slot + 1:
            break
        hole = (hole + 1) & mask
    place = hole
    for _ in range(len(buckets)):
        place = (place + 1) & mask
        if buckets[place] == 0:
            break
        start = home(identifiers[np.int64(buckets[place]) - 1], mask)
        # The entry may fill the hole unless its own start lies between the hole and itself.
        if ((place - start) & mask) >= ((place - hole) & mask):
            buckets[hole] = buckets[place]
            hole = place
    buckets[hole] = 0
