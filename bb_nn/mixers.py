"""Mixers of the builder rail: what a position knows of the rail's own past.

Three kinds behind one signature: a gated linear recurrence (parallel in training, a fixed state in
decoding), a GRU, and causal attention. All read and write their state through a `Memory`, so that
whole sequences and single tokens give the same numbers, and all let left padding leave no trace.

Tensor axes: B batch, T new positions, S all positions so far, D builder width, H heads.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from bb_nn.recurrence import linear_scan

if TYPE_CHECKING:
    from bb_nn.blocks import Pass

MIXERS = ("linear", "gru", "attention")


def make_mixer(kind: str, width: int, heads: int, name: str) -> nn.Module:
    """A mixer of one of `MIXERS`.

    Args:
        kind: which.
        width: D.
        heads: of attention; divides the width.
        name: of its state in the cache.
    """
    if kind == "linear":
        return LinearMixer(width, name)
    return GruMixer(width, name) if kind == "gru" else AttentionMixer(width, heads, name)


class LinearMixer(nn.Module):
    """Short causal convolution and a gated linear recurrence."""

    KERNEL = 4

    def __init__(self, width: int, name: str) -> None:
        super().__init__()
        self.name = name
        self.taps = nn.Parameter(torch.randn(self.KERNEL, width) * 0.3)
        self.drive = nn.Linear(width, 3 * width)
        self.out = nn.Linear(width, width, bias=False)
        with torch.no_grad():  # decays start between about 0.5 and 0.99
            self.drive.bias[width : 2 * width] = torch.linspace(0.0, 4.5, width)

    def forward(self, x: Tensor, current: Pass) -> Tensor:
        """(B, T, D) to (B, T, D)."""
        memory, present = current.memory, current.present
        x = x * present
        earlier = memory.last(f"{self.name}.conv", self.KERNEL - 1, x)
        window = torch.cat([earlier, x], dim=1)
        memory.append(f"{self.name}.conv", x)
        length = x.shape[1]
        mixed = window[:, :length] * self.taps[0]
        for k in range(1, self.KERNEL):
            mixed = torch.addcmul(mixed, window[:, k : k + length], self.taps[k])
        drive, decay, gate = self.drive(F.silu(mixed)).chunk(3, dim=-1)
        # Absent positions (left padding) leave the state alone. The state is kept in float32,
        # since decays near 1 are coarse in bfloat16.
        decay = torch.sigmoid(decay.float())
        drive = drive * (1 - decay)
        if not current.whole:
            decay = torch.where(present.bool(), decay, 1.0)
            drive = drive * present
        states = linear_scan(decay, drive, memory.final(f"{self.name}.state"))
        memory.append(f"{self.name}.state", states)
        return self.out(states.to(gate.dtype) * F.silu(gate))


class GruMixer(nn.Module):
    """A gated recurrent unit (Cho et al. 2014) in torch's own kernels.

    Padding enters through one more input channel, whose weight holds the update gate at 1: the
    state that padding finds, zero, is the state that it leaves.
    """

    _HOLD = 100.0  # sigmoid of it is exactly 1

    def __init__(self, width: int, name: str) -> None:
        super().__init__()
        self.name, self.width = name, width
        self.unit = nn.GRU(width, width, batch_first=True)
        self.out = nn.Linear(width, width, bias=False)
        hold = torch.zeros(3 * width, 1)
        hold[width : 2 * width] = self._HOLD
        self.register_buffer("hold", hold, persistent=False)

    def forward(self, x: Tensor, current: Pass) -> Tensor:
        """(B, T, D) to (B, T, D)."""
        memory, unit = current.memory, self.unit
        x = torch.cat([x * current.present, 1 - current.present], dim=-1)
        start = memory.final(f"{self.name}.state")
        if start is None:
            start = x.new_zeros(len(x), self.width)
        weights = [
            torch.cat([unit.weight_ih_l0, self.hold.to(x.dtype)], dim=1),
            unit.weight_hh_l0, unit.bias_ih_l0, unit.bias_hh_l0,
        ]  # fmt: skip
        states, _ = torch._VF.gru(  # type: ignore[attr-defined]
            x, start[None].to(x.dtype), weights, True, 1, 0.0, self.training, False, True
        )
        memory.append(f"{self.name}.state", states)
        return self.out(states)


class AttentionMixer(nn.Module):
    """Causal attention inside the window, nearer positions preferred by a slope for each head.

    The slopes are ALiBi's (Press, Smith, Lewis 2022): distances alone count, so that left padding
    and cached decoding need no positions.
    """

    def __init__(self, width: int, heads: int, name: str) -> None:
        super().__init__()
        self.name, self.heads = name, heads
        self.project = nn.Linear(width, 3 * width, bias=False)
        self.out = nn.Linear(width, width, bias=False)
        slopes = 2.0 ** (-8.0 * torch.arange(1, heads + 1) / heads)
        self.register_buffer("slopes", slopes[:, None, None], persistent=False)

    def forward(self, x: Tensor, current: Pass) -> Tensor:
        """(B, T, D) to (B, T, D)."""
        memory = current.memory
        query, key, value = self.project(x).chunk(3, dim=-1)
        keys = memory.grow(f"{self.name}.mixer_key", key)
        values = memory.grow(f"{self.name}.mixer_value", value)
        query, keys, values = (self._split(part) for part in (query, keys, values))
        total, new = keys.shape[2], query.shape[2]
        at = torch.arange(total, device=x.device)
        far = (at[None, :] - at[total - new :, None]).to(query.dtype)
        bias = torch.where(
            current.visible[:, None],
            self.slopes.to(query.dtype) * far,
            torch.finfo(far.dtype).min / 2,
        )
        mixed = F.scaled_dot_product_attention(query, keys, values, attn_mask=bias)
        return self.out(mixed.transpose(1, 2).flatten(2))

    def _split(self, x: Tensor) -> Tensor:
        """(B, S, D) to (B, H, S, D / H)."""
        return x.unflatten(-1, (self.heads, -1)).transpose(1, 2)
