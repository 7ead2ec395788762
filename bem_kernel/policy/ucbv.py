"""UCB-V: choose the arm whose mean could be the highest, given its own variance.

The index of an arm pulled s times among t is mean + sqrt(2 V E / s) + 3 E / s with E = zeta ln t
and V the empirical variance. Every step rounds up, so an index is never below the real one and the
optimism that the regret bound rests on is kept: with zeta = 1.2 and rewards in [0, 1] the expected
regret is at most 10 * sum((variance / gap + 2) * ln T) over the arms that are not best.

Source: Audibert, Munos and Szepesvári, "Exploration-exploitation tradeoff using variance estimates
in multi-armed bandits" (2009), theorem 4.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from bem_kernel.compiled import kernel
from bem_kernel.errors import ShapeError
from bem_kernel.policy.exp2 import ONE_Q16
from bem_kernel.policy.logarithm import ln_up_q16
from bem_kernel.policy.square_root import isqrt

ZETA_Q16 = 78644
"""1.2, rounded up: the constant of the published bound."""

MAX_PULLS = (1 << 31) - 1
_MAX_ZETA_Q16 = 1 << 20
_ONE = np.int64(1)


@kernel("int64(int64, int64, int64, int64)")
def ucbv_index_q16(
    pulls: np.int64, total_q16: np.int64, squares_q32: np.int64, explore_q16: np.int64
) -> np.int64:
    """Index of an arm in Q16, rounded up.

    Args:
        pulls: times it was pulled, 1 to 2**31 - 1.
        total_q16: sum of its rewards in [0, 1], Q16.
        squares_q32: sum of their squares, Q32.
        explore_q16: zeta * ln(t), Q16, at most 2**26.
    """
    mean_q31 = (total_q16 << np.int64(15)) // pulls
    variance_q32 = squares_q32 // pulls + _ONE - (mean_q31 * mean_q31 >> np.int64(30))
    square_q48 = (variance_q32 * explore_q16 << _ONE) // pulls
    # Floors of floors are floors of the exact value, so one more unit at the end is above it.
    deviation_q16 = (np.int64(isqrt(np.uint64(square_q48))) >> np.int64(8)) + _ONE
    mean_q16 = total_q16 // pulls + _ONE
    index: np.int64 = mean_q16 + deviation_q16 + np.int64(3) * explore_q16 // pulls + _ONE
    return index


@kernel("int64(int64, int64)")
def explore_q16(rounds: np.int64, zeta_q16: np.int64) -> np.int64:
    """The E of the index, zeta * ln(t), in Q16, rounded up."""
    rounded: np.int64 = (zeta_q16 * ln_up_q16(rounds) >> np.int64(16)) + _ONE
    return rounded


@kernel("int64(int64[::1], int64[::1], int64[::1], int64[::1], int64)")
def ucbv_pick(
    pulls: NDArray[np.int64],
    totals_q16: NDArray[np.int64],
    squares_q32: NDArray[np.int64],
    candidates: NDArray[np.int64],
    explore: np.int64,
) -> np.int64:
    """The candidate with the highest index, the first of equals; one never pulled comes first.

    Args:
        pulls: (n,) int64.
        totals_q16: (n,) int64, sums of rewards.
        squares_q32: (n,) int64, sums of squared rewards.
        candidates: (k,) int64, arms; not checked.
        explore: as `explore_q16` gives it.

    Returns:
        An arm; -1 if there is no candidate.
    """
    best, best_index = np.int64(-1), np.int64(-1)
    for k in range(candidates.shape[0]):
        arm: np.int64 = candidates[k]
        if pulls[arm] == 0:
            return arm
        index = ucbv_index_q16(pulls[arm], totals_q16[arm], squares_q32[arm], explore)
        if index > best_index:
            best, best_index = arm, index
    return best


class UcbV:
    """A bandit over n arms with rewards in [0, 1], for worlds that stay as they are.

    Args:
        n: number of arms, 1 or more; `add` appends further ones.
        zeta_q16: how much is explored, Q16; less than 65536 gives up the published bound.
    """

    def __init__(self, n: int, zeta_q16: int = ZETA_Q16) -> None:
        if n < 1 or not 0 < zeta_q16 <= _MAX_ZETA_Q16:
            raise ShapeError(
                f"n is {n}, zeta_q16 is {zeta_q16}",
                where="ucbv.UcbV",
                fix="use n >= 1 and 0 < zeta_q16 <= 2**20",
            )
        self._zeta_q16 = zeta_q16
        self._pulls = np.zeros(n, dtype=np.int64)
        self._totals_q16 = np.zeros(n, dtype=np.int64)
        self._squares_q32 = np.zeros(n, dtype=np.int64)

    @property
    def pulls(self) -> NDArray[np.int64]:
        """(n,) int64, how often each arm was pulled."""
        return self._pulls.copy()

    @property
    def totals_q16(self) -> NDArray[np.int64]:
        """(n,) int64, the sum of each arm's rewards, Q16."""
        return self._totals_q16.copy()

    def add(self) -> int:
        """Append an arm that was never pulled and return its number."""
        self._pulls = np.append(self._pulls, np.int64(0))
        self._totals_q16 = np.append(self._totals_q16, np.int64(0))
        self._squares_q32 = np.append(self._squares_q32, np.int64(0))
        return len(self._pulls) - 1

    def pick(self, candidates: NDArray[np.int64] | None = None) -> int:
        """The arm to pull next.

        Args:
            candidates: (k,) int64, the arms to choose from; None for all.

        Raises:
            ShapeError: there is no candidate, or one is no arm.
        """
        n = len(self._pulls)
        arms = np.arange(n) if candidates is None else np.ascontiguousarray(candidates, np.int64)
        if len(arms) == 0 or arms.min() < 0 or arms.max() >= n:
            raise ShapeError(
                f"candidates are {arms}", where="ucbv.pick", fix=f"give some of 0 to {n - 1}"
            )
        return int(
            ucbv_pick(self._pulls, self._totals_q16, self._squares_q32, arms, self._explore())
        )

    def indices_q16(self) -> NDArray[np.int64]:
        """(n,) int64, the index of each arm, Q16; 2**62 for one never pulled."""
        rows = zip(
            self._pulls.tolist(), self._totals_q16.tolist(), self._squares_q32.tolist(), strict=True
        )
        explore = self._explore()
        indices = [ucbv_index_q16(*row, explore) if row[0] else 1 << 62 for row in rows]
        return np.array(indices, dtype=np.int64)

    def update(self, arm: int, reward_q16: int) -> None:
        """Note the reward of an arm.

        Args:
            arm: 0 to n - 1.
            reward_q16: 0 to 65536.

        Raises:
            ShapeError: no such arm, the reward is out of range, or the arm was pulled 2**31 - 1
                times already.
        """
        n = len(self._pulls)
        if not 0 <= arm < n or not 0 <= reward_q16 <= ONE_Q16:
            raise ShapeError(
                f"arm {arm}, reward {reward_q16}",
                where="ucbv.update",
                fix=f"give an arm of 0 to {n - 1} and a reward of 0 to 65536",
            )
        if self._pulls[arm] >= MAX_PULLS:
            raise ShapeError(
                f"arm {arm} was pulled {MAX_PULLS} times", where="ucbv.update", fix="start afresh"
            )
        self._pulls[arm] += 1
        self._totals_q16[arm] += reward_q16
        self._squares_q32[arm] += reward_q16 * reward_q16

    def _explore(self) -> np.int64:
        return np.int64(explore_q16(max(1, int(self._pulls.sum())), self._zeta_q16))
