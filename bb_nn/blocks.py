"""Parts of the builder rail: cross-attention into the base, program slot, feed-forward.

Tensor axes: B batch, T new positions, S all positions so far, D builder width, H heads,
R relations. Every part is causal and reads and writes its state through a `Memory`, so that whole
sequences and single tokens give the same numbers.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from bb_nn.library.library import Library
from bb_nn.library.shape import LibraryShape
from bb_nn.library.slot import LibrarySlot, LibraryUse
from bb_nn.memory import Memory
from bb_nn.mixers import make_mixer
from bb_nn.sight import Sight


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
        bits: (B, T, n) lane features of the new positions.
        classes: (B, T, n) bool, the tokens' classes, for the program library.
        relations: (B, R + 1, T, S), 0 or 1, between new positions and all: same goal and in the
            request, same goal and in the plan, induction by one token, by two; the last is 1
            where a position is not visible.
        visible: (B, T, S) bool, causal, present and inside the window.
        entries: words of the request that may be copied, as tensors.
        word_relations: (B, 2, T, N) 1 where position and entry belong to the same goal; where the
            entry is not visible.
        word_visible: (B, T, N) bool, the open literal begins as the entry's word does.
        registers: (B, T, 2) int64, steps that the lanes name, -1 for none.
        present: (B, T, 1) 1 where the new position is no padding.
        whole: whether no new position is padding.
        memory: the rail's state.
        taps: hidden states by layer, filled by the hooks.
        uses: what each library slot did, if the caller records it.
    """

    bits: Tensor
    classes: Tensor
    relations: Tensor
    visible: Tensor
    entries: WordTensors
    word_relations: Tensor
    word_visible: Tensor
    registers: Tensor
    present: Tensor
    whole: bool
    memory: Memory
    taps: dict[int, Tensor] = field(default_factory=dict)
    uses: list[LibraryUse] | None = None


class RMSNorm(nn.Module):
    """Root-mean-square norm with a gain per channel, computed in float32."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(width))

    def forward(self, x: Tensor) -> Tensor:
        """(..., width) to (..., width)."""
        found = F.rms_norm(x.float(), self.weight.shape, self.weight.float(), 1e-6)
        return found.to(self.weight.dtype)


def unit_rows(rows: Tensor) -> Tensor:
    """Rows scaled to a root mean square of 1 over the last axis."""
    return F.rms_norm(rows.float(), rows.shape[-1:], None, 1e-6).to(rows.dtype)


class Inward(nn.Module):
    """The base's hidden states, normalised, in the builder's width.

    The base is frozen, so the norm is outside the graph; its gain is part of the linear map.
    """

    def __init__(self, base_width: int, width: int) -> None:
        super().__init__()
        self.gain = nn.Parameter(torch.ones(base_width))
        self.linear = nn.Linear(base_width, width)

    def forward(self, hidden: Tensor) -> Tensor:
        """(B, T, base width) to (B, T, D)."""
        with torch.no_grad():
            rows = unit_rows(hidden.float()).to(self.gain.dtype)
        if not torch.is_grad_enabled():
            return self.linear(rows * self.gain)  # fewer products where few positions are new
        return F.linear(rows, self.linear.weight * self.gain, self.linear.bias)


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
        weights = self.sight(x, keys, current.relations).to(values.dtype)
        split = values.unflatten(-1, (weights.shape[1], -1)).transpose(1, 2)
        return self.out((weights @ split).transpose(1, 2).flatten(2))


class ProgramSlot(nn.Module):
    """Embeds the lane's output bits through the adapter of the chosen skill.

    A skill's adapter maps the bits, as -1 or 1, to the builder width. The choice is a hard
    straight-through Gumbel sample in training and the likeliest skill otherwise.
    """

    def __init__(self, width: int, bits: int, skills: int) -> None:
        super().__init__()
        self.choice = nn.Linear(width, skills)
        self.adapters = nn.Parameter(torch.randn(skills, bits + 1, width) * 0.3 / bits**0.5)

    def forward(self, x: Tensor, bits: Tensor) -> Tensor:
        """(B, T, D) and bits (B, T, n) bool to (B, T, D)."""
        logits = self.choice(x).float()
        if self.training:
            logits = logits - torch.empty_like(logits).exponential_().log()
        soft = logits.softmax(-1)
        hard = F.one_hot(soft.argmax(-1), soft.shape[-1]).to(soft.dtype)
        chosen = (hard + soft - soft.detach()).to(x.dtype)
        signed = F.pad(bits.to(x.dtype) * 2 - 1, (0, 1), value=1.0)
        return (chosen[..., None] * signed[..., None, :]).flatten(-2) @ self.adapters.flatten(0, 1)


@dataclass(frozen=True)
class BlockShape:
    """What every CompBlock of a rail shares.

    Attributes:
        width: D.
        heads: of every attention.
        mixer: one of `bb_nn.mixers.MIXERS`.
        bits: features of the lanes.
        skills: adapters of the lanes' features.
        library: the program library and its size, if there is one.
    """

    width: int
    heads: int
    mixer: str
    bits: int
    skills: int
    library: tuple[Library, LibraryShape] | None = None


class CompBlock(nn.Module):
    """Program slots + mixer + windowed cross-attention into h^B + gated feed-forward."""

    def __init__(self, shape: BlockShape, name: str) -> None:
        super().__init__()
        width = shape.width
        self.norms = nn.ModuleList([RMSNorm(width) for _ in range(4)])
        self.mixer = make_mixer(shape.mixer, width, shape.heads, name)
        self.cross = CrossAttention(width, shape.heads, name)
        self.slot = ProgramSlot(width, shape.bits, shape.skills) if shape.bits else None
        self.library = LibrarySlot(width, *shape.library, name) if shape.library else None
        self.up = nn.Linear(width, 4 * width, bias=False)
        self.down = nn.Linear(2 * width, width, bias=False)

    def forward(self, x: Tensor, seen: Tensor, current: Pass, prior: Tensor | None) -> Tensor:
        """(B, T, D) to (B, T, D).

        Args:
            x: state of the rail.
            seen: projection of the base's hidden states.
            current: this pass.
            prior: (K,) log-weights of the library's skills, if there is a library.
        """
        normed = self.norms[0](x)
        if self.slot is not None:
            x = x + self.slot(normed, current.bits)
        found = None
        if self.library is not None:
            found = self.library(normed, seen, current, prior)
            x = x + found[0]
        x = x + self.mixer(self.norms[1](x), current)
        x = x + self.cross(self.norms[2](x), seen, current)
        left, right = self.up(self.norms[3](x)).chunk(2, dim=-1)
        x = x + self.down(F.silu(left) * right)
        if found is not None and self.library is not None and current.uses is not None:
            outputs, usage, chosen = found
            here = current.present[..., 0].bool()
            adapters = self.library.adapters()
            picked = chosen.detach() > 0.5
            current.uses.append(LibraryUse(usage, picked, outputs, x, here, adapters))
        return x
