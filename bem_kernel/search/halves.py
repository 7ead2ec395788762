"""The two halves of a code by which a multi-index files it, and the order of its buckets.

Bits of an identifier that lie together carry unequal news: a table's class and high shard bits
are nearly constant. So the bits are dealt out in turn, the even ones to the low half and the odd
ones to the high half; a permutation of bits changes no Hamming distance.

Source: for the permutation, Warren, "Hacker's Delight", 7-2 (unshuffle).
"""

from __future__ import annotations

from functools import cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bem_kernel.compiled import kernel

HALF_BITS = 16
BUCKETS = 1 << HALF_BITS
"""Buckets of one half."""

RINGS = 2 * (HALF_BITS + 1)
"""Rings of buckets: of the low half at radius 0, of the high half at radius 0, and so on to 16."""

AHEAD = 16
"""Visits by which a search loads where a bucket is before it compares the bucket."""

_SWAPS = ((1, 0x22222222), (2, 0x0C0C0C0C), (4, 0x00F000F0), (8, 0x0000FF00))
_LOW = np.uint32(BUCKETS - 1)


@kernel("uint32(uint32)")
def deal(code: Any) -> Any:
    """Deal the bits of a code out: the even ones to the low half, the odd ones to the high half."""
    for shift, mask in _SWAPS:
        moved = (code ^ (code >> np.uint32(shift))) & np.uint32(mask)
        code = code ^ moved ^ (moved << np.uint32(shift))
    return np.uint32(code)


@kernel("uint32(uint32, int64)")
def half_of(dealt: Any, half: Any) -> Any:
    """The low half (0) or the high half (1) of a dealt code, in 16 bits."""
    return np.uint32((dealt >> np.uint32(HALF_BITS * half)) & _LOW)


@kernel("uint64(uint32, int64)")
def bucket_of(dealt: Any, half: Any) -> Any:
    """Number of the bucket in which one half of a dealt code belongs; the low half's come first."""
    return np.uint64(half_of(dealt, half)) | np.uint64(half) << np.uint64(HALF_BITS)


@cache
def schedule() -> tuple[NDArray[np.uint32], NDArray[np.int64]]:
    """The order in which every search visits buckets, ring by ring.

    Returns:
        (131072 + `AHEAD`,) uint32, by which to XOR the number of the query's own bucket of the low
        half, or of the high half if bit 16 is set; padded, since searches look ahead. And
        (`RINGS`,) int64, where each ring ends.
    """
    words = np.arange(BUCKETS, dtype=np.uint32)
    ones = np.bitwise_count(words)
    rings = [
        words[ones == radius] | np.uint32(half << HALF_BITS)
        for radius in range(HALF_BITS + 1)
        for half in range(2)
    ]
    ends = np.cumsum([len(ring) for ring in rings])
    return np.concatenate([*rings, np.zeros(AHEAD, np.uint32)]), ends.astype(np.int64)
