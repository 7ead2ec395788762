"""The program slot: the rail perceives, chooses a skill at each token, and reads what it puts out.

    p_t = sign(W_p h^B_t)                     perception bits, straight through
    z_t ~ softmax(W_z x_t + query + prior)    choice, straight-through Gumbel over the candidates
    o_t = step(state, classes_t, p_t; z_t)    all t in one call of the engine
    out = E o_t + U_z V_z o_t                 bits embedded, and the skill's own low-rank adapter

Choice and perception depend on h^B and on x alone, never on what the lanes put out in this layer.

B batch, T time, D width, K skills, R rank.

Sources: DESIGN.md 5; Bengio, Léonard, Courville 2013 (straight-through); Jang, Gu, Poole 2017
(straight-through Gumbel); Hu et al. 2022 (low-rank adapters).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from bb_nn.library.candidates import QUERY_BITS, Candidates
from bb_nn.library.library import Library
from bb_nn.library.shape import LibraryShape
from bb_nn.library.surrogate import run_lanes

if TYPE_CHECKING:
    from bb_nn.blocks import Pass


@dataclass(frozen=True)
class LibraryUse:
    """What one slot did in one pass, for `build_loss`, `reuse_loss`, the prior and the log.

    Attributes:
        usage: (B, T, K) chances of each skill, differentiable.
        chosen: (B, T, K) bool, 0 everywhere at padding.
        outputs: (B, T, D) what the chosen skills put out, differentiable.
        hidden: (B, T, D) the block's result, differentiable.
        present: (B, T) bool.
        adapters: (K, weights) of the skills, differentiable.
    """

    usage: Tensor
    chosen: Tensor
    outputs: Tensor
    hidden: Tensor
    present: Tensor
    adapters: Tensor


class LibrarySlot(nn.Module):
    """One layer's slot over the shared library.

    Args:
        width: D.
        library: the skills.
        shape: rank, candidates, horizon.
        name: of the lane's state in the cache.
    """

    def __init__(self, width: int, library: Library, shape: LibraryShape, name: str) -> None:
        super().__init__()
        self.library, self.shape, self.name = library, shape, name
        n_skills, bits = len(library.skills), library.n_out + 1
        self.perceive = nn.Linear(width, library.perception)
        self.choose = nn.Linear(width, n_skills)
        self.candidates = Candidates(n_skills, shape.candidates)
        self.query = nn.Linear(width, QUERY_BITS) if self.candidates.narrow else None
        self.embed = nn.Parameter(torch.randn(bits, width) * 0.3 / bits**0.5)
        self.down = nn.Parameter(torch.randn(n_skills, shape.rank, bits) / bits**0.5)
        self.up = nn.Parameter(torch.randn(n_skills, shape.rank, width) * 0.1 / shape.rank**0.5)

    def adapters(self) -> Tensor:
        """(K, weights) of each skill's own."""
        return torch.cat([self.down.flatten(1), self.up.flatten(1)], dim=1)

    def forward(
        self, x: Tensor, seen: Tensor, current: Pass, prior: Tensor
    ) -> tuple[Tensor, Tensor, Tensor]:
        """What the chosen skills put out.

        Args:
            x: (B, T, D) state of the rail.
            seen: (B, T, D) the base's states, projected.
            current: token classes, padding and memory.
            prior: (K,) log-weights of the skills.

        Returns:
            (B, T, D) outputs, (B, T, K) chances, (B, T, K) the choice, one-hot and 0 at padding.
        """
        chances = self._chances(x, prior)
        hard = F.one_hot(chances.argmax(-1), chances.shape[-1]).to(chances.dtype)
        chosen = (hard + chances - chances.detach()) * current.present.to(chances.dtype)
        inputs = torch.cat([current.classes.to(chances.dtype), self._perceived(seen)], dim=-1)
        state = current.memory.final(f"{self.name}.lane")
        if state is None:
            state = torch.zeros(len(x), self.library.n_state, dtype=torch.bool, device=x.device)
        bits, states = run_lanes(inputs, chosen, state, self.library, self.shape.horizon)
        current.memory.append(f"{self.name}.lane", states)
        return self._read(bits, chosen, x.dtype), chances, chosen

    def _chances(self, x: Tensor, prior: Tensor) -> Tensor:
        logits = self.choose(x).float() + prior
        if self.query is not None:
            logits = self.candidates(self.query(x).float(), logits)
        if self.training:
            logits = logits - torch.empty_like(logits).exponential_().log()
        return logits.softmax(-1)

    def _perceived(self, seen: Tensor) -> Tensor:
        """(B, T, perception) bits; their slope is that of a clipped line."""
        a = self.perceive(seen).float()
        soft = (a.clamp(-1, 1) + 1) / 2
        return (a > 0).to(soft.dtype) + soft - soft.detach()

    def _read(self, bits: Tensor, chosen: Tensor, dtype: torch.dtype) -> Tensor:
        """(B, T, n_out) bits and the choice to (B, T, D)."""
        ones = torch.ones_like(bits[..., :1])
        signed = torch.cat([bits * 2 - 1, ones], dim=-1).to(dtype)
        n_skills, rank, _ = self.down.shape
        low = (signed @ self.down.flatten(0, 1).T).unflatten(-1, (n_skills, rank))
        own = (low * chosen.to(dtype)[..., None]).flatten(-2) @ self.up.flatten(0, 1)
        return signed @ self.embed + own
