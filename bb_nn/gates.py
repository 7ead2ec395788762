"""Gates: how much of the builder rail enters the stream, under one budget.

`α = σ(a) · min(1, ᾱ / mean σ(a))`, the mean taken over every gate of every layer and channel, so
that `mean(α) ≤ ᾱ` holds exactly at each step. Source: builderbrain 1; DESIGN.md 5.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor, nn


class Gates(nn.Module):
    """One gate for each channel of each tap.

    Args:
        widths: channels of each gated layer.
        start: value of every α at the start, below `budget`.
        budget: ᾱ, the cap on the mean of all α.
    """

    def __init__(self, widths: list[int], start: float, budget: float) -> None:
        super().__init__()
        logit = math.log(start / (1 - start))
        self.logits = nn.ParameterList([nn.Parameter(torch.full((w,), logit)) for w in widths])
        self.register_buffer("budget", torch.tensor(float(budget)))

    def forward(self) -> list[Tensor]:
        """α of each layer, (width,) each; their joint mean is at most the budget."""
        raw = [torch.sigmoid(a) for a in self.logits]
        mean = torch.cat(raw).mean()
        scale = torch.clamp(self.budget / mean, max=1.0)
        return [a * scale for a in raw]

    @torch.no_grad()
    def set_budget(self, budget: float) -> None:
        """Set ᾱ; 0 switches the builder rail off exactly."""
        self.budget.fill_(budget)


@dataclass(frozen=True)
class BudgetRule:
    """When ᾱ may rise.

    Attributes:
        ceiling: ᾱ never exceeds this.
        factor: one raise multiplies ᾱ by this.
        margin: relative improvement of the measured loss that earns a raise.
    """

    ceiling: float = 0.5
    factor: float = 2.0
    margin: float = 0.02


def next_budget(rule: BudgetRule, budget: float, best_loss: float, loss: float) -> float:
    """ᾱ after a measurement on held-out compositions: raised on improvement, halved on harm.

    Args:
        rule: limits and step of the change.
        budget: ᾱ now.
        best_loss: lowest loss measured before, infinity at first.
        loss: loss measured now.
    """
    if loss < best_loss * (1 - rule.margin):
        return min(rule.ceiling, budget * rule.factor)
    if loss > best_loss * (1 + rule.margin):
        return budget / rule.factor
    return budget
