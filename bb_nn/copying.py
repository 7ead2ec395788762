"""Copying words of the request into the plan: an attention whose values are rows of the LM head.

An entry is seen only where the literal that is open begins as the entry's word does. Pointing at
an entry raises the logit of exactly that token, so a literal needs no room in the narrow builder
rail. Tensor axes as in `bb_nn.blocks`, and N entries.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from bb_nn.blocks import Pass, unit_rows
from bb_nn.sight import Sight
from bb_nn.words import N_SHAPES


class WordCopy(nn.Module):
    """Attention from the plan into the words of the request.

    Args:
        width: channels of the builder rail.
        heads: attention heads, each with its own gate.
    """

    def __init__(self, width: int, heads: int = 2) -> None:
        super().__init__()
        self.sight = Sight(width, 3 * width, width // heads, torch.full((heads, 1), 4.0))
        self.shapes = nn.Embedding(N_SHAPES, width)
        self.gate = nn.Linear(width, heads)

    def forward(self, c: Tensor, seen: Tensor, current: Pass, head: Tensor, gain: Tensor) -> Tensor:
        """What is copied, (B, T, base width), in rows of root mean square `gain`.

        Args:
            c: (B, T, D) state of the rail.
            seen: (B, S, D) the base's hidden states at the first tap, projected, all positions.
            current: the entries and the goals.
            head: (vocabulary, base width) rows of the LM head.
            gain: scalar.
        """
        entries, visible = current.entries, current.word_visible
        around = (entries.first - 1, entries.last, entries.last + 2)
        last = seen.shape[1] - 1
        parts = [_gather(seen, index.clamp(0, last)) for index in around]
        parts[1] = parts[1] + self.shapes(entries.shape)
        keys = self.sight.key(torch.cat(parts, dim=-1))
        weights = self.sight(c, keys, current.word_relations).to(c.dtype)
        gate = torch.sigmoid(self.gate(c)).transpose(1, 2)[..., None] * gain.to(c.dtype)
        # Nothing is copied where no entry is visible.
        picked = (weights * gate).sum(1) * visible.any(-1, keepdim=True)
        return picked @ unit_rows(F.embedding(entries.ids, head)).to(picked.dtype)


def _gather(states: Tensor, index: Tensor) -> Tensor:
    """Rows `index` (B, N) of `states` (B, S, D), (B, N, D)."""
    return states.gather(1, index[..., None].expand(-1, -1, states.shape[-1]))
