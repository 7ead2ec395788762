"""Change detection in integers: a window that grows while its values agree and is cut when not.

The window is an exponential histogram: buckets of 1, 2, 4, ... values, at most `SLOTS` of each
size, so that n values take about SLOTS * log2(n) buckets. Every border between buckets splits
the window in an older and a recent part; where the means of the two differ by more than chance
allows, the older part is dropped. With n0 and n1 values in the parts, m = 1 / (1/n0 + 1/n1), the
window's variance v, and L = ln(2 * borders / delta), Bernstein's inequality allows

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
from bem_kernel.policy.logarithm import ln_up_q16
from bem_kernel.policy.square_root import isqrt

ONE_Q16 = 1 << 16
LEVELS = 40  # buckets of up to 2**39 values; beyond that the oldest are forgotten
SLOTS = 6  # of one size; the two oldest of six become one of the next
MIN_PART = 8  # values on either side of a border
CHECK_EVERY = 8  # pushes from check to check

RISE, FALL = 1, -1
"""What `push` answers when the recent mean lies above, or below, the older one."""

_WIDTH, _SUM, _SQUARES, _PUSHES, _CUTS = range(5)
N_REGISTERS = 5
_LN2_UP_Q16 = np.int64(45427)
_ONE = np.int64(1)


@kernel("void(int64[:, :, ::1], int64[::1], int64[::1], int64)")
def insert(
    sums: NDArray[np.int64],
    counts: NDArray[np.int64],
    registers: NDArray[np.int64],
    value: np.int64,
) -> None:
    """Add a value, Q16 within ±65536, as the newest bucket, and merge where a size is full.

    Args:
        sums: (LEVELS, SLOTS, 2) int64, sum and sum of squares of each bucket, Q16, oldest first.
        counts: (LEVELS,) int64, buckets of 2**level values.
        registers: (N_REGISTERS,) int64, width, sum, sum of squares, pushes, cuts.
        value: the new value.
    """
    first, second = np.int64(value), np.int64((value * value + 65535) >> 16)
    registers[_WIDTH] += 1
    registers[_SUM] += first
    registers[_SQUARES] += second
    for level in range(LEVELS):
        n = counts[level]
        if n < SLOTS:
            sums[level, n, 0], sums[level, n, 1] = first, second
            counts[level] = n + 1
            return
        oldest, oldest_squares = sums[level, 0, 0], sums[level, 0, 1]
        carry, carry_squares = oldest + sums[level, 1, 0], oldest_squares + sums[level, 1, 1]
        for k in range(2, SLOTS):
            sums[level, k - 2, 0], sums[level, k - 2, 1] = sums[level, k, 0], sums[level, k, 1]
        sums[level, SLOTS - 2, 0], sums[level, SLOTS - 2, 1] = first, second
        counts[level] = SLOTS - 1
        first, second = carry, carry_squares
    registers[_WIDTH] -= _ONE << np.int64(LEVELS)  # what leaves the largest size is forgotten
    registers[_SUM] -= first
    registers[_SQUARES] -= second


@kernel("int64(int64, int64, int64, int64, int64, int64)")
def evidence(
    n0: np.int64, sum0: np.int64, n1: np.int64, sum1: np.int64, variance: np.int64, log: np.int64
) -> np.int64:
    """How clearly two parts differ: difference * sqrt(m), Q16; 0 where chance explains it.

    Args:
        n0: values in the older part, 1 or more.
        sum0: their sum, Q16.
        n1: values in the recent part.
        sum1: their sum, Q16.
        variance: of the whole window, Q16, 1 or more.
        log: L of the module's formula, Q16.

    Returns:
        Positive where the recent mean is higher, negative where it is lower.
    """
    difference = sum1 // n1 - sum0 // n0
    shorter, longer = min(n0, n1), max(n0, n1)
    m = max(shorter - shorter * shorter // (n0 + n1) if longer < 1 << 31 else shorter, _ONE)
    rest = abs(difference) - (np.int64(2) * log // (np.int64(3) * m) + _ONE)
    if rest <= 0 or rest * rest <= np.int64(2) * variance * log // m:
        return np.int64(0)
    return difference * np.int64(isqrt(np.uint64(m)))


@kernel("int64(int64[:, :, ::1], int64[::1], int64[::1], int64)")
def find_cut(
    sums: NDArray[np.int64],
    counts: NDArray[np.int64],
    registers: NDArray[np.int64],
    octaves: np.int64,
) -> np.int64:
    """The border with the most evidence of a change.

    Args:
        sums: as for `insert`.
        counts: as for `insert`.
        registers: as for `insert`.
        octaves: delta is 2**-octaves.

    Returns:
        Number of values after the border, negative where their mean is lower; 0 if no border
        shows a change.
    """
    width, total = registers[_WIDTH], registers[_SUM]
    borders = np.int64(0)
    for level in range(LEVELS):
        borders += counts[level]
    mean = total // max(width, _ONE)
    variance = registers[_SQUARES] // max(width, _ONE) - (mean * mean >> np.int64(16)) + _ONE
    log = np.int64(ln_up_q16(np.int64(2) * borders)) + octaves * _LN2_UP_Q16
    recent, recent_sum, best, cut = np.int64(0), np.int64(0), np.int64(0), np.int64(0)
    for level in range(LEVELS):
        for back in range(counts[level]):
            recent += _ONE << np.int64(level)
            recent_sum += sums[level, counts[level] - 1 - back, 0]
            older = width - recent
            if older < MIN_PART:
                return cut
            if recent < MIN_PART:
                continue
            found = evidence(
                older, total - recent_sum, recent, recent_sum, max(variance, _ONE), log
            )
            if abs(found) > best:
                best = abs(found)
                cut = recent if found > 0 else -recent
    return cut


@kernel("void(int64[:, :, ::1], int64[::1], int64[::1], int64)")
def keep_recent(
    sums: NDArray[np.int64], counts: NDArray[np.int64], registers: NDArray[np.int64], keep: np.int64
) -> None:
    """Drop all buckets older than the newest `keep` values, a border between buckets."""
    left = np.int64(keep)
    registers[_WIDTH], registers[_SUM], registers[_SQUARES] = keep, np.int64(0), np.int64(0)
    for level in range(LEVELS):
        stay = min(counts[level], left >> np.int64(level))
        drop = counts[level] - stay
        for k in range(stay):
            for which in range(2):
                sums[level, k, which] = sums[level, k + drop, which]
                registers[_SUM + which] += sums[level, k, which]
        counts[level] = stay
        left -= stay << np.int64(level)


@kernel("int64(int64[:, :, ::1], int64[::1], int64[::1], int64, int64)")
def push(
    sums: NDArray[np.int64],
    counts: NDArray[np.int64],
    registers: NDArray[np.int64],
    value: np.int64,
    octaves: np.int64,
) -> np.int64:
    """Add a value and, every `CHECK_EVERY` pushes, cut the window where it shows a change.

    Args:
        sums: as for `insert`.
        counts: as for `insert`.
        registers: as for `insert`.
        value: Q16 within ±65536.
        octaves: delta is 2**-octaves.

    Returns:
        0, `RISE` or `FALL`.
    """
    insert(sums, counts, registers, value)
    registers[_PUSHES] += 1
    if registers[_PUSHES] % CHECK_EVERY != 0:
        return np.int64(0)
    cut = find_cut(sums, counts, registers, octaves)
    if cut == 0:
        return np.int64(0)
    keep_recent(sums, counts, registers, abs(cut))
    registers[_CUTS] += 1
    return np.int64(RISE) if cut > 0 else np.int64(FALL)


class ChangeDetector:
    """Watches a stream of values for a change of its mean; `push` changes it in place.

    Args:
        octaves: a check answers without cause with probability at most 2**-octaves, 1 to 64.

    Raises:
        ShapeError: `octaves` is out of range.
    """

    def __init__(self, octaves: int = 14) -> None:
        if not 1 <= octaves <= 64:
            raise ShapeError(
                f"octaves is {octaves}", where="change.ChangeDetector", fix="use 1 to 64"
            )
        self.octaves = octaves
        self.sums = np.zeros((LEVELS, SLOTS, 2), dtype=np.int64)
        self.counts = np.zeros(LEVELS, dtype=np.int64)
        self.registers = np.zeros(N_REGISTERS, dtype=np.int64)

    def push(self, value_q16: int) -> int:
        """Add a value; return 0, or `RISE` or `FALL` where the mean has changed.

        Raises:
            ShapeError: the value is outside ±65536.
        """
        if not -ONE_Q16 <= value_q16 <= ONE_Q16:
            raise ShapeError(
                f"value {value_q16} is outside ±65536",
                where="change.push",
                fix="scale it to ±1 in Q16",
            )
        return int(push(self.sums, self.counts, self.registers, value_q16, self.octaves))

    @property
    def width(self) -> int:
        """Number of values since the last change, by best guess."""
        return int(self.registers[_WIDTH])

    @property
    def mean_q16(self) -> int:
        """Mean of those values, Q16, rounded down; 0 for none."""
        return int(self.registers[_SUM]) // max(self.width, 1)

    def clear(self) -> None:
        """Forget all values."""
        for array in (self.sums, self.counts, self.registers):
            array[:] = 0
