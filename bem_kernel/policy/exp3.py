"""Multiplicative weights with bandit feedback: Exp3-IX, and the literal rule of [core 7.1-7.2].

Only the loss of the arm that was drawn is seen. Its estimate is added to the arm's total, and arms
are drawn by the same integer weights as `Hedge`. With the IX estimator and losses in [0, 1] the
regret is proved in `bounds`; with the literal one no such bound exists.

Source: Neu, "Explore no more: improved high-probability regret bounds for non-stochastic bandits"
(2015); BEM core spec 7.1.
"""

from __future__ import annotations

from typing import Literal

import numpy as np
from numpy.typing import NDArray

from bem_kernel.compiled import kernel
from bem_kernel.errors import ShapeError
from bem_kernel.policy.estimators import ix_loss_q16
from bem_kernel.policy.exp2 import ONE_Q16
from bem_kernel.policy.rates import ix_gamma_q30
from bem_kernel.policy.sampling import draw, share_q30
from bem_kernel.policy.weights import add_losses, check_rate, check_ticket, weigh_totals

Estimator = Literal["ix", "literal"]


@kernel("int64(int64[::1], int64, int64[::1], uint64)")
def draw_arm(
    totals_q16: NDArray[np.int64],
    eta_q32: np.int64,
    weights_q30: NDArray[np.int64],
    ticket: np.uint64,
) -> np.int64:
    """Write the arms' weights and draw one; arguments as for `weigh_totals` and `draw`."""
    total = weigh_totals(totals_q16, eta_q32, weights_q30)
    return draw(weights_q30, np.int64(totals_q16.shape[0]), total, ticket)  # type: ignore[no-any-return]


@kernel("int64(int64[::1], int64)")
def arm_probability_q30(weights_q30: NDArray[np.int64], arm: np.int64) -> np.int64:
    """Probability with which an arm is drawn by these weights, Q30, rounded up."""
    total = np.int64(0)
    for i in range(weights_q30.shape[0]):
        total += weights_q30[i]
    return share_q30(weights_q30[arm], total)  # type: ignore[no-any-return]


class Exp3:
    """A bandit over n arms against any adversary; `pick` and `update` take turns.

    Args:
        n: number of arms, 1 or more.
        eta_q32: learning rate, Q32 octaves per unit of loss; see `rates.ix_rate_q32`.
        estimator: `"ix"`, or `"literal"` for the rule of the specification.
    """

    def __init__(self, n: int, eta_q32: int, estimator: Estimator = "ix") -> None:
        if not 1 <= n < 1 << 32 or estimator not in ("ix", "literal"):
            raise ShapeError(
                f"n is {n}, the estimator {estimator!r}",
                where="exp3.Exp3",
                fix="use 1 to 2**32 - 1 arms and 'ix' or 'literal'",
            )
        self.eta_q32 = eta_q32
        self._estimator = estimator
        self._totals_q16 = np.zeros(n, dtype=np.int64)
        self._weights_q30 = np.empty(n, dtype=np.int64)
        self._arm, self._drawn_gamma_q30 = -1, 0

    @property
    def eta_q32(self) -> int:
        """Learning rate, Q32 octaves per unit of loss; gamma is half of it, in nats.

        A new one counts from the next `pick`, for all past losses.
        """
        return self._eta_q32

    @eta_q32.setter
    def eta_q32(self, rate: int) -> None:
        self._eta_q32 = check_rate(rate, "exp3.Exp3")
        self._gamma_q30 = ix_gamma_q30(rate)

    @property
    def totals_q16(self) -> NDArray[np.int64]:
        """(n,) int64, cumulative estimated losses in Q16, less the least."""
        return self._totals_q16.copy()

    def probabilities_q30(self) -> NDArray[np.int64]:
        """(n,) int64, with which `pick` draws each arm, Q30, rounded up."""
        total = weigh_totals(self._totals_q16, np.int64(self._eta_q32), self._weights_q30)
        shares: NDArray[np.int64] = ((self._weights_q30 << 30) + total - 1) // total
        return shares

    def pick(self, ticket: int) -> int:
        """Draw an arm by a uniform random number of 64 bits.

        Raises:
            ShapeError: the ticket is not 64 bits.
        """
        drawn = check_ticket(ticket, "exp3.pick")
        eta = np.int64(self._eta_q32)
        self._drawn_gamma_q30 = self._gamma_q30
        self._arm = int(draw_arm(self._totals_q16, eta, self._weights_q30, drawn))
        return self._arm

    def update(self, loss_q16: int) -> None:
        """Charge the arm that was picked.

        Args:
            loss_q16: 0 to 65536.

        Raises:
            ShapeError: the loss is out of range, or nothing was picked since the last update.
        """
        if not 0 <= loss_q16 <= ONE_Q16:
            raise ShapeError(
                f"the loss is {loss_q16}", where="exp3.update", fix="give 0 to 65536 (1 - reward)"
            )
        if self._arm < 0:
            raise ShapeError("no arm was picked", where="exp3.update", fix="call pick first")
        charge = np.int64(loss_q16)
        if self._estimator == "ix":
            probability = arm_probability_q30(self._weights_q30, np.int64(self._arm))
            charge = ix_loss_q16(charge, probability, np.int64(self._drawn_gamma_q30))
        charges = np.zeros_like(self._totals_q16)
        charges[self._arm] = charge
        add_losses(self._totals_q16, charges)
        self._arm = -1
