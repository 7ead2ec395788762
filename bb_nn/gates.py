"""Gates: how much of the builder rail enters the stream, under one budget.

`α = σ(a) · min(1, ᾱ / mean σ(a))`, the mean taken over every gate of every layer and channel, so
that `mean(α) ≤ ᾱ` holds exactly at each step. Source: builderbrain 1; DESIGN.md 5.
"""

from __future__ import annotations

import math

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
