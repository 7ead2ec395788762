"""Attention on the meta device: keeps and computes what a fused kernel does, and makes no numbers.

A fused kernel keeps queries, keys, values, the result and one number a row, and makes the scores
again in its backward pass: two matrix products forward, five backward.

Source: Dao et al.: FlashAttention, 2022, section 3 and appendix B.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

NAME = "counted"


class _Fused(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        scores = q @ _wide(k, q).transpose(-1, -2)
        out = scores @ _wide(v, q)
        rows = scores.new_empty(scores.shape[:-1], dtype=torch.float32)
        ctx.save_for_backward(q, k, v, out, rows)
        return out

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        q, k, v, _, _ = ctx.saved_tensors
        wide_k, wide_v = _wide(k, q), _wide(v, q)
        scores = q @ wide_k.transpose(-1, -2)
        slope = grad @ wide_v.transpose(-1, -2)
        per_value, per_query, per_key = scores.mT @ grad, slope @ wide_k, slope.mT @ q
        groups = q.shape[1] // k.shape[1]
        narrow = [x.unflatten(1, (-1, groups)).sum(2) for x in (per_key, per_value)]
        return per_query, narrow[0], narrow[1]


def _wide(x: Tensor, q: Tensor) -> Tensor:
    """Keys or values (B, groups, T, D) for every head of the queries (B, H, T, D)."""
    return x.repeat_interleave(q.shape[1] // x.shape[1], dim=1)


def counted(
    _module: Any, query: Tensor, key: Tensor, value: Tensor, _mask: Any, **_: Any
) -> tuple[Tensor, None]:
    """An attention function as transformers calls it; (B, H, T, D) to (B, T, H, D)."""
    return _Fused.apply(query, key, value).transpose(1, 2).contiguous(), None


def register() -> str:
    """Make it known to transformers; returns its name."""
    from transformers import AttentionInterface

    AttentionInterface.register(NAME, counted)
    return NAME
