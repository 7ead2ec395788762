"""Attention that also sees exact relations between query and key.

A score is q·k/√d plus a learned bonus for each relation that holds: same goal, and induction (the
token before the key is the query's own token; and so are the two tokens before it). The bonus
depends on equality alone, so it holds for goals and tokens never seen in training.

Tensor axes: B batch, T new positions, S all positions so far, H heads, R relations.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

NEVER = torch.finfo(torch.float32).min / 2
"""Added to the score of what is not visible."""


class Sight(nn.Module):
    """Attention weights.

    Args:
        query_width, key_width: channels of queries and keys.
        head_width: channels of one head.
        bonus: (heads, relations) bonuses to start from.
    """

    def __init__(self, query_width: int, key_width: int, head_width: int, bonus: Tensor) -> None:
        super().__init__()
        heads = bonus.shape[0]
        self.heads, self.head_width = heads, head_width
        self.query = nn.Linear(query_width, heads * head_width)
        self.key = nn.Linear(key_width, heads * head_width, bias=False)
        self.bonus = nn.Parameter(bonus.clone())  # (heads, relations)

    def forward(self, x: Tensor, keys: Tensor, relations: Tensor) -> Tensor:
        """Attention weights (B, H, T, S), in float32; of a row that sees nothing they mean nothing.

        Args:
            x: (B, T, query_width).
            keys: (B, S, heads * head_width), projected keys.
            relations: (B, R + 1, T, S), 0 or 1: one for each column of `bonus`, and the last 1
                where a key is not visible.
        """
        parts = (self.query(x), keys, self.bonus, relations)
        weights: Tensor = _Weights.apply(*parts) if torch.is_grad_enabled() else _weigh(*parts)
        return weights


def _weigh(query: Tensor, keys: Tensor, bonus: Tensor, relations: Tensor) -> Tensor:
    """softmax(q·k/√d + bonus·relations), (B, H, T, S), in float32 throughout.

    Bonuses add up to more than bfloat16 tells apart.
    """
    heads = bonus.shape[0]
    q, k = _by_head(query, heads), _by_head(keys, heads)
    with torch.autocast(query.device.type, enabled=False):
        never = bonus.new_full((heads, 1), NEVER, dtype=torch.float32)
        prices = torch.cat([bonus.float(), never], dim=1).expand(len(query), -1, -1)
        bias = torch.bmm(prices, relations.flatten(2)).view(len(q), q.shape[1], -1)
        scores = bias.baddbmm_(q, k.transpose(1, 2), alpha=q.shape[-1] ** -0.5)
        return scores.softmax(dim=-1).view(-1, heads, *scores.shape[1:])


class _Weights(torch.autograd.Function):
    """`_weigh` with its slopes written out, since the bias needs no graph of its own.

    What is kept is the weights, the projections, and the relations that all layers share.
    """

    @staticmethod
    def forward(ctx: Any, query: Tensor, keys: Tensor, bonus: Tensor, relations: Tensor) -> Tensor:
        weights = _weigh(query, keys, bonus, relations)
        ctx.save_for_backward(query, keys, weights, relations)
        ctx.bonus_dtype = bonus.dtype
        return weights

    @staticmethod
    def backward(ctx: Any, slope: Tensor) -> tuple[Tensor, Tensor, Tensor, None]:
        query, keys, weights, relations = ctx.saved_tensors
        heads = slope.shape[1]
        q, k = _by_head(query, heads), _by_head(keys, heads)
        by_score = torch._softmax_backward_data(slope, weights, -1, torch.float32).flatten(0, 1)
        scale = q.shape[-1] ** -0.5
        by_query = _by_position(by_score @ k, heads).mul_(scale)
        by_key = _by_position(by_score.transpose(1, 2) @ q, heads).mul_(scale)
        flat = by_score.reshape(len(relations), heads, -1)
        by_bonus = torch.bmm(flat, relations[:, :-1].flatten(2).transpose(1, 2)).sum(0)
        return by_query.to(query.dtype), by_key.to(keys.dtype), by_bonus.to(ctx.bonus_dtype), None


def _by_head(x: Tensor, heads: int) -> Tensor:
    """(B, T, D) to (B * H, T, D / H), float32."""
    return x.unflatten(-1, (heads, -1)).transpose(1, 2).flatten(0, 1).float()


def _by_position(x: Tensor, heads: int) -> Tensor:
    """(B * H, T, D / H) to (B, T, D)."""
    return x.unflatten(0, (-1, heads)).transpose(1, 2).flatten(2)
