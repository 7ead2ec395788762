"""Rewards that tell which arm is best: one champion per context pays well, the others do not.

Every arm has a score, ``theta . x + offset[cell]``, and is the champion of a context with the
probability pi = softmax(scores). A champion pays with probability `high`, another arm with `low`,
so that the chosen arm a pays with p = low + (high - low) pi_a, and a payment says something about
every arm: that of a poor arm speaks for all others. With h_k = dp / dscore_k and v_k the variance
of a score, cell included, an outcome r moves the beliefs about each arm as the extended Kalman
filter does, covariance between arms neglected:

    s = p (1 - p) + sum of h_k h_k v_k
    theta_k  += P_k x h_k (r - p) / s        P_k           -= P_k x (P_k x)' h_k h_k / s
    offset_k += q_k h_k (r - p) / s          information_k += h_k h_k / (s - h_k h_k q_k)

`high` and `low` are averages of what was paid of late, weighted by the probability that it was a
champion that paid; they start at 3/4 and 1/4, which count as four payments each. What was counted
early, when arms were taken for champions that are not, is forgotten: else forecasts stay too high,
and look like a change once shares are sharp.

Models and cells are those of `logistic`, which is right where every arm pays by its own score.

Source: Fahrmeir (1992), as for `logistic`; Dempster, Laird and Rubin (1977) for the weights.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from bem_kernel.compiled import kernel
from bem_kernel.policy.exp2 import ONE_Q16, ONE_Q30, exp2_fine_q30
from bem_kernel.policy.logistic import (
    INFORMATION,
    LOG2E_Q24,
    MAX_LOG_ODDS,
    OFFSET,
    correct,
    correct_cell,
    looseness_q32,
    predict,
)

PAID, SEEN = range(2)
START_Q16 = ((3 * ONE_Q16, 4 * ONE_Q16), (ONE_Q16, 4 * ONE_Q16))
"""What champions, and then others, have `PAID` and how often they were `SEEN`, to begin with."""

MEAN, VARIANCE, SHARE = range(3)
"""Columns of the scratch: a score's mean and variance, Q32, and the arm's pi, Q30."""

_LEAST_Q30 = np.int64(ONE_Q30 // 32)  # of `high` and `low`, and as far below 1
_REMEMBERED_Q16 = np.int64(2048 * ONE_Q16)  # then half of what was counted is forgotten
_ONE = np.int64(1)


@kernel("void(int64[:, ::1])")
def share(scores: NDArray[np.int64]) -> None:
    """Write every arm's probability to be the champion.

    Args:
        scores: (arms, 3) int64: `MEAN` read, `SHARE` written, Q30, sum at most 2**30.
    """
    highest, total = scores[0, MEAN], np.int64(0)
    for arm in range(len(scores)):
        highest = max(highest, scores[arm, MEAN])
    for arm in range(len(scores)):
        behind = min(highest - scores[arm, MEAN], MAX_LOG_ODDS)
        octaves_q32 = (behind >> np.int64(8)) * LOG2E_Q24 >> np.int64(16)
        scores[arm, SHARE] = exp2_fine_q30(octaves_q32)
        total += scores[arm, SHARE]
    for arm in range(len(scores)):
        scores[arm, SHARE] = (scores[arm, SHARE] << np.int64(30)) // total


@kernel("int64(int64[:, ::1], int64)")
def pays_q30(payments: NDArray[np.int64], which: np.int64) -> np.int64:
    """Probability that a champion (0), or another arm (1), pays: Q30, 1/32 to 31/32."""
    mean = (payments[which, PAID] << np.int64(30)) // payments[which, SEEN]
    return np.int64(min(max(mean, _LEAST_Q30), np.int64(ONE_Q30) - _LEAST_Q30))


@kernel("void(int64[:, ::1], int64, int64, int64, int64)")
def credit(
    payments: NDArray[np.int64],
    forecast_q30: np.int64,
    reward_q16: np.int64,
    high: np.int64,
    share_q30: np.int64,
) -> None:
    """Count a payment for champions and for others, by which of them probably paid it.

    Args:
        payments: (2, 2) int64, changed: as `START_Q16`.
        forecast_q30: p.
        reward_q16: what was paid.
        high: Q30.
        share_q30: the arm's pi before.
    """
    rest = np.int64(ONE_Q30)
    if_paid = (share_q30 * high) // forecast_q30
    if_not = (share_q30 * (rest - high)) // (rest - forecast_q30)
    mixed = if_paid * reward_q16 + if_not * (np.int64(ONE_Q16) - reward_q16)
    champion_q16 = min(max(mixed >> np.int64(30), np.int64(0)), np.int64(ONE_Q16))
    for which in range(2):
        seen = champion_q16 if which == 0 else np.int64(ONE_Q16) - champion_q16
        payments[which, PAID] += seen * reward_q16 >> np.int64(16)
        payments[which, SEEN] += seen
        if payments[which, SEEN] >= _REMEMBERED_Q16:
            payments[which, PAID] >>= _ONE
            payments[which, SEEN] >>= _ONE


@kernel(
    "int64(int64[:, :, ::1], int64[:, :, ::1], int64[:, ::1], int64[::1], int64, int64, int64,"
    " int64, int64[::1], int64[:, ::1])"
)
def learn(
    models: NDArray[np.int64],
    cells: NDArray[np.int64],
    payments: NDArray[np.int64],
    x_q15: NDArray[np.int64],
    cell: np.int64,
    cell_prior_q32: np.int64,
    arm: np.int64,
    reward_q16: np.int64,
    reach_q40: NDArray[np.int64],
    scores: NDArray[np.int64],
) -> np.int64:
    """Move the beliefs about all arms after one of them was chosen.

    Args:
        models: (arms, 1 + features, features) int64, changed; see `logistic.predict`.
        cells: (arms, cells, 2) int64, changed; see `logistic.correct_cell`.
        payments: (2, 2) int64, changed; as `START_Q16`.
        x_q15: (features,) int64.
        cell: of the context, -1 where cells are not corrected.
        cell_prior_q32: prior variance of an offset.
        arm: the arm that was chosen.
        reward_q16: what it paid, 0 to 65536.
        reach_q40: (features,) int64, scratch.
        scores: (arms, 3) int64, scratch.

    Returns:
        p, what was forecast, Q30.
    """
    one = np.int64(ONE_Q30)
    for k in range(len(models)):
        scores[k, MEAN], scores[k, VARIANCE] = predict(models[k], x_q15, reach_q40)
        if cell >= 0:
            scores[k, MEAN] += cells[k, cell, OFFSET]
            scores[k, VARIANCE] += looseness_q32(cells[k, cell, INFORMATION], cell_prior_q32)
    share(scores)
    high, low = pays_q30(payments, np.int64(0)), pays_q30(payments, _ONE)
    slope = (high - low) * scores[arm, SHARE] >> np.int64(30)
    p = low + slope
    credit(payments, p, reward_q16, high, scores[arm, SHARE])
    s = p * (one - p) >> np.int64(30)
    for k in range(len(models)):
        own = one if k == arm else np.int64(0)
        h = slope * (own - scores[k, SHARE]) >> np.int64(30)
        s += (h * h >> np.int64(30)) * (scores[k, VARIANCE] >> np.int64(8)) >> np.int64(24)
    for k in range(len(models)):
        own = one if k == arm else np.int64(0)
        h = slope * (own - scores[k, SHARE]) >> np.int64(30)
        surprise = h * ((reward_q16 << np.int64(14)) - p) // s
        predict(models[k], x_q15, reach_q40)
        correct(models[k], reach_q40, surprise, h * h // s)
        if cell >= 0:
            loose = looseness_q32(cells[k, cell, INFORMATION], cell_prior_q32)
            known = (h * h >> np.int64(30)) * (loose >> np.int64(8)) >> np.int64(24)
            correct_cell(cells[k, cell], loose, surprise, h * h // max(s - known, _ONE))
    return np.int64(p)
