"""Weights of the skills by multiplicative updates: the prior of every choice.

A skill is charged the mean loss of the positions where it was chosen, less the mean loss of all,
so that skills that are not used keep their weight. The state is the machine's: exact cumulative
losses in Q16, from which weights are read through its table.

Source: DESIGN.md 4; BEM core spec 7.1; `bem_kernel.policy.weights`.
"""

from __future__ import annotations

import math

import numpy as np
import torch
from torch import Tensor, nn

_ONE_Q16 = 1 << 16
_FLOOR = -30 * math.log(2)  # the machine's: no weight is below 2**-30 of the best


class SkillPrior(nn.Module):
    """Cumulative losses of K skills, saved with the rail; nothing here has a gradient.

    Args:
        n_skills: K.
        octaves: by which a loss of 1 lowers a skill's weight.
    """

    def __init__(self, n_skills: int, octaves: float = 0.05) -> None:
        super().__init__()
        self.octaves = octaves
        self.register_buffer("totals_q16", torch.zeros(n_skills, dtype=torch.int64))

    def forward(self) -> Tensor:
        """(K,) float32 log-weights, the best skill's is 0."""
        behind = self.totals_q16.double() / _ONE_Q16 * self.octaves * math.log(2)
        return (-behind).clamp(min=_FLOOR).float()

    @torch.no_grad()
    def charge(self, chosen: Tensor, losses: Tensor) -> None:
        """Update by the losses of positions.

        Args:
            chosen: (N, K) bool, the skill chosen at each position; rows of 0 do not count.
            losses: (N,) loss of each position, in nats.
        """
        from bem_kernel.policy.weights import add_losses  # imports numba: not for mere decoding

        used = chosen.any(-1)
        if not used.any():
            return
        picked, paid = chosen[used].double(), losses[used].double()
        counts = picked.sum(0)
        means = (picked.T @ (paid - paid.mean())) / counts.clamp(min=1)
        charges = (means.clamp(-64, 64) * _ONE_Q16).round().to(torch.int64)
        totals = self.totals_q16.cpu().numpy().copy()
        add_losses(totals, np.ascontiguousarray(charges.cpu().numpy()))
        self.totals_q16.copy_(torch.from_numpy(totals))
