"""When have forecasts stopped being worth their bits? A likelihood race against ignorance.

A forecaster that gives probability p to the outcome that comes spends -log2(p) bits on it; one that
knows nothing spends one bit a round. Forecasts that have saved `octaves` bits since the start, and
have then lost `octaves` bits of their best savings, have met a world they do not know.

A true forecaster loses b bits from a given round on with probability at most 2**-b (Ville), so the
mean time to a false alarm is at least 2**octaves rounds, whatever the contexts; it is far longer
where forecasts are worth something. Forecasts that go from right to worthless lose about
log2(1/2p) / 2 + log2(1/2(1-p)) / 2 bits a round: with p = 0.85, half a bit, where a window of their
losses needs several times the rounds. What such a race does not see is a change that leaves the
forecasts better than a coin; `change` sees it.

Source: Page, "Continuous inspection schemes" (Biometrika 1954); Shin, Ramdas and Rinaldo,
"E-detectors" (2022), on false alarms.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from bem_kernel.compiled import kernel
from bem_kernel.errors import ShapeError
from bem_kernel.policy.exp2 import ONE_Q16, ONE_Q30
from bem_kernel.policy.logarithm import log2_q30

SAVED, BEST, SINCE_BEST = range(3)
N_SAVINGS = 3
"""Bits saved and the most they ever were, Q30; rounds since then."""

_MAX_SAVED_Q30 = np.int64(1 << 61)
_ONE = np.int64(1)


@kernel("int64(int64, int64)")
def bits_saved_q30(p_q30: np.int64, outcome_q16: np.int64) -> np.int64:
    """One bit less what the forecast spends, Q30: at most 1, negative where it did badly.

    Args:
        p_q30: forecast of an outcome of 1, 1 to 2**30 - 1.
        outcome_q16: 0 to 65536; between them, that share of a 1 and the rest of a 0.
    """
    if_one = log2_q30(p_q30) - (np.int64(30) << np.int64(30))
    if_zero = log2_q30(np.int64(ONE_Q30) - p_q30) - (np.int64(30) << np.int64(30))
    spent = if_one * outcome_q16 + if_zero * (np.int64(ONE_Q16) - outcome_q16)
    return np.int64(np.int64(ONE_Q30) + (spent >> np.int64(16)))


@kernel("int64(int64[::1], int64, int64, int64)")
def weigh(
    savings: NDArray[np.int64], p_q30: np.int64, outcome_q16: np.int64, octaves: np.int64
) -> np.int64:
    """Count the bits of one forecast.

    Args:
        savings: (N_SAVINGS,) int64, changed; zeros at the start.
        p_q30: as for `bits_saved_q30`.
        outcome_q16: as for `bits_saved_q30`.
        octaves: bits to have been saved, and to be lost, 1 to 64.

    Returns:
        1 if the forecasts have lost their worth, else 0.
    """
    savings[SAVED] = min(savings[SAVED] + bits_saved_q30(p_q30, outcome_q16), _MAX_SAVED_Q30)
    savings[SINCE_BEST] += 1
    if savings[SAVED] >= savings[BEST]:
        savings[BEST] = savings[SAVED]
        savings[SINCE_BEST] = 0
        return np.int64(0)
    stake = octaves << np.int64(30)
    if savings[BEST] - savings[SAVED] < stake:
        return np.int64(0)
    if savings[BEST] >= stake:
        return np.int64(1)
    savings[:] = 0  # never worth anything so far: what was spent on learning is no debt
    return np.int64(0)


class ForecastAlarm:
    """Watches forecasts of outcomes in [0, 1]; `push` changes it in place.

    Args:
        octaves: false alarms come after 2**octaves rounds or more in the mean, 1 to 64.

    Raises:
        ShapeError: `octaves` is out of range.

    Example:
        >>> alarm = ForecastAlarm()
        >>> sure = (1 << 30) - (1 << 27)  # 7/8
        >>> any(alarm.push(sure, 65536) for _ in range(100))
        False
        >>> [alarm.push(sure, 0) for _ in range(9)].index(True)
        7
    """

    def __init__(self, octaves: int = 16) -> None:
        if not 1 <= octaves <= 64:
            raise ShapeError(
                f"octaves is {octaves}", where="code_length.ForecastAlarm", fix="use 1 to 64"
            )
        self.octaves = octaves
        self.savings = np.zeros(N_SAVINGS, dtype=np.int64)

    def push(self, p_q30: int, outcome_q16: int) -> bool:
        """Count one forecast; return True if forecasts have lost their worth, until `clear`.

        Raises:
            ShapeError: the forecast is not between 0 and 1, or the outcome not within them.
        """
        if not 0 < p_q30 < ONE_Q30 or not 0 <= outcome_q16 <= ONE_Q16:
            raise ShapeError(
                f"forecast {p_q30}, outcome {outcome_q16}",
                where="code_length.push",
                fix="give a forecast of 1 to 2**30 - 1 and an outcome of 0 to 65536",
            )
        return bool(weigh(self.savings, p_q30, outcome_q16, self.octaves))

    @property
    def since_best(self) -> int:
        """Rounds since the forecasts were at their best."""
        return int(self.savings[SINCE_BEST])

    def clear(self) -> None:
        """Forget all forecasts."""
        self.savings[:] = 0
