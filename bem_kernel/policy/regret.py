"""Regret counters: what a learner lost, and what the best fixed expert would have lost.

With full information the count is exact. With bandit feedback the losses of experts that were not
chosen are unknown; their IX charges take their place, whose sums exceed the truth by at most
ln(n / delta) / (2 gamma), for all experts at once with probability 1 - delta (Neu 2015,
corollary 1).
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from bem_kernel.errors import ShapeError

_LARGEST = 1 << 62


class RegretCounter:
    """Counts the losses of a learner and of n experts, exactly, in Q16.

    Args:
        n: number of experts, at least 1.
    """

    def __init__(self, n: int) -> None:
        if n < 1:
            raise ShapeError(f"n is {n}", where="regret.RegretCounter", fix="use n >= 1")
        self._rounds = 0
        self._own_q16 = 0
        self._totals_q16 = np.zeros(n, dtype=np.int64)
        self._reach = 0  # no total is further from 0

    @property
    def rounds(self) -> int:
        """Rounds counted."""
        return self._rounds

    @property
    def own_q16(self) -> int:
        """The learner's loss, Q16."""
        return self._own_q16

    @property
    def totals_q16(self) -> NDArray[np.int64]:
        """(n,) int64, the experts' losses, Q16."""
        return self._totals_q16.copy()

    @property
    def regret_q16(self) -> int:
        """The learner's loss less the best expert's, Q16; negative if it did better than all."""
        return self._own_q16 - int(self._totals_q16.min())

    def add(self, own_q16: int, losses_q16: NDArray[np.int64]) -> None:
        """Count a round in which the losses of all experts are known.

        Args:
            own_q16: the learner's loss, Q16.
            losses_q16: (n,) int64, Q16.

        Raises:
            ShapeError: another shape or dtype, or a total might leave ±2**62.
        """
        if losses_q16.shape != self._totals_q16.shape or losses_q16.dtype != np.int64:
            raise ShapeError(
                f"losses are {losses_q16.dtype} of shape {losses_q16.shape}",
                where="regret.add",
                fix=f"give {self._totals_q16.shape} int64",
            )
        self._grow(max(int(losses_q16.max()), -int(losses_q16.min())))
        self._totals_q16 += losses_q16
        self._own_q16 += own_q16
        self._rounds += 1

    def add_charge(self, own_q16: int, expert: int, charge_q16: int) -> None:
        """Count a round in which only the chosen expert's loss is known.

        Args:
            own_q16: the learner's loss, Q16.
            expert: the one chosen.
            charge_q16: its IX charge, Q16, as `estimators.ix_loss_q16` gives it.

        Raises:
            ShapeError: no such expert, or a total might leave ±2**62.
        """
        if not 0 <= expert < len(self._totals_q16):
            raise ShapeError(
                f"there is no expert {expert}",
                where="regret.add_charge",
                fix=f"give 0 to {len(self._totals_q16) - 1}",
            )
        self._grow(abs(charge_q16))
        self._totals_q16[expert] += charge_q16
        self._own_q16 += own_q16
        self._rounds += 1

    def _grow(self, largest: int) -> None:
        if self._reach + largest > _LARGEST:
            raise ShapeError(
                f"a total might pass 2**62 after {self._rounds} rounds",
                where="regret",
                fix="start a new counter",
            )
        self._reach += largest
