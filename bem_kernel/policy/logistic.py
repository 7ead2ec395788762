"""Online logistic regression in integers, to second order, with a correction per cell.

The log-odds of a reward are ``theta . x + offset[cell]``, where the cell is a coarse class of the
context. Beliefs about theta are a mean and a covariance ("spread"), those about an offset a mean
and a variance. An outcome r in [0, 1] that was predicted with probability p moves them as the
extended Kalman filter does: with w = p (1 - p) and v the variance of the predicted log-odds,

    theta  += P x (r - p) / (1 + w v)        P  -= P x (P x)' w / (1 + w v)

and the offset likewise, as one more feature that only its cell has; covariance between theta and
the offsets is neglected. A small prior variance of the offsets costs next to nothing where the
linear model is right, and lets every cell find its own odds where it is not.

Numbers: features Q15 within ±1, theta and log-odds Q32 (nats), spread Q40, probabilities Q30.
P x is held as 30-bit mantissas with one common exponent for the outer product, and every rounding
is to nearest, so that errors do not add up in one direction.

Source: extended Kalman filter for generalised linear models, Fahrmeir 1992; online Newton step,
Hazan, Agarwal and Kale 2007.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from bem_kernel.compiled import kernel
from bem_kernel.policy.exp2 import ONE_Q30, exp2_fine_q30

ONE_Q15 = 1 << 15
ONE_Q40 = 1 << 40
MAX_FEATURES = 32  # the constant included: keeps all sums within 64 bits
_LOG2E_Q24 = np.int64(24204406)
_MAX_LOG_ODDS = np.int64(16 << 32)  # probabilities beyond are those of 16 nats
_MAX_THETA = np.int64(32 << 32)
_LEAST_WEIGHT_Q30 = np.int64(ONE_Q30 // 100)  # of an outcome that was thought certain
_ONE = np.int64(1)


@kernel("int64(int64)")
def squash_q30(log_odds_q32: np.int64) -> np.int64:
    """Probability 1 / (1 + exp(-z)) in Q30 of log-odds z in Q32 nats, never 0 nor 1."""
    size = min(abs(log_odds_q32), _MAX_LOG_ODDS)
    octaves_q32 = (size >> np.int64(8)) * _LOG2E_Q24 >> np.int64(16)
    likely = (_ONE << np.int64(60)) // (np.int64(ONE_Q30) + exp2_fine_q30(octaves_q32))
    likely = min(likely, np.int64(ONE_Q30) - _ONE)
    return likely if log_odds_q32 >= 0 else np.int64(ONE_Q30) - likely


@kernel("UniTuple(int64, 2)(int64[::1], int64[:, ::1], int64[::1], int64[::1])")
def predict(
    theta_q32: NDArray[np.int64],
    spread_q40: NDArray[np.int64],
    x_q15: NDArray[np.int64],
    reach_q40: NDArray[np.int64],
) -> tuple[np.int64, np.int64]:
    """Mean and variance of the log-odds theta . x.

    Args:
        theta_q32: (features,) int64.
        spread_q40: (features, features) int64, symmetric, at most 1 in size.
        x_q15: (features,) int64, within ±32768.
        reach_q40: (features,) int64, written: P x.

    Returns:
        Mean in Q32; variance in Q32, at least 1.
    """
    mean, variance = np.int64(0), np.int64(0)
    features = len(theta_q32)
    for i in range(features):
        reach = np.int64(0)
        for j in range(features):
            reach += spread_q40[i, j] * x_q15[j]
        reach_q40[i] = (reach + np.int64(1 << 14)) >> np.int64(15)
        mean += theta_q32[i] * x_q15[i]
        variance += (reach_q40[i] >> np.int64(8)) * x_q15[i]
    return mean >> np.int64(15), max(variance >> np.int64(15), _ONE)


@kernel("UniTuple(int64, 2)(int64, int64, int64)")
def step_sizes(
    log_odds_q32: np.int64, variance_q32: np.int64, outcome_q30: np.int64
) -> tuple[np.int64, np.int64]:
    """(r - p) / (1 + w v) and w / (1 + w v), both Q30.

    Args:
        log_odds_q32: mean of the predicted log-odds.
        variance_q32: their variance v, 1 to 2**38.
        outcome_q30: r, 0 to 2**30.
    """
    p = squash_q30(log_odds_q32)
    weight = max(p * (np.int64(ONE_Q30) - p) >> np.int64(30), _LEAST_WEIGHT_Q30)
    scale_q32 = (_ONE << np.int64(32)) + ((weight >> np.int64(6)) * variance_q32 >> np.int64(24))
    surprise = ((outcome_q30 - p) << np.int64(32)) // scale_q32
    return surprise, (weight << np.int64(32)) // scale_q32


@kernel("void(int64[::1], int64[:, ::1], int64[::1], int64, int64)")
def correct(
    theta_q32: NDArray[np.int64],
    spread_q40: NDArray[np.int64],
    reach_q40: NDArray[np.int64],
    surprise_q30: np.int64,
    certainty_q30: np.int64,
) -> None:
    """Move the beliefs about theta after an outcome.

    Args:
        theta_q32: (features,) int64, changed; stays within ±32.
        spread_q40: (features, features) int64, changed; its diagonal stays positive.
        reach_q40: (features,) int64, P x from `predict`; overwritten.
        surprise_q30: first result of `step_sizes`.
        certainty_q30: second result of `step_sizes`.
    """
    features = len(theta_q32)
    largest = np.int64(0)
    for i in range(features):
        largest = max(largest, abs(reach_q40[i]))
    shift = np.int64(0)
    while largest >> shift >= ONE_Q30:
        shift += 1
    half = _ONE << np.int64(37) >> shift
    for i in range(features):
        if shift > 0:
            reach_q40[i] = (reach_q40[i] + (_ONE << (shift - 1))) >> shift
        moved = theta_q32[i] + ((reach_q40[i] * surprise_q30 + half) >> (np.int64(38) - shift))
        theta_q32[i] = min(max(moved, -_MAX_THETA), _MAX_THETA)
    down = np.int64(40) - shift - shift
    half = _ONE << (down - 1)
    for i in range(features):
        scaled = (reach_q40[i] * certainty_q30 + np.int64(1 << 29)) >> np.int64(30)
        for j in range(i + 1):
            left = spread_q40[i, j] - ((scaled * reach_q40[j] + half) >> down)
            spread_q40[i, j] = left
            spread_q40[j, i] = left
        spread_q40[i, i] = max(spread_q40[i, i], _ONE)
