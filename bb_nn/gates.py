"""Gates: how much of the builder rail enters the stream, under one budget.

`α = σ(a) · min(1, ᾱ / mean σ(a))`, the mean taken over every gate of every layer and channel. It
is computed in float64 and rounded down to the precision in which α is used, so that
`mean(α) ≤ ᾱ` holds exactly, in bfloat16 too, whatever the optimiser has done to a.

Source: builderbrain 1; DESIGN.md 5.
"""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor, nn

_ONE_Q40 = 1 << 40
_MARGIN = 1 - 2.0**-30  # covers the rounding of the mean itself, for up to 2**20 gates


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
        # An integer, which moving the module to another dtype leaves alone.
        self.register_buffer("budget_q40", torch.zeros((), dtype=torch.int64))
        self.set_budget(budget)
        self._known: tuple[Any, list[Tensor]] | None = None

    def forward(self, dtype: torch.dtype = torch.float32) -> list[Tensor]:
        """α of each layer, (width,) float32 each; their joint mean is at most the budget.

        Args:
            dtype: in which α is used; every α is representable in it.
        """
        if torch.is_grad_enabled():
            return self._alphas(dtype)
        # In decoding nothing changes from token to token.
        parts = (*self.logits, self.budget_q40)
        state = (dtype, *((p.data_ptr(), p._version) for p in parts))
        if self._known is None or self._known[0] != state:
            self._known = state, self._alphas(dtype)
        return list(self._known[1])

    def _alphas(self, dtype: torch.dtype) -> list[Tensor]:
        raw = torch.sigmoid(torch.cat(list(self.logits)).double())
        mean = raw.mean().clamp(min=torch.finfo(raw.dtype).tiny)
        scale = torch.clamp(self.budget_q40.double() / _ONE_Q40 * _MARGIN / mean, max=1.0)
        alphas: Tensor = _RoundDown.apply(raw * scale, dtype)
        return list(alphas.split([len(a) for a in self.logits]))

    @torch.no_grad()
    def set_budget(self, budget: float) -> None:
        """Set ᾱ, rounded down to a multiple of 2**-40; 0 switches the builder rail off exactly."""
        self.budget_q40.fill_(math.floor(budget * _ONE_Q40))

    @property
    def budget(self) -> float:
        """ᾱ."""
        return int(self.budget_q40) / _ONE_Q40


class _RoundDown(torch.autograd.Function):
    """The largest value of a coarser type that is not above; its slope is 1."""

    @staticmethod
    def forward(ctx: Any, values: Tensor, dtype: torch.dtype) -> Tensor:
        rounded = values.to(dtype)
        below = (values * (1 - torch.finfo(dtype).eps)).to(dtype)
        rounded = torch.where(rounded.double() > values, below, rounded)
        rounded = torch.where(rounded.double() > values, torch.zeros_like(rounded), rounded)
        return rounded.float()

    @staticmethod
    def backward(ctx: Any, slope: Tensor) -> tuple[Tensor, None]:
        return slope.double(), None
