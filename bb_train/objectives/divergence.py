"""Distances between next-token distributions: the KL budget, and invariance across skins.

Both run over the whole vocabulary, a few positions at a time (`vocabulary`).
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from bb_train.objectives.errors import ShapeError
from bb_train.objectives.term import Term, mean_term
from bb_train.objectives.vocabulary import Head, Measure, vocabulary_rows


def kl_from(base_states: Tensor, head: Head) -> Measure:
    """KL(base ‖ rail) of each row, in nats.

    Args:
        base_states: (N, D) the base's own final states at the same positions.
        head: the base's.
    """

    def measure(found: Tensor, part: slice) -> Tensor:
        with torch.no_grad():
            base = head.project(base_states[part]).to(found.dtype).log_softmax(-1)
        return (base.exp() * (base - found)).sum(-1)

    return measure


def kl_budget(states: Tensor, base_states: Tensor, head: Head) -> Term:
    """What the rail changes on general text: mean KL(base ‖ rail), in nats a position.

    This direction, since it is what general text costs in expectation: if the base is right about
    the text, the rail's loss on it is the base's plus exactly this. It is the direction of a
    trust region, KL(π_old ‖ π_new), too.

    Args:
        states: (N, D) the rail's final states on general text.
        base_states: (N, D) the base's on the same text.
        head: the base's.

    Source: builderbrain 2 (`kl_budget`).
    """
    _same(states, base_states, "kl_budget")
    found = vocabulary_rows(states, head, [kl_from(base_states.detach(), head)])
    return mean_term(found.losses[0])


def jensen_shannon(found: Tensor, _part: slice) -> Tensor:
    """Jensen-Shannon divergence of each row's two distributions, (n, 2, V) -> (n,) in nats."""
    left, right = found[:, 0], found[:, 1]
    middle = torch.logaddexp(left, right) - math.log(2)
    return 0.5 * ((left.exp() * (left - middle)).sum(-1) + (right.exp() * (right - middle)).sum(-1))


def invariance_loss(states: Tensor, others: Tensor, head: Head) -> Term:
    """How differently a plan is predicted under two wordings of one goal, 0 to log 2 nats.

    The Jensen-Shannon divergence at plan positions aligned by the plan's text: symmetric, zero
    exactly where both wordings predict alike, and bounded, so that a single position where the
    model is sure of two different things cannot outweigh all others. Both sides are moved.

    Args:
        states: (N, D) final states under the one wording, from `paired_positions`.
        others: (N, D) under the other.
        head: to logits.

    Source: builderbrain 3 (same workflow, different skins); Lin 1991.
    """
    _same(states, others, "invariance")
    pair = torch.stack([states, others], dim=1)
    return mean_term(vocabulary_rows(pair, head, [jensen_shannon]).losses[0])


def _same(left: Tensor, right: Tensor, where: str) -> None:
    if left.shape != right.shape:
        raise ShapeError(
            f"states of shapes {tuple(left.shape)} and {tuple(right.shape)}",
            where=where, fix="take both at the same positions",
        )  # fmt: skip
