"""Sampling from weights that are stored as duals: probability proportional to 2**-(L - L_min).

Weights are taken relative to the best candidate, in Q30, and never fall below 1: a candidate that
has lost by 30 octaves or more still has odds of one in 2**30, whatever its dual. Work is
proportional to the number of candidates.

Source: BEM core spec 6.4.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from bem_kernel.compiled import kernel
from bem_kernel.policy.exp2 import exp2_q30

_MASK = np.uint64(0xFFFFFFFF)
_HALF = np.uint64(32)
_FARTHEST = np.int64(1 << 40)  # Q16 octaves; beyond 31 octaves every weight is the floor


@kernel("int64(uint64, int64)")
def below(ticket: np.uint64, total: np.int64) -> np.int64:
    """floor(ticket * total / 2**64): a number in 0 .. total - 1, each as likely within 2**-64.

    Args:
        ticket: uniform, 64 bits.
        total: 1 or more.
    """
    scale = np.uint64(total)
    t_low, t_high = np.uint64(ticket) & _MASK, np.uint64(ticket) >> _HALF
    s_low, s_high = scale & _MASK, scale >> _HALF
    carry = (t_low * s_low >> _HALF) + (t_high * s_low & _MASK) + (t_low * s_high & _MASK)
    high = t_high * s_high + (t_high * s_low >> _HALF) + (t_low * s_high >> _HALF)
    return np.int64(high + (carry >> _HALF))


@kernel("int64(int64, int64)")
def weight_q30(dual_q16: np.int64, least_q16: np.int64) -> np.int64:
    """Weight of a dual relative to the least one, Q30, 1 to 2**30.

    Args:
        dual_q16: cumulative eta * loss, Q16 octaves, at least `least_q16`.
        least_q16: the best candidate's, at most 2**62.
    """
    if dual_q16 >= least_q16 + _FARTHEST:  # the difference itself might not fit 64 bits
        return np.int64(1)
    return max(exp2_q30(dual_q16 - least_q16), np.int64(1))


@kernel("int64(int64[::1], int64[::1], int64, int64[::1])")
def weigh(
    duals_q16: NDArray[np.int64],
    candidates: NDArray[np.int64],
    count: np.int64,
    weights_q30: NDArray[np.int64],
) -> np.int64:
    """Write the candidates' weights, relative to the best of them, and return their sum.

    Args:
        duals_q16: (n,) int64, Q16 octaves, within ±2**62.
        candidates: (>= count,) int64, indices into `duals_q16`; not checked.
        count: number of candidates, 1 or more.
        weights_q30: (>= count,) int64, written: 1 to 2**30, the best has 2**30.
    """
    least = duals_q16[candidates[0]]
    for k in range(1, count):
        least = min(least, duals_q16[candidates[k]])
    total = np.int64(0)
    for k in range(count):
        weight = weight_q30(duals_q16[candidates[k]], least)
        weights_q30[k] = weight
        total += weight
    return total


@kernel("int64(int64[::1], int64, int64, uint64)")
def draw(
    weights: NDArray[np.int64], count: np.int64, total: np.int64, ticket: np.uint64
) -> np.int64:
    """Choose a position with probability weights[k] / total, each within 2**-64.

    Args:
        weights: (>= count,) int64, 0 or more.
        count: number of positions, 1 or more.
        total: the sum of the first `count` weights, 1 or more.
        ticket: uniform, 64 bits.
    """
    threshold = below(ticket, total)
    for k in range(count - 1):
        threshold -= weights[k]
        if threshold < 0:
            return np.int64(k)
    return np.int64(count - 1)


@kernel("int64(int64, int64)")
def share_q30(weight: np.int64, total: np.int64) -> np.int64:
    """Probability weight / total in Q30, rounded up: 1 to 2**30.

    Args:
        weight: 1 to 2**30, at most `total`.
        total: sum of the weights, at most 2**62.
    """
    return ((weight << np.int64(30)) + total - np.int64(1)) // total


@kernel("int64(int64[::1], int64[::1], int64, uint64)")
def sample(
    duals_q16: NDArray[np.int64],
    candidates: NDArray[np.int64],
    count: np.int64,
    ticket: np.uint64,
) -> np.int64:
    """Choose a candidate by its weight, without scratch: each weight is computed at most twice.

    Args:
        duals_q16: (n,) int64, Q16 octaves, within ±2**62.
        candidates: (>= count,) int64, indices into `duals_q16`; not checked.
        count: number of candidates.
        ticket: uniform, 64 bits.

    Returns:
        A position in `candidates`; -1 if there is no candidate.
    """
    if count <= 0:
        return np.int64(-1)
    least = duals_q16[candidates[0]]
    for k in range(1, count):
        least = min(least, duals_q16[candidates[k]])
    total = np.int64(0)
    for k in range(count):
        total += weight_q30(duals_q16[candidates[k]], least)
    threshold = below(ticket, total)
    for k in range(count - 1):
        threshold -= weight_q30(duals_q16[candidates[k]], least)
        if threshold < 0:
            return np.int64(k)
    return np.int64(count - 1)


@kernel("int64(int64[::1], int64[::1], int64, int64)")
def probability_q30(
    duals_q16: NDArray[np.int64],
    candidates: NDArray[np.int64],
    count: np.int64,
    position: np.int64,
) -> np.int64:
    """Probability with which `sample` chooses a position, Q30, rounded up: 1 to 2**30.

    Args:
        duals_q16: (n,) int64, Q16 octaves, within ±2**62.
        candidates: (>= count,) int64, indices into `duals_q16`; not checked.
        count: number of candidates, 1 or more.
        position: 0 to count - 1.
    """
    least = duals_q16[candidates[0]]
    for k in range(1, count):
        least = min(least, duals_q16[candidates[k]])
    total = np.int64(0)
    for k in range(count):
        total += weight_q30(duals_q16[candidates[k]], least)
    return share_q30(weight_q30(duals_q16[candidates[position]], least), total)  # type: ignore[no-any-return]
