"""`cfs_energy`: how much probability goes to tokens that the grammar forbids.

At a plan position let m be the mass on forbidden tokens. The value is the mean of m: a rate in
[0, 1]. The surrogate is the mean energy E = −log(1 − m) = logsumexp(all) − logsumexp(allowed).
It bounds m from above, equals it to first order, and its gradient `p − p(· | allowed)` does not
fade as m nears 1, where the mass's own gradient does. What carries the loss need not be masked
at decode: a model that obeys the grammar unmasked loses nothing to the mask.

Source: builderbrain 2 (`cfs_energy`); the semantic loss of Xu et al. 2018, here per token.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from bb_runtime.masks import unpack_on_device
from bb_runtime.rows import RowState
from bb_train.objectives.errors import ObjectiveError, ShapeError
from bb_train.objectives.term import Term, mean_term
from bb_train.objectives.vocabulary import Head, Measure, vocabulary_rows


@dataclass(frozen=True)
class Obedience:
    """How a model stands to the grammar at some positions.

    Attributes:
        term: value the mean forbidden mass, surrogate the mean energy in nats.
        rate: share of the positions whose likeliest token is forbidden; 0 of none.
    """

    term: Term
    rate: float


def grammar_masks(
    make_row: Callable[[], RowState], plans: Sequence[Sequence[int]], n_words: int
) -> Tensor:
    """The masks along written plans, as the row states of decoding make them.

    Args:
        make_row: makes a state that has written nothing: `PlanLanguage.start`,
            `masks.matcher_rows(…)`, any other.
        plans: the tokens of each plan, end of sequence included.
        n_words: 32-bit words of a mask.

    Returns:
        (N, n_words) int32, one row for each token of all plans in order: what was allowed where
        that token was written. Token t is bit t % 32 of word t // 32.

    Raises:
        ObjectiveError: a plan leaves the grammar; training on it would teach what is forbidden.
    """
    words = np.zeros((sum(map(len, plans)), n_words), dtype=np.int32)
    place = 0
    for number, plan in enumerate(plans):
        state = make_row()
        for index, token in enumerate(plan):
            state.fill(words[place])
            if not state.consume(int(token)):
                raise ObjectiveError(
                    f"token {index} of plan {number} is forbidden", where="cfs_energy",
                    fix="check that data, grammar and budget belong together",
                )  # fmt: skip
            place += 1
    return torch.from_numpy(words)


def energy_of(masks: Tensor) -> Measure:
    """−log of the mass on allowed tokens.

    Args:
        masks: (N, n_words) int32; tokens beyond them are forbidden.

    Raises:
        ObjectiveError: a mask allows nothing.
    """
    empty = (masks == 0).all(-1)
    if bool(empty.any()):
        raise ObjectiveError(
            f"position {int(empty.nonzero()[0, 0])} allows no token", where="cfs_energy",
            fix="leave out positions after the end of sequence",
        )  # fmt: skip

    def measure(found: Tensor, part: slice) -> Tensor:
        allowed = unpack_on_device(masks[part].to(found.device).contiguous().view(torch.uint8))[
            :, : found.shape[-1]
        ]
        missing = found.shape[-1] - allowed.shape[1]
        if missing:
            allowed = torch.nn.functional.pad(allowed, (0, missing))
        # Rounding may leave a hair more than all of the mass.
        return -found.masked_fill(~allowed, -torch.inf).logsumexp(-1).clamp(max=0)

    return measure


def is_allowed(masks: Tensor, tokens: Tensor) -> Tensor:
    """(N,) bool: whether each of (N,) tokens is allowed by its packed mask."""
    word = tokens // 32
    inside = word < masks.shape[1]
    bits = masks.gather(1, word.clamp(max=masks.shape[1] - 1)[:, None])[:, 0]
    return ((bits >> (tokens % 32)) & 1).bool() & inside


def obedience(energies: Tensor, top: Tensor, masks: Tensor) -> Obedience:
    """The term and the violation rate, from one pass of `vocabulary_rows` over the positions.

    Args:
        energies: (N,) from the measure `energy_of(masks)`.
        top: (N,) int64, likeliest tokens.
        masks: (N, n_words) int32.
    """
    if not len(energies) == len(top) == len(masks):
        raise ShapeError(
            f"{len(energies)} energies, {len(top)} tokens, {len(masks)} masks",
            where="cfs_energy", fix="take all at the same positions",
        )  # fmt: skip
    mass = -torch.expm1(-energies.detach())
    broken = (
        (~is_allowed(masks.to(top.device), top)).float().mean() if len(top) else torch.zeros(())
    )
    return Obedience(mean_term(mass, energies), float(broken))


def cfs_energy(states: Tensor, head: Head, masks: Tensor) -> Obedience:
    """The forbidden mass at plan positions.

    Args:
        states: (N, D) final states at the positions (or logits, with `logits_head`).
        head: to logits.
        masks: (N, n_words) int32 packed masks, from `grammar_masks`.
    """
    if len(states) != len(masks):
        raise ShapeError(
            f"{len(states)} states, {len(masks)} masks",
            where="cfs_energy", fix="take both at the same positions",
        )  # fmt: skip
    found = vocabulary_rows(states, head, [energy_of(masks)])
    return obedience(found.losses[0], found.top, masks)
