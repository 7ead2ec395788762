"""Parts of the builder rail: recurrent mixer, cross-attention into the base, program slot, copy.

Tensor axes: B batch, T new positions, S all positions so far, D builder width, H heads.
Every part is causal and reads and writes its state through a `Memory`, so that whole sequences
and single tokens give the same numbers.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from bb_nn.memory import Memory


@dataclass(frozen=True)
class WordTensors:
    """`bb_nn.words.Entries` as tensors on the rail's device, all (B, N)."""

    ids: Tensor
    prefix: Tensor
    first: Tensor
    last: Tensor
    shape: Tensor
    valid: Tensor


@dataclass
class Pass:
    """One forward pass: what the lanes and the cache gave, and what the hooks collect.

    Attributes:
        ids: (B, S) token ids of all positions so far.
        bits: (B, T, n) lane features of the new positions.
        relations: (B, T, S) each, 0 or 1, between new positions and all: same goal and in the
            request, same goal and in the plan, induction by one token, by two.
        visible: (B, T, S) bool, causal, present and inside the window.
        entries: words of the request that may be copied, as tensors.
        word_goal: (B, T, N) 1 where position and entry belong to the same goal.
        word_visible: (B, T, N) bool, the open literal begins as the entry's word does.
        registers: (B, T, 2) int64, tokens of the steps that the lanes name, -1 for none.
        writing: (B, T, 1) 1 where the new position belongs to the plan.
        present: (B, T, 1) 1 where the new position is no padding.
        memory: the rail's state.
        taps: hidden states by layer, filled by the hooks.
    """

    ids: Tensor
    bits: Tensor
    relations: tuple[Tensor, ...]
    visible: Tensor
    entries: WordTensors
    word_goal: Tensor
    word_visible: Tensor
    registers: Tensor
    writing: Tensor
    present: Tensor
    memory: Memory
    taps: dict[int, Tensor]


class RMSNorm(nn.Module):
    """Root-mean-square norm with a gain per channel, computed in float32."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(width))

    def forward(self, x: Tensor) -> Tensor:
        """(..., width) to (..., width)."""
        scale = torch.rsqrt(x.float().pow(2).mean(-1, keepdim=True) + 1e-6)
        return (x.float() * scale).to(x.dtype) * self.weight


def linear_scan(decay: Tensor, drive: Tensor, start: Tensor | None) -> Tensor:
    """`h_t = decay_t * h_{t-1} + drive_t` for all t, by doubling.

    Args:
        decay: (B, T, D), in [0, 1].
        drive: (B, T, D).
        start: (B, D) state before the first position, or None for zero.

    Returns:
        (B, T, D) states.
    """
    if start is not None:
        first = drive[:, :1] + decay[:, :1] * start[:, None]
        drive = torch.cat([first, drive[:, 1:]], dim=1)
    step = 1
    while step < drive.shape[1]:
        earlier = F.pad(drive[:, :-step], (0, 0, step, 0))
        drive = drive + decay * earlier
        decay = decay * F.pad(decay[:, :-step], (0, 0, step, 0))
        step *= 2
    return drive


def linear_scan_ref(decay: Tensor, drive: Tensor, start: Tensor | None) -> Tensor:
    """The same as `linear_scan`, one position after the other: the plain reference."""
    state = torch.zeros_like(drive[:, 0]) if start is None else start
    states = []
    for t in range(drive.shape[1]):
        state = decay[:, t] * state + drive[:, t]
        states.append(state)
    return torch.stack(states, dim=1)


class Mixer(nn.Module):
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

    def forward(self, x: Tensor, present: Tensor, memory: Memory) -> Tensor:
        """(B, T, D) to (B, T, D); `present` (B, T, 1) is 0 at padding."""
        x = x * present
        earlier = memory.last(f"{self.name}.conv", self.KERNEL - 1, x)
        window = torch.cat([earlier, x], dim=1)
        memory.append(f"{self.name}.conv", x)
        length = x.shape[1]
        mixed = sum(window[:, k : k + length] * self.taps[k] for k in range(self.KERNEL))
        drive, decay, gate = self.drive(F.silu(mixed)).chunk(3, dim=-1)
        decay = torch.sigmoid(decay)
        drive = drive * (1 - decay)
        # Absent positions (left padding) leave the state alone.
        decay = torch.where(present.bool(), decay, torch.ones_like(decay))
        states = linear_scan(decay, drive * present, memory.final(f"{self.name}.state"))
        memory.append(f"{self.name}.state", states)
        return self.out(states * F.silu(gate))


class Sight(nn.Module):
    """Attention scores that also see exact relations between query and key.

    A score is q·k/√d plus a learned bonus for each relation that holds: same goal, and induction
    (the token before the key is the query's own token; and so are the two tokens before it). The
    bonus depends on equality alone, so it holds for goals and tokens never seen in training.

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

    def forward(
        self, x: Tensor, keys: Tensor, relations: tuple[Tensor, ...], visible: Tensor
    ) -> Tensor:
        """Attention weights (B, H, T, S); a row that sees nothing gets weights of zero.

        Args:
            x: (B, T, query_width).
            keys: (B, S, heads * head_width), projected keys.
            relations: (B, T, S) each, 0 or 1, one for each column of `bonus`.
            visible: (B, T, S) bool.
        """
        b, t, _ = x.shape
        q = self.query(x).view(b, t, self.heads, self.head_width).transpose(1, 2)
        k = keys.view(b, -1, self.heads, self.head_width).transpose(1, 2)
        scores = q @ k.transpose(-1, -2) * self.head_width**-0.5
        for relation, bonus in zip(relations, self.bonus.unbind(1), strict=True):
            scores = scores + bonus[None, :, None, None] * relation[:, None]
        scores = scores.masked_fill(~visible[:, None], torch.finfo(scores.dtype).min)
        weights = scores.float().softmax(dim=-1).to(x.dtype)
        return weights * visible.any(-1)[:, None, :, None]


class CrossAttention(nn.Module):
    """Windowed attention from the builder rail into the base rail's hidden states."""

    def __init__(self, width: int, heads: int, name: str) -> None:
        super().__init__()
        self.name = name
        # Half of the heads start out on the request's words of the goal, half on its steps.
        looks = torch.tensor([[4.0, 0.0, 0.0, 0.0], [0.0, 3.0, 1.0, 1.0]])
        start = looks.repeat_interleave((heads + 1) // 2, dim=0)[:heads]
        self.sight = Sight(width, 2 * width, width // heads, start)
        self.value = nn.Linear(width, width, bias=False)
        self.out = nn.Linear(width, width, bias=False)

    def forward(self, x: Tensor, seen: Tensor, current: Pass) -> Tensor:
        """(B, T, D) to (B, T, D), from x into the base's states `seen` (B, T, D)."""
        memory = current.memory
        before = torch.cat([memory.last(f"{self.name}.seen", 1, seen), seen], dim=1)[:, :-1]
        memory.append(f"{self.name}.seen", seen)
        keys = memory.grow(f"{self.name}.key", self.sight.key(torch.cat([seen, before], dim=-1)))
        values = memory.grow(f"{self.name}.value", self.value(seen))
        weights = self.sight(x, keys, current.relations, current.visible)
        b, h, t, _ = weights.shape
        split = values.view(b, values.shape[1], h, -1).transpose(1, 2)
        return self.out((weights @ split).transpose(1, 2).reshape(b, t, -1))


class ProgramSlot(nn.Module):
    """Embeds the lane's output bits through the adapter of the chosen skill.

    A skill's adapter maps the bits, as -1 or 1, to the builder width. The choice is a hard
    one-hot with the softmax's gradient (straight-through; Gumbel noise in training).
    """

    def __init__(self, width: int, bits: int, skills: int) -> None:
        super().__init__()
        self.choice = nn.Linear(width, skills)
        self.adapters = nn.Parameter(
            torch.randn(skills, bits + 1, width) * 0.3 / max(1, bits) ** 0.5
        )

    def forward(self, x: Tensor, bits: Tensor) -> Tensor:
        """(B, T, D) and bits (B, T, n) bool to (B, T, D)."""
        logits = self.choice(x).float()
        if self.training:
            logits = logits - torch.empty_like(logits).exponential_().log()
        soft = logits.softmax(-1)
        hard = F.one_hot(soft.argmax(-1), soft.shape[-1]).to(soft.dtype)
        chosen = (hard + soft - soft.detach()).to(x.dtype)
        signed = torch.cat([bits.to(x.dtype) * 2 - 1, torch.ones_like(bits[..., :1])], dim=-1)
        every = torch.einsum("btn,knd->btkd", signed.to(x.dtype), self.adapters)
        return torch.einsum("btk,btkd->btd", chosen, every)


class CompBlock(nn.Module):
    """Recurrent mixer + windowed cross-attention into h^B + program slot + gated FFN."""

    def __init__(self, width: int, heads: int, bits: int, skills: int, name: str) -> None:
        super().__init__()
        self.norms = nn.ModuleList([RMSNorm(width) for _ in range(4)])
        self.mixer = Mixer(width, name)
        self.cross = CrossAttention(width, heads, name)
        self.slot = ProgramSlot(width, bits, skills)
        self.up = nn.Linear(width, 4 * width, bias=False)
        self.down = nn.Linear(2 * width, width, bias=False)

    def forward(self, x: Tensor, seen: Tensor, current: Pass) -> Tensor:
        """(B, T, D) to (B, T, D); `seen` is the projection of the base's hidden states."""
        memory = current.memory
        x = x + self.slot(self.norms[0](x), current.bits)
        x = x + self.mixer(self.norms[1](x), current.present, memory)
        x = x + self.cross(self.norms[2](x), seen, current)
        left, right = self.up(self.norms[3](x)).chunk(2, dim=-1)
        return x + self.down(F.silu(left) * right)
