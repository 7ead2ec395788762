"""Multiplicative weights in the dual, in integers only.

The state is the cumulative loss S_i of each expert, exact. Its dual is L_i = eta * S_i in octaves
(one octave halves a weight), and the weight ``w_i = 2 ** -(L_i - L_min)`` is read through a table
and never stored, so nothing drifts: after any number of rounds a weight is wrong only by the error
of one reading. Hedge's ``exp(-eta' * loss)`` is this with eta' = eta * ln 2. Weights are relative
to the best expert's and never below 2**-30 of it [core 6.4]; a round costs time proportional to
the number of experts, whatever went before.

The regret bound is proved in `bounds`. Sources: BEM core spec 7.2; Freund and Schapire 1997;
for rates that change, dual averaging as in Bubeck, "Introduction to online optimization" (2011).
"""

from __future__ import annotations

from fractions import Fraction

import numpy as np
from numpy.typing import NDArray

from bem_kernel.compiled import kernel
from bem_kernel.errors import ShapeError
from bem_kernel.policy.exp2 import ONE_Q16, exp2_fine_q30
from bem_kernel.policy.sampling import draw

MAX_ETA_Q32 = 1 << 38
MAX_LOSS_Q16 = 1 << 36
_MAX_BEHIND_Q16 = np.int64(1 << 62)  # losses further behind the leader than this stay there
_FAR_Q48 = np.int64(1 << 54)  # 64 octaves: every weight this far behind is the floor


@kernel("void(int64[::1], int64[::1])")
def add_losses(totals_q16: NDArray[np.int64], losses_q16: NDArray[np.int64]) -> None:
    """Add a round's losses and subtract the new least total, saturating at 2**62.

    Args:
        totals_q16: (n,) int64, Q16, 0 to 2**62; changed in place.
        losses_q16: (n,) int64, Q16, within ±2**61.
    """
    least = totals_q16[0] + losses_q16[0]
    for i in range(totals_q16.shape[0]):
        totals_q16[i] += losses_q16[i]
        least = min(least, totals_q16[i])
    for i in range(totals_q16.shape[0]):
        # A difference of more than 2**63 wraps to below zero.
        behind = totals_q16[i] - least
        totals_q16[i] = behind if 0 <= behind < _MAX_BEHIND_Q16 else _MAX_BEHIND_Q16


@kernel("int64(int64[::1], int64, int64[::1])")
def weigh_totals(
    totals_q16: NDArray[np.int64], eta_q32: np.int64, weights_q30: NDArray[np.int64]
) -> np.int64:
    """Write the weights of cumulative losses and return their sum.

    Args:
        totals_q16: (n,) int64, Q16, cumulative losses, least 0, as `add_losses` leaves them.
        eta_q32: learning rate, Q32 octaves per unit of loss, 1 to 2**38.
        weights_q30: (n,) int64, written: 1 to 2**30, the leader's is 2**30.
    """
    far = _FAR_Q48 // np.int64(eta_q32)
    total = np.int64(0)
    for i in range(totals_q16.shape[0]):
        weight = np.int64(1)
        if totals_q16[i] < far:
            weight = max(exp2_fine_q30(totals_q16[i] * np.int64(eta_q32) >> 16), weight)
        weights_q30[i] = weight
        total += weight
    return total


def check_rate(eta_q32: int, where: str) -> int:
    """Return a learning rate that is in range.

    Raises:
        ShapeError: it is not between 1 and 2**38 - 1.
    """
    if not 0 < eta_q32 < MAX_ETA_Q32:
        raise ShapeError(
            f"the learning rate is {eta_q32} of 2**32 octaves",
            where=where,
            fix="use more than 0 and less than 2**38 (64 octaves per unit of loss)",
        )
    return int(eta_q32)


def check_ticket(ticket: int, where: str) -> np.uint64:
    """Return a ticket as an unsigned 64-bit number.

    Raises:
        ShapeError: it is negative or longer.
    """
    if not 0 <= ticket < 1 << 64:
        raise ShapeError(f"the ticket is {ticket}", where=where, fix="give 0 to 2**64 - 1")
    return np.uint64(ticket)


class Hedge:
    """Multiplicative weights over n experts; `update` changes the totals in place.

    Args:
        n: number of experts, at least 1.
        eta_q16: learning rate, Q16 octaves per unit of loss; 65536 takes losses as octaves.
    """

    def __init__(self, n: int, eta_q16: int = ONE_Q16) -> None:
        if not 1 <= n < 1 << 32:
            raise ShapeError(f"n is {n}", where="weights.Hedge", fix="use 1 to 2**32 - 1 experts")
        self.eta_q32 = eta_q16 << 16
        self._totals_q16 = np.zeros(n, dtype=np.int64)
        self._weights_q30 = np.empty(n, dtype=np.int64)

    @property
    def eta_q32(self) -> int:
        """Learning rate, Q32 octaves per unit of loss; a new one applies to all past losses.

        With a rate that never grows, the bound is `bounds.hedge_bound` of the rates used.
        """
        return self._eta_q32

    @eta_q32.setter
    def eta_q32(self, rate: int) -> None:
        self._eta_q32 = check_rate(rate, "weights.Hedge")

    @property
    def totals_q16(self) -> NDArray[np.int64]:
        """(n,) int64, cumulative losses in Q16, less that of the best expert."""
        return self._totals_q16.copy()

    @property
    def duals_q16(self) -> NDArray[np.int64]:
        """(n,) int64, cumulative eta * loss in Q16 octaves less the best's, at most 2**62."""
        exact = (min(total * self._eta_q32 >> 32, 1 << 62) for total in self._totals_q16.tolist())
        return np.fromiter(exact, dtype=np.int64, count=len(self._totals_q16))

    def update(self, losses_q16: NDArray[np.int64]) -> None:
        """Charge one loss per expert.

        Args:
            losses_q16: (n,) int64, Q16, within ±2**36; negative losses are rewards.

        Raises:
            ShapeError: another shape, dtype or range.
        """
        add_losses(self._totals_q16, self._checked(losses_q16))

    def weights_q30(self) -> NDArray[np.int64]:
        """(n,) int64 weights, at least 1, relative to the best expert, whose weight is 2**30."""
        weigh_totals(self._totals_q16, np.int64(self._eta_q32), self._weights_q30)
        return self._weights_q30.copy()

    def weights_q16(self) -> NDArray[np.int64]:
        """(n,) int64 weights relative to the best expert, whose weight is 65536, rounded."""
        return (self.weights_q30() + (1 << 13)) >> 14

    def best(self) -> int:
        """The expert with the smallest cumulative loss; of equals, the first."""
        return int(self._totals_q16.argmin())

    def expected_loss(self, losses_q16: NDArray[np.int64]) -> Fraction:
        """What a draw from the current weights loses on average, in units of loss, exactly.

        Args:
            losses_q16: as for `update`.

        Raises:
            ShapeError: another shape, dtype or range.
        """
        losses, weights = self._checked(losses_q16).tolist(), self.weights_q30().tolist()
        charged = sum(weight * loss for weight, loss in zip(weights, losses, strict=True))
        return Fraction(charged, sum(weights) << 16)

    def pick(self, candidates: NDArray[np.int64], ticket: int) -> int:
        """Choose a candidate with probability proportional to its weight.

        Weights are taken relative to the best candidate, so a set of poor ones still has odds.

        Args:
            candidates: (k,) expert numbers, k >= 1.
            ticket: a uniform random number of 64 bits.

        Returns:
            One of `candidates`.

        Raises:
            ShapeError: there is no candidate, one is no expert, or the ticket is not 64 bits.

        Source: BEM core spec 6.4.
        """
        drawn = check_ticket(ticket, "weights.pick")
        n = len(self._totals_q16)
        if len(candidates) == 0 or candidates.min() < 0 or candidates.max() >= n:
            raise ShapeError(
                f"candidates are {candidates}",
                where="weights.pick",
                fix=f"give some of 0 to {n - 1}",
            )
        totals = self._totals_q16[candidates]
        weights = np.empty_like(totals)
        total = weigh_totals(totals - totals.min(), np.int64(self._eta_q32), weights)
        return int(candidates[draw(weights, len(candidates), total, drawn)])

    def _checked(self, losses_q16: NDArray[np.int64]) -> NDArray[np.int64]:
        losses = np.asarray(losses_q16)
        if losses.shape != self._totals_q16.shape or losses.dtype != np.int64:
            raise ShapeError(
                f"losses are {losses.dtype} of shape {losses.shape}",
                where="weights.losses",
                fix=f"give {self._totals_q16.shape} int64",
            )
        if losses.max() > MAX_LOSS_Q16 or losses.min() < -MAX_LOSS_Q16:
            raise ShapeError(
                "a loss is out of range", where="weights.losses", fix="keep within 2**36"
            )
        return np.array(losses, order="C")  # contiguous and writable, as kernels want it
