"""How the policy learns: the estimator of losses and its rates.

Source: BEM core spec 7.1, 7.2; Neu 2015.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from bem_kernel.errors import RunnerError

Estimator = Literal["ix", "literal"]

MAX_ETA_Q16 = 1 << 22


@dataclass(frozen=True)
class Learning:
    """The mid path's settings.

    Attributes:
        eta_q16: learning rate, Q16 octaves per unit of loss; 65536 halves the weight of an expert
            for each loss of 1, at 0 nothing is learned.
        estimator: "ix" charges loss / (probability + gamma) after every few steps; "literal"
            charges the average loss of an episode at its end, as [core 7.1] has it, which is no
            regret bound's rule.
        every: steps between two updates; the fast path pauses for one of a few microseconds.

    Raises:
        RunnerError: a number is out of range, or no such estimator.
    """

    eta_q16: int = 1 << 14
    estimator: Estimator = "ix"
    every: int = 64

    def __post_init__(self) -> None:
        if not 0 <= self.eta_q16 <= MAX_ETA_Q16 or not 1 <= self.every < 1 << 31:
            raise RunnerError(
                f"eta_q16 {self.eta_q16}, every {self.every}",
                where="learning",
                fix=f"use a rate of 0 to {MAX_ETA_Q16} and 1 step or more",
            )
        if self.estimator not in ("ix", "literal"):
            raise RunnerError(
                f"no estimator {self.estimator!r}", where="learning", fix="use 'ix' or 'literal'"
            )

    @property
    def gamma_q30(self) -> int:
        """Implicit exploration that goes with the rate, Q30."""
        from bem_kernel.policy.rates import ix_gamma_q30

        return ix_gamma_q30(max(1, self.eta_q16 << 16))


def learning_for(candidates: int, steps: int, every: int = 64) -> Learning:
    """The IX estimator with the rate that bounds regret best over a known number of steps.

    Args:
        candidates: experts that compete.
        steps: choices to be made.
        every: as in `Learning`.

    Raises:
        ShapeError: there is no candidate or no step.
    """
    from bem_kernel.policy.rates import ix_rate_q32

    rate_q16 = (ix_rate_q32(candidates, steps) + (1 << 15)) >> 16
    return Learning(max(1, min(rate_q16, MAX_ETA_Q16)), "ix", every)
