"""Choosing the next tokens of many rows at once, each with its own temperature and random stream.

One uniform number a token, by the inverse of the cumulative distribution: so what a row draws
depends on its seed and on its own logits, never on the rows beside it.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

_LIKELIEST = 256


@dataclass(frozen=True)
class Draw:
    """How one row chooses.

    Attributes:
        temperature: 0 for the likeliest token.
        top_p: nucleus, after the temperature; 1 keeps all.
        uniform: in [0, 1); not read where the temperature is 0.
    """

    temperature: float = 0.0
    top_p: float = 1.0
    uniform: float = 0.0


def choose_tokens(logits: Tensor, draws: Sequence[Draw]) -> list[int]:
    """One token a row.

    Args:
        logits: (rows, vocabulary) float32; minus infinity where forbidden, not everywhere.
        draws: one per row.
    """
    tokens = logits.argmax(-1)
    sampled = [row for row, draw in enumerate(draws) if draw.temperature > 0]
    for is_cut in (False, True):
        rows = [row for row in sampled if (draws[row].top_p < 1) == is_cut]
        if rows:
            index = torch.tensor(rows, device=logits.device)
            tokens[index] = _sample(logits[index], [draws[row] for row in rows], is_cut)
    return [int(token) for token in tokens.tolist()]


def _sample(logits: Tensor, draws: Sequence[Draw], is_cut: bool) -> Tensor:
    """(rows,) tokens drawn; `is_cut` where some top_p is below one."""

    def column(values: Sequence[float]) -> Tensor:
        return torch.tensor(values, dtype=torch.float64, device=logits.device)[:, None]

    # Below this a temperature is greedy in all but name, and dividing by it would overflow.
    temperature = column([max(draw.temperature, 1e-6) for draw in draws])
    scores = logits.double()
    weights = ((scores - scores.amax(-1, keepdim=True)) / temperature).exp()
    order = None
    if is_cut:
        weights, order = _nucleus(weights, column([draw.top_p for draw in draws]))
    upto = weights.cumsum(-1)
    # The first token whose cumulative weight exceeds the point; the point is below the total.
    points = column([min(draw.uniform, 1 - 1e-9) for draw in draws]) * upto[:, -1:]
    found = torch.searchsorted(upto, points, right=True).clamp(max=upto.shape[-1] - 1)
    return (found if order is None else order.gather(-1, found))[:, 0]


def _nucleus(weights: Tensor, top_p: Tensor) -> tuple[Tensor, Tensor]:
    """The fewest likeliest tokens whose weights make up `top_p` (rows, 1) of all; (weights, ids).

    A few hundred tokens nearly always suffice; only then is the whole vocabulary left unsorted.
    """
    wanted = top_p * weights.sum(-1, keepdim=True)
    best, order = weights.topk(min(_LIKELIEST, weights.shape[-1]), sorted=True)
    if bool((best.sum(-1, keepdim=True) < wanted).any()):
        best, order = torch.sort(weights, dim=-1, descending=True, stable=True)
    before = best.cumsum(-1) - best
    return best.masked_fill(before >= wanted, 0), order


@dataclass(frozen=True)
class TokenLogprob:
    """A token, how likely it was, and what else was likely.

    Natural logarithms under the mask, before temperature and top-p: a forced token has 0.

    Attributes:
        token: its id.
        logprob: its own.
        top: the likeliest tokens, likeliest first, as many as asked for and allowed.
    """

    token: int
    logprob: float
    top: tuple[tuple[int, float], ...] = ()


def token_logprobs(logits: Tensor, token: int, top: int) -> TokenLogprob:
    """The log-probability of a token under (vocabulary,) masked logits, and the `top` best."""
    logprobs = logits.log_softmax(-1)
    values, tokens = logprobs.topk(min(top, len(logits)))
    best = [
        (int(t), float(v)) for t, v in zip(tokens.tolist(), values.tolist(), strict=True)
        if v > -math.inf
    ]  # fmt: skip
    return TokenLogprob(token, float(logprobs[token]), tuple(best))


def forced_logprob(token: int, top: int) -> TokenLogprob:
    """The only token that its mask allowed."""
    return TokenLogprob(token, 0.0, ((token, 0.0),) if top else ())
