"""What an expert is charged when only the loss of the chosen one is seen.

Two estimators. `ix_loss_q16` divides by the probability of the choice plus gamma (implicit
exploration; Neu 2015), so that experts chosen rarely are charged as if they had been chosen always;
it is the default. `literal_losses` is the average of [core 7.1], which favours whoever is chosen
rarely: with it the probabilities settle where they are inversely proportional to the losses, and
regret grows linearly (docs/decisions/0007-ix-estimator.md). It stays for comparison.

Losses are numbers in [0, 1], Q16; a reward r in [0, 1] is the loss 1 - r.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from bem_kernel.compiled import kernel

MAX_DUAL_Q16 = 1 << 61
"""Duals saturate here, far beyond what sampling can tell apart."""

_MAX_DUAL = np.int64(MAX_DUAL_Q16)
_MAX_CHARGE = np.int64(1 << 40)
_LOW_16 = np.uint64(0xFFFF)


@kernel("int64(int64, int64, int64)")
def ix_loss_q16(loss_q16: np.int64, probability_q30: np.int64, gamma_q30: np.int64) -> np.int64:
    """The loss over the probability plus gamma, rounded down.

    Args:
        loss_q16: 0 to 2**32, Q16.
        probability_q30: with which the expert was chosen, Q30, 1 or more.
        gamma_q30: implicit exploration, Q30, 0 or more.

    Returns:
        The charge of the chosen expert, Q16; the others are charged nothing.
    """
    return (loss_q16 << np.int64(30)) // (probability_q30 + gamma_q30)


@kernel("void(int64[::1], int64, int64, int64, uint64)")
def charge_dual(
    duals_q16: NDArray[np.int64],
    slot: np.int64,
    loss_q16: np.int64,
    eta_q16: np.int64,
    ticket: np.uint64,
) -> None:
    """Add eta * loss to one dual, rounded at random so that the mean is exact.

    Always rounding the same way would add up over many small charges.

    Args:
        duals_q16: (n,) int64, Q16 octaves; one is changed, saturating at ±2**61.
        slot: whose dual; not checked.
        loss_q16: the charge, Q16; counts as ±2**40 beyond that.
        eta_q16: learning rate, Q16 octaves per unit of loss, 0 to 2**22.
        ticket: uniform, 64 bits; only the low 16 are used.
    """
    charge = max(min(loss_q16, _MAX_CHARGE), -_MAX_CHARGE)
    exact_q32 = charge * eta_q16
    increment = (exact_q32 + np.int64(np.uint64(ticket) & _LOW_16)) >> np.int64(16)
    duals_q16[slot] = max(min(duals_q16[slot] + increment, _MAX_DUAL), -_MAX_DUAL)


@kernel("void(int64[::1], int64[::1], int64, int64[::1], int64[::1])")
def literal_losses(
    chosen: NDArray[np.int64],
    losses_q16: NDArray[np.int64],
    steps: np.int64,
    counts: NDArray[np.int64],
    estimates_q16: NDArray[np.int64],
) -> None:
    """Average the losses of an episode over the steps in which each expert was chosen.

    Args:
        chosen: (>= steps,) int64, the expert of each step; not checked.
        losses_q16: (>= steps,) int64, Q16, within ±2**40.
        steps: length of the episode, at most 2**22.
        counts: (n,) int64, written: steps of each expert that was chosen; others are left alone.
        estimates_q16: (n,) int64, written: their average losses, Q16, rounded down.

    Source: BEM core spec 7.1.
    """
    for t in range(steps):
        counts[chosen[t]] = 0
        estimates_q16[chosen[t]] = 0
    for t in range(steps):
        counts[chosen[t]] += 1
        estimates_q16[chosen[t]] += losses_q16[t]
    for t in range(steps - 1, -1, -1):  # each expert is divided once, at its last step
        slot = chosen[t]
        if counts[slot] > 0:
            estimates_q16[slot] //= counts[slot]
            counts[slot] = -counts[slot]
    for t in range(steps):
        counts[chosen[t]] = abs(counts[chosen[t]])
