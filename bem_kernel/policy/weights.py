"""Multiplicative weights in the dual, in integers only.

The dual of expert i is its cumulative loss L_i in octaves, Q16: one octave halves a weight, so
``w_i = 2 ** -(L_i / 65536)`` is Hedge's ``exp(-eta * loss)`` with eta * loss measured in factors of
two. Updates add integers; a weight is read through a table and is never stored, so nothing drifts.

Source: BEM core spec 7.2; Freund and Schapire 1997.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from bem_kernel.errors import ShapeError
from bem_kernel.policy.exp2 import ONE_Q16, exp2_q16

_MAX_LOSS_Q16 = 1 << 40
_MAX_DUAL_Q16 = 1 << 62  # duals further behind the leader than this stay there


class Hedge:
    """Multiplicative weights over n experts; `update` changes the duals in place.

    Args:
        n: number of experts, at least 1.
        eta_q16: learning rate, Q16 octaves per unit of loss; 65536 takes losses as octaves.
    """

    def __init__(self, n: int, eta_q16: int = ONE_Q16) -> None:
        if n < 1 or not 0 < eta_q16 < 1 << 22:
            raise ShapeError(
                f"n is {n}, eta_q16 is {eta_q16}",
                where="weights.Hedge",
                fix="use n >= 1 and 0 < eta_q16 < 2**22",
            )
        self.eta_q16 = eta_q16
        self._duals_q16 = np.zeros(n, dtype=np.int64)

    @property
    def duals_q16(self) -> NDArray[np.int64]:
        """(n,) int64, cumulative eta * loss in Q16 octaves, less that of the best expert."""
        return self._duals_q16.copy()

    def update(self, losses_q16: NDArray[np.int64]) -> None:
        """Charge one loss per expert.

        Args:
            losses_q16: (n,) int64, Q16, within ±2**40; negative losses are rewards.

        Raises:
            ShapeError: another shape, dtype or range.
        """
        losses = np.asarray(losses_q16)
        if losses.shape != self._duals_q16.shape or losses.dtype != np.int64:
            raise ShapeError(
                f"losses are {losses.dtype} of shape {losses.shape}",
                where="weights.update",
                fix=f"give {self._duals_q16.shape} int64",
            )
        if (losses > _MAX_LOSS_Q16).any() or (losses < -_MAX_LOSS_Q16).any():
            raise ShapeError(
                "a loss is out of range", where="weights.update", fix="keep within 2**40"
            )
        duals = self._duals_q16 + (losses * np.int64(self.eta_q16) >> 16)
        self._duals_q16 = np.minimum(duals - duals.min(), _MAX_DUAL_Q16)

    def weights_q16(self) -> NDArray[np.int64]:
        """(n,) int64 weights relative to the best expert, whose weight is 65536."""
        return exp2_q16(self._duals_q16)

    def best(self) -> int:
        """The expert with the smallest cumulative loss; of equals, the first."""
        return int(self._duals_q16.argmin())

    def pick(self, candidates: NDArray[np.int64], ticket: int) -> int:
        """Choose a candidate with probability proportional to its weight.

        Weights are taken relative to the best candidate, so a set of poor ones still has odds.

        Args:
            candidates: (k,) expert numbers, k >= 1.
            ticket: a uniform random number of 64 bits.

        Returns:
            One of `candidates`.

        Raises:
            ShapeError: there is no candidate, or the ticket is not 64 bits.

        Source: BEM core spec 6.4.
        """
        if len(candidates) == 0 or not 0 <= ticket < 1 << 64:
            raise ShapeError(
                f"{len(candidates)} candidates, ticket {ticket}",
                where="weights.pick",
                fix="give at least one candidate and a 64-bit ticket",
            )
        duals = self._duals_q16[candidates]
        cumulative = np.cumsum(exp2_q16(duals - duals.min()))
        threshold = ticket * int(cumulative[-1]) >> 64  # exact in Python integers
        return int(candidates[np.searchsorted(cumulative, threshold, side="right")])
