"""Counter-based random numbers: ticket number c of key k, without a state to keep or to race for.

Philox4x32-10 is a keyed bijection of 128-bit counters that passes TestU01's BigCrush; a run is
replayed from its key alone, and lanes, arms and workers draw from streams that never meet.

Source: Salmon, Moraes, Dror, Shaw, "Parallel random numbers: as easy as 1, 2, 3" (SC 2011).
"""

from __future__ import annotations

import numpy as np

from bem_kernel.compiled import kernel

_MULTIPLIER_0 = np.uint64(0xD2511F53)
_MULTIPLIER_1 = np.uint64(0xCD9E8D57)
_WEYL_0 = np.uint64(0x9E3779B9)
_WEYL_1 = np.uint64(0xBB67AE85)
_ROUNDS = 10
_MASK = np.uint64(0xFFFFFFFF)
_HALF = np.uint64(32)


@kernel("UniTuple(uint64, 2)(uint64, uint64, uint64)")
def philox(low: np.uint64, high: np.uint64, key: np.uint64) -> tuple[np.uint64, np.uint64]:
    """Philox4x32-10 of one 128-bit counter.

    Args:
        low: counter words 0 (low half) and 1.
        high: counter words 2 (low half) and 3.
        key: key words 0 (low half) and 1.

    Returns:
        Result words 0 and 1, then 2 and 3, the lower number in the low half.
    """
    c0, c1 = np.uint64(low) & _MASK, np.uint64(low) >> _HALF
    c2, c3 = np.uint64(high) & _MASK, np.uint64(high) >> _HALF
    k0, k1 = np.uint64(key) & _MASK, np.uint64(key) >> _HALF
    for _ in range(_ROUNDS):
        product_0 = _MULTIPLIER_0 * c0
        product_1 = _MULTIPLIER_1 * c2
        c0 = (product_1 >> _HALF) ^ c1 ^ k0
        c2 = (product_0 >> _HALF) ^ c3 ^ k1
        c1 = product_1 & _MASK
        c3 = product_0 & _MASK
        k0 = (k0 + _WEYL_0) & _MASK
        k1 = (k1 + _WEYL_1) & _MASK
    return c0 | c1 << _HALF, c2 | c3 << _HALF


@kernel("uint64(uint64, uint64)")
def ticket(key: np.uint64, counter: np.uint64) -> np.uint64:
    """A uniform random number of 64 bits: number `counter` of the main stream of `key`."""
    return philox(np.uint64(counter), np.uint64(0), np.uint64(key))[0]  # type: ignore[no-any-return]


@kernel("uint64(uint64, uint64, uint64)")
def stream_ticket(key: np.uint64, stream: np.uint64, counter: np.uint64) -> np.uint64:
    """Number `counter` of one of the 2**64 streams of `key`; stream 0 is that of `ticket`."""
    return philox(np.uint64(counter), np.uint64(stream), np.uint64(key))[0]  # type: ignore[no-any-return]
