"""Online logistic regression in integers, to second order, with a correction per cell.

The log-odds of a reward are ``theta . x + offset[cell]``, where the cell is a coarse class of the
context. Beliefs about theta are a mean and a covariance P, those about an offset a mean and the
information gathered on it beside its prior. An outcome r in [0, 1] that was predicted with
probability p moves them as the extended Kalman filter does: with w = p (1 - p), q the variance of
the offset, v = x' P x, and s = 1 + w (v + q),

    theta  += P x (r - p) / s        P           -= P x (P x)' w / s
    offset += q (r - p) / s          information += w / (1 + w v)       q = 1 / (information + 1/a)

Covariance between theta and the offsets is neglected. The prior variance a of the offsets is itself
learned, by an EM step now and then (`revise_cells`): it shrinks towards nothing where the linear
model is right, and grows where cells have odds of their own, such as a reward that only the best
arm pays.

Numbers: features Q15 within ±1, theta, offsets and log-odds Q32 (nats), P Q40, information Q24,
probabilities Q30. P x is held as 30-bit mantissas with one common exponent for the outer product,
and roundings are to nearest, so that errors do not add up in one direction.

Source: Fahrmeir, "Posterior mode estimation by extended Kalman filtering for multivariate dynamic
generalized linear models" (1992); Dempster, Laird and Rubin (1977) for EM.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from bem_kernel.compiled import kernel
from bem_kernel.policy.exp2 import ONE_Q30, exp2_fine_q30

ONE_Q15 = 1 << 15
ONE_Q24 = 1 << 24
ONE_Q40 = 1 << 40
MAX_FEATURES = 32
"""The constant included; with priors of at most 4 this keeps every sum within 64 bits."""

OFFSET, INFORMATION = range(2)
"""Columns of a table of cells."""

LOG2E_Q24 = np.int64(24204406)
MAX_LOG_ODDS = np.int64(16 << 32)  # probabilities beyond are those of 16 nats
_MAX_THETA = np.int64(32 << 32)
_LEAST_WEIGHT_Q30 = np.int64(ONE_Q30 // 100)  # of an outcome that was thought certain
_MAX_INFORMATION = np.int64(1 << 56)
_LEAST_CELL_PRIOR_Q32 = np.int64(1 << 22)  # 1/1024
_MOST_CELL_PRIOR_Q32 = np.int64(1 << 32)
_LEAST_PRIOR_Q32 = np.int64(1 << 28)  # 1/16
_MOST_PRIOR_Q32 = np.int64(4 << 32)
_ONE = np.int64(1)


@kernel("int64(int64)")
def squash_q30(log_odds_q32: np.int64) -> np.int64:
    """Probability 1 / (1 + exp(-z)), Q30, of log-odds z in Q32 nats; never 0 nor 1."""
    size = min(abs(log_odds_q32), MAX_LOG_ODDS)
    octaves_q32 = (size >> np.int64(8)) * LOG2E_Q24 >> np.int64(16)
    likely = (_ONE << np.int64(60)) // (np.int64(ONE_Q30) + exp2_fine_q30(octaves_q32))
    likely = min(likely, np.int64(ONE_Q30) - _ONE)
    return np.int64(likely if log_odds_q32 >= 0 else np.int64(ONE_Q30) - likely)


@kernel("UniTuple(int64, 2)(int64[:, ::1], int64[::1], int64[::1])")
def predict(
    model: NDArray[np.int64], x_q15: NDArray[np.int64], reach_q40: NDArray[np.int64]
) -> tuple[np.int64, np.int64]:
    """Mean and variance of the log-odds theta . x.

    Args:
        model: (1 + features, features) int64: theta Q32, then the rows of P Q40, symmetric.
        x_q15: (features,) int64, within ±32768.
        reach_q40: (features,) int64, written: P x.

    Returns:
        Mean, and variance (at least 1), Q32.
    """
    mean, variance = np.int64(0), np.int64(0)
    for i in range(len(x_q15)):
        reach = np.int64(0)
        for j in range(len(x_q15)):
            reach += model[1 + i, j] * x_q15[j]
        reach_q40[i] = (reach + np.int64(1 << 14)) >> np.int64(15)
        mean += model[0, i] * x_q15[i]
        variance += (reach_q40[i] >> np.int64(8)) * x_q15[i]
    return mean >> np.int64(15), max(variance >> np.int64(15), _ONE)


@kernel("int64(int64, int64)")
def looseness_q32(information_q24: np.int64, prior_q32: np.int64) -> np.int64:
    """Variance of an offset, Q32, at least 1: 1 / (information + 1 / prior)."""
    precision_q24 = information_q24 + (_ONE << np.int64(56)) // prior_q32
    return max((_ONE << np.int64(56)) // precision_q24, _ONE)


@kernel("UniTuple(int64, 3)(int64, int64, int64, int64)")
def step_sizes(
    log_odds_q32: np.int64, variance_q32: np.int64, loose_q32: np.int64, outcome_q30: np.int64
) -> tuple[np.int64, np.int64, np.int64]:
    """How far an outcome moves the beliefs.

    Args:
        log_odds_q32: mean of the predicted log-odds.
        variance_q32: v of the module's formulas, 1 to 2**39.
        loose_q32: q, 0 to 2**32.
        outcome_q30: r, 0 to 2**30.

    Returns:
        (r - p) / s, w / s and w / (1 + w v), all Q30.
    """
    p = squash_q30(log_odds_q32)
    weight = max(p * (np.int64(ONE_Q30) - p) >> np.int64(30), _LEAST_WEIGHT_Q30)
    linear_q32 = (_ONE << np.int64(32)) + ((weight >> np.int64(6)) * variance_q32 >> np.int64(24))
    s_q32 = linear_q32 + ((weight >> np.int64(6)) * loose_q32 >> np.int64(24))
    surprise = ((outcome_q30 - p) << np.int64(32)) // s_q32
    raised = weight << np.int64(32)
    return surprise, raised // s_q32, raised // linear_q32


@kernel("void(int64[:, ::1], int64[::1], int64, int64)")
def correct(
    model: NDArray[np.int64],
    reach_q40: NDArray[np.int64],
    surprise_q30: np.int64,
    certainty_q30: np.int64,
) -> None:
    """Move the beliefs about theta after an outcome.

    Args:
        model: as for `predict`, changed; theta stays within ±32, the diagonal of P above 0.
        reach_q40: (features,) int64, P x from `predict`; overwritten.
        surprise_q30: (r - p) / s.
        certainty_q30: w / s.
    """
    largest = np.int64(0)
    for i in range(len(reach_q40)):
        largest = max(largest, abs(reach_q40[i]))
    shift = np.int64(0)
    while largest >> shift >= ONE_Q30:
        shift += 1
    for i in range(len(reach_q40)):
        reach_q40[i] = (reach_q40[i] + (_ONE << shift >> _ONE)) >> shift  # a 30-bit mantissa
        move = reach_q40[i] * surprise_q30 + (_ONE << np.int64(37) >> shift)
        theta = model[0, i] + (move >> (np.int64(38) - shift))
        model[0, i] = min(max(theta, -_MAX_THETA), _MAX_THETA)
    down = np.int64(40) - shift - shift
    for i in range(len(reach_q40)):
        scaled = (reach_q40[i] * certainty_q30 + np.int64(1 << 29)) >> np.int64(30)
        for j in range(i + 1):
            left = model[1 + i, j] - ((scaled * reach_q40[j] + (_ONE << down >> _ONE)) >> down)
            model[1 + i, j] = left
            model[1 + j, i] = left
        model[1 + i, i] = max(model[1 + i, i], _ONE)


@kernel("void(int64[::1], int64, int64, int64)")
def correct_cell(
    cell: NDArray[np.int64], loose_q32: np.int64, surprise_q30: np.int64, gathered_q30: np.int64
) -> None:
    """Move the beliefs about an offset after an outcome.

    Args:
        cell: (2,) int64, changed: `OFFSET` Q32, `INFORMATION` Q24.
        loose_q32: q.
        surprise_q30: (r - p) / s.
        gathered_q30: w / (1 + w v).
    """
    move = (loose_q32 * surprise_q30 + np.int64(1 << 29)) >> np.int64(30)
    cell[OFFSET] = min(max(cell[OFFSET] + move, -_MAX_THETA), _MAX_THETA)
    cell[INFORMATION] = min(cell[INFORMATION] + (gathered_q30 >> np.int64(6)), _MAX_INFORMATION)


@kernel("int64(int64[:, :, ::1], int64)")
def revise_cells(cells: NDArray[np.int64], prior_q32: np.int64) -> np.int64:
    """One EM step for the prior variance of the offsets: the mean of offset squared plus q.

    Args:
        cells: (arms, cells, 2) int64, changed: offsets are pulled to 0 by the new prior, not the
            old one.
        prior_q32: the old prior variance.

    Returns:
        The new one, Q32, within 1/1024 to 1 and at most 16 times the old.
    """
    total = np.int64(0)
    for arm in range(cells.shape[0]):
        for k in range(cells.shape[1]):
            offset_q16 = cells[arm, k, OFFSET] >> np.int64(16)
            total += offset_q16 * offset_q16 + looseness_q32(cells[arm, k, INFORMATION], prior_q32)
    revised = total // np.int64(cells.shape[0] * cells.shape[1])
    revised = min(revised, prior_q32 << np.int64(4))  # so that no product below leaves 64 bits
    revised = min(max(revised, _LEAST_CELL_PRIOR_Q32), _MOST_CELL_PRIOR_Q32)
    for arm in range(cells.shape[0]):
        for k in range(cells.shape[1]):
            information = cells[arm, k, INFORMATION]
            ratio_q24 = (looseness_q32(information, revised) << np.int64(24)) // looseness_q32(
                information, prior_q32
            )
            offset = (cells[arm, k, OFFSET] >> np.int64(8)) * ratio_q24 >> np.int64(16)
            cells[arm, k, OFFSET] = min(max(offset, -_MAX_THETA), _MAX_THETA)
    return revised


@kernel("int64(int64[:, :, ::1])")
def typical_variance_q32(models: NDArray[np.int64]) -> np.int64:
    """What the weights of all arms suggest as prior variance: the mean of theta squared plus P.

    Args:
        models: (arms, 1 + features, features) int64.

    Returns:
        Q32, within 1/16 to 4; arms that were never tried count with their prior.
    """
    total = np.int64(0)
    features = models.shape[2]
    for arm in range(models.shape[0]):
        for i in range(features):
            theta_q16 = models[arm, 0, i] >> np.int64(16)
            total += theta_q16 * theta_q16 + (models[arm, 1 + i, i] >> np.int64(8))
    typical = total // np.int64(models.shape[0] * features)
    return min(max(typical, _LEAST_PRIOR_Q32), _MOST_PRIOR_Q32)
