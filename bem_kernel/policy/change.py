"""Change detection in integers: a window that grows while its values agree and is cut when not.

The window is an exponential histogram: buckets of 1, 2, 4, ... values, fewer than `SLOTS` of each
size when at rest, so that n values take about SLOTS * log2(n) buckets. Every border between buckets
splits the window in an older and a recent part; where the means of the two differ by more than
chance allows, the older part is dropped. With n0 and n1 values in the parts, m = 1 / (1/n0 + 1/n1),
the window's variance v, and L = ln(2 * borders / delta), Bernstein's inequality allows

    difference <= sqrt(2 * v * L / m) + 2 * L / (3 * m)

so that a check finds a change in values that have none with probability at most delta. That the
window's own variance stands for the true one is ADWIN's approximation and ours.

Where ADWIN drops the oldest bucket until the rest agree, this cuts once, at the border with the
most evidence: what stays is the best guess of what came after the change, and can be learned from.

Source: Bifet and Gavaldà, "Learning from time-changing data with adaptive windowing" (SDM 2007);
Datar, Gionis, Indyk and Motwani, "Maintaining stream statistics over sliding windows" (2002).
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from bem_kernel.compiled import kernel
from bem_kernel.errors import ShapeError
from bem_kernel.policy.exp2 import ONE_Q16
from bem_kernel.policy.logarithm import ln_up_q16
from bem_kernel.policy.square_root import isqrt

LEVELS = 40  # buckets of up to 2**39 values; what leaves the largest is forgotten
SLOTS = 6  # of one size; when a seventh comes, the two oldest become one of the next size
MIN_PART = 8  # values on either side of a border
CHECK_EVERY = 8  # pushes from check to check

RISE, FALL = 1, -1
"""What `push` answers when the recent mean lies above, or below, the older one."""

WIDTH, SUM, SQUARES, PUSHES, CUTS = range(LEVELS, LEVELS + 5)
N_TALLY = LEVELS + 5
"""Numbers beside the buckets: how many there are of each size, then these five."""

_LN2_UP_Q16 = np.int64(45427)
_WIDE = np.int64(1 << 31)
_ONE = np.int64(1)
_TWO = np.int64(2)


@kernel("void(int64[:, :, ::1], int64[::1], int64)")
def insert(buckets: NDArray[np.int64], tally: NDArray[np.int64], value: np.int64) -> None:
    """Add a value as the newest bucket, and merge where a size is full.

    Args:
        buckets: (LEVELS, SLOTS, 2) int64, changed: sum, and sum of squares, of each bucket of
            2**level values, Q16, oldest first.
        tally: (N_TALLY,) int64, changed.
        value: Q16 within ±65536.
    """
    first, second = np.int64(value), (value * value + np.int64(ONE_Q16 - 1)) >> np.int64(16)
    tally[WIDTH] += 1
    tally[SUM] += first
    tally[SQUARES] += second
    for level in range(LEVELS):
        n = tally[level]
        if n < SLOTS:
            buckets[level, n, 0], buckets[level, n, 1] = first, second
            tally[level] = n + 1
            return
        older = buckets[level, 0, 0] + buckets[level, 1, 0]
        older_squares = buckets[level, 0, 1] + buckets[level, 1, 1]
        for k in range(2, SLOTS):
            for which in range(2):
                buckets[level, k - 2, which] = buckets[level, k, which]
        buckets[level, SLOTS - 2, 0], buckets[level, SLOTS - 2, 1] = first, second
        tally[level] = SLOTS - 1
        first, second = older, older_squares
    tally[WIDTH] -= _ONE << np.int64(LEVELS)
    tally[SUM] -= first
    tally[SQUARES] -= second


@kernel("int64(int64, int64, int64, int64, int64, int64)")
def evidence(
    n0: np.int64, sum0: np.int64, n1: np.int64, sum1: np.int64, variance: np.int64, log: np.int64
) -> np.int64:
    """How clearly two parts differ: difference * sqrt(m), Q24; 0 where chance explains it.

    Args:
        n0: values in the older part, 1 or more.
        sum0: their sum, Q16.
        n1: values in the recent part, 1 or more.
        sum1: their sum, Q16.
        variance: of the whole window, Q16, 1 to 2**16.
        log: L of the module's formula, Q16, below 2**23.

    Returns:
        Positive where the recent mean is higher, negative where it is lower.
    """
    difference = sum1 // n1 - sum0 // n0
    m = min(n0, n1)
    if max(n0, n1) < _WIDE:  # else the product might not fit, and m is the shorter part anyway
        m = max(n0 * n1 // (n0 + n1), _ONE)
    rest = abs(difference) - (_TWO * log // (np.int64(3) * m) + _ONE)
    if rest <= 0 or rest * rest <= _TWO * variance * log // m:
        return np.int64(0)
    return difference * np.int64(isqrt(np.uint64(m) << np.uint64(16)))


@kernel("int64(int64[:, :, ::1], int64[::1], int64)")
def find_cut(buckets: NDArray[np.int64], tally: NDArray[np.int64], octaves: np.int64) -> np.int64:
    """The border with the most evidence of a change.

    Args:
        buckets: as for `insert`.
        tally: as for `insert`.
        octaves: delta is 2**-octaves, 1 to 64.

    Returns:
        Number of values after the border, negative where their mean is lower; 0 if no border
        shows a change.
    """
    width, total = tally[WIDTH], tally[SUM]
    borders = np.int64(0)
    for level in range(LEVELS):
        borders += tally[level]
    mean = total // max(width, _ONE)
    variance = tally[SQUARES] // max(width, _ONE) - (mean * mean >> np.int64(16))
    variance = max(variance + _ONE, _ONE)
    log = np.int64(ln_up_q16(_TWO * borders)) + octaves * _LN2_UP_Q16
    recent, recent_sum, best, cut = np.int64(0), np.int64(0), np.int64(0), np.int64(0)
    for level in range(LEVELS):
        for back in range(tally[level]):
            recent += _ONE << np.int64(level)
            recent_sum += buckets[level, tally[level] - 1 - back, 0]
            older = width - recent
            if older < MIN_PART:
                return cut
            if recent < MIN_PART:
                continue
            found = evidence(older, total - recent_sum, recent, recent_sum, variance, log)
            if abs(found) > best:
                best = abs(found)
                cut = recent if found > 0 else -recent
    return cut


@kernel("void(int64[:, :, ::1], int64[::1], int64)")
def keep_recent(buckets: NDArray[np.int64], tally: NDArray[np.int64], keep: np.int64) -> None:
    """Drop the buckets older than the newest `keep` values, which end at a border."""
    left = np.int64(keep)
    tally[WIDTH], tally[SUM], tally[SQUARES] = keep, np.int64(0), np.int64(0)
    for level in range(LEVELS):
        stay = min(tally[level], left >> np.int64(level))
        drop = tally[level] - stay
        for k in range(stay):
            for which in range(2):
                buckets[level, k, which] = buckets[level, k + drop, which]
                tally[SUM + which] += buckets[level, k, which]
        tally[level] = stay
        left -= stay << np.int64(level)


@kernel("int64(int64[:, :, ::1], int64[::1], int64, int64)")
def push(
    buckets: NDArray[np.int64], tally: NDArray[np.int64], value: np.int64, octaves: np.int64
) -> np.int64:
    """Add a value and, every `CHECK_EVERY` pushes, cut the window where it shows a change.

    Args:
        buckets: as for `insert`.
        tally: as for `insert`.
        value: Q16 within ±65536.
        octaves: delta is 2**-octaves, 1 to 64.

    Returns:
        0, `RISE` or `FALL`.
    """
    insert(buckets, tally, value)
    tally[PUSHES] += 1
    if tally[PUSHES] % CHECK_EVERY != 0:
        return np.int64(0)
    cut = find_cut(buckets, tally, octaves)
    if cut == 0:
        return np.int64(0)
    keep_recent(buckets, tally, abs(cut))
    tally[CUTS] += 1
    return np.int64(RISE) if cut > 0 else np.int64(FALL)


class ChangeDetector:
    """Watches a stream of values for a change of its mean; `push` changes it in place.

    Args:
        octaves: a check answers without cause with probability at most 2**-octaves, 1 to 64.

    Raises:
        ShapeError: `octaves` is out of range.

    Example:
        >>> detector = ChangeDetector()
        >>> answers = [detector.push(65536 if i >= 300 else 0) for i in range(400)]
        >>> answers.count(RISE), detector.width
        (1, 100)
    """

    def __init__(self, octaves: int = 10) -> None:
        if not 1 <= octaves <= 64:
            raise ShapeError(
                f"octaves is {octaves}", where="change.ChangeDetector", fix="use 1 to 64"
            )
        self.octaves = octaves
        self.buckets = np.zeros((LEVELS, SLOTS, 2), dtype=np.int64)
        self.tally = np.zeros(N_TALLY, dtype=np.int64)

    def push(self, value_q16: int) -> int:
        """Add a value; return 0, or `RISE` or `FALL` where the mean has changed.

        Raises:
            ShapeError: the value is outside ±65536.
        """
        if not -ONE_Q16 <= value_q16 <= ONE_Q16:
            raise ShapeError(
                f"value {value_q16} is outside ±65536",
                where="change.push",
                fix="scale values to ±1 in Q16",
            )
        return int(push(self.buckets, self.tally, value_q16, self.octaves))

    @property
    def width(self) -> int:
        """Number of values since the last change, by best guess."""
        return int(self.tally[WIDTH])

    @property
    def mean_q16(self) -> int:
        """Mean of those values, Q16, rounded down; 0 for none."""
        return int(self.tally[SUM]) // max(self.width, 1)

    def clear(self) -> None:
        """Forget all values."""
        self.tally[:] = 0
