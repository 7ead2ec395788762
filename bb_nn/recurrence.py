"""A gated linear recurrence over time: a parallel scan, with a backward pass that is one too.

Tensor axes: B batch, T time, D channels.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor


def linear_scan(decay: Tensor, drive: Tensor, start: Tensor | None) -> Tensor:
    """`h_t = decay_t * h_{t-1} + drive_t` for all t, by doubling.

    Autograd keeps the decays and the states, nothing of the rounds in between.

    Args:
        decay: (B, T, D), in [0, 1].
        drive: (B, T, D).
        start: (B, D) state before the first position, or None for zero.

    Returns:
        (B, T, D) states.
    """
    if drive.shape[1] == 1 and start is not None:
        return torch.addcmul(drive, decay, start[:, None])
    states: Tensor = _Scan.apply(decay, drive, start)
    return states


def linear_scan_ref(decay: Tensor, drive: Tensor, start: Tensor | None) -> Tensor:
    """The same as `linear_scan`, one position after the other: the plain reference."""
    state = torch.zeros_like(drive[:, 0]) if start is None else start
    states = []
    for t in range(drive.shape[1]):
        state = decay[:, t] * state + drive[:, t]
        states.append(state)
    return torch.stack(states, dim=1)


class _Scan(torch.autograd.Function):
    """The slopes obey the same recurrence, backwards in time."""

    @staticmethod
    def forward(ctx: Any, decay: Tensor, drive: Tensor, start: Tensor | None) -> Tensor:
        states = drive.clone()
        if start is not None:
            states[:, 0].addcmul_(decay[:, 0], start)
        _double(decay.clone(), states)
        ctx.save_for_backward(decay, states, start)
        return states

    @staticmethod
    def backward(ctx: Any, slope: Tensor) -> tuple[Tensor, Tensor, Tensor | None]:
        decay, states, start = ctx.saved_tensors
        # g_t = slope_t + decay_{t+1} g_{t+1}: the same scan over reversed time.
        by_drive = slope.flip(1)
        later = torch.cat([decay[:, :1], decay[:, 1:].flip(1)], dim=1)
        _double(later, by_drive)
        by_drive = by_drive.flip(1)
        by_decay = torch.empty_like(by_drive)
        torch.mul(by_drive[:, 1:], states[:, :-1], out=by_decay[:, 1:])
        if start is None:
            by_decay[:, 0] = 0
            return by_decay, by_drive, None
        torch.mul(by_drive[:, 0], start, out=by_decay[:, 0])
        return by_decay, by_drive, by_drive[:, 0] * decay[:, 0]


def _double(decay: Tensor, states: Tensor) -> None:
    """Scan in place: `states` holds the drives before and the states after; `decay` is used up."""
    step, length = 1, states.shape[1]
    while step < length:
        states[:, step:] = torch.addcmul(states[:, step:], decay[:, step:], states[:, :-step])
        if 2 * step < length:
            decay[:, step:] = decay[:, step:] * decay[:, :-step]
        step *= 2
