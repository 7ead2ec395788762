"""`build_loss` and `reuse_loss`: states are made of skills, and of few of them.

Both are of a process's own rows as a whole; among several processes the terms are averaged by rows.

B batch, T time, D builder width, K skills, N positions.

Sources: builderbrain 2 (`build_loss`, `reuse_loss`), 3 (reuse over bloat); Rissanen 1978 for the
two-part code.
"""

from __future__ import annotations

import torch
from torch import Tensor

from bb_nn.recurrence import linear_scan
from bb_train.objectives.errors import ObjectiveError, ShapeError
from bb_train.objectives.term import Term

_TINY = 1e-12


def compose(outputs: Tensor, present: Tensor, keep: float) -> Tensor:
    """The composition of the skills used so far: `s_t = keep s_{t−1} + o_t`, from nothing.

    Args:
        outputs: (B, T, D) what the chosen skills put out at each position.
        present: (B, T) bool; absent positions neither add nor forget.
        keep: how much of what earlier skills built is still there a position later, in [0, 1];
            0 is the skills of this position alone.

    Returns:
        (B, T, D).
    """
    if not 0 <= keep <= 1:
        raise ObjectiveError(f"keep is {keep}", where="build_loss", fix="use 0 to 1")
    here = present[..., None].to(outputs.dtype)
    decay = torch.where(here.bool(), torch.full_like(outputs, keep), torch.ones_like(outputs))
    return linear_scan(decay, outputs * here, None)


def build_loss(hidden: Tensor, composed: Tensor, present: Tensor) -> Term:
    """Share of the hidden state's variance that the composed skills leave unexplained.

        Σ |h − s|² / Σ |h − mean h|²    over present positions

    0: the state is the composition. 1: the composition is worth no more than a constant. A common
    factor of both changes nothing, so the loss is not won by shrinking. Both sides are moved.

    Args:
        hidden: (B, T, D) states of the rail.
        composed: (B, T, D) from `compose`.
        present: (B, T) bool.
    """
    if hidden.shape != composed.shape or hidden.shape[:2] != present.shape:
        raise ShapeError(
            f"{tuple(hidden.shape)}, {tuple(composed.shape)}, {tuple(present.shape)}",
            where="build_loss", fix="give states, compositions and presence of one batch",
        )  # fmt: skip
    h, s = hidden[present], composed[present]
    h, s = (x.to(torch.promote_types(x.dtype, torch.float32)) for x in (h, s))
    if not len(h):
        return Term(h.detach().sum(), h.sum() + s.sum(), 0)
    left = (h - s).square().sum() / ((h - h.mean(0)).square().sum() + _TINY)
    return Term(left.detach(), left, len(h))


def reuse_loss(usage: Tensor, adapters: Tensor, *, scale: float, positions: float) -> Term:
    """Description length of the library and its use, in nats a position: few skills explain more.

        H(mean usage)  +  |A|₁ / (scale · positions)

    A two-part code. The first part says which skill is used, under the best fixed code for how
    often each is; it falls as the same few are used. The second says what the adapters are, under
    a Laplace prior of that scale, once for all positions of the data; it is L1 on the adapters.

    Args:
        usage: (N, K) chances of each skill at each position (soft, so that it can be moved).
        adapters: (K, …) weights of the skills.
        scale: b of the prior, the size an adapter's weight may have for a nat.
        positions: of the whole training data, over which the library is paid for.
    """
    if usage.dim() != 2 or not len(usage) or usage.shape[1] != len(adapters):
        raise ShapeError(
            f"usage {tuple(usage.shape)}, adapters {tuple(adapters.shape)}",
            where="reuse_loss", fix="give (N, K) usage, N > 0, and K adapters",
        )  # fmt: skip
    if not scale > 0 or not positions > 0:
        raise ObjectiveError(
            f"scale {scale}, positions {positions}", where="reuse_loss", fix="use values above 0"
        )
    shares = usage.to(torch.promote_types(usage.dtype, torch.float32)).mean(0)
    entropy = -torch.special.xlogy(shares, shares.clamp(min=_TINY)).sum()
    length = entropy + adapters.abs().sum().to(entropy.dtype) / (scale * positions)
    return Term(length.detach(), length, len(usage))


def used_skills(usage: Tensor) -> float:
    """How many skills are in use, 1 to K, for the log: exp of the mean usage's entropy."""
    shares = usage.detach().double().mean(0)
    return float(torch.exp(-torch.special.xlogy(shares, shares.clamp(min=_TINY)).sum()))
