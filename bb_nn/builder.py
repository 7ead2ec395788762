"""The builder rail: CompBlocks at the taps, gates, and the way back to the base's width."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from bb_core.plan import MAX_STEPS
from bb_nn.blocks import BlockShape, CompBlock, Inward, Pass, RMSNorm, unit_rows
from bb_nn.config import DualRailConfig
from bb_nn.copying import WordCopy
from bb_nn.gates import Gates
from bb_nn.library.library import Library
from bb_nn.library.prior import SkillPrior


class BuilderRail(nn.Module):
    """The trained network.

    Args:
        config: its shape.
        taps: tapped layers, ascending.
        base_width: channels of the base.
        bits: features of the lanes.
        library: the skills' programs, if the configuration wants a library.
    """

    def __init__(
        self,
        config: DualRailConfig,
        taps: list[int],
        base_width: int,
        bits: int,
        library: Library | None,
    ) -> None:
        super().__init__()
        width, sizes = config.builder_width(base_width), config.library_shape()
        parts = None if library is None or sizes is None else (library, sizes)
        shape = BlockShape(width, config.heads, config.mixer, bits, config.skills, parts)
        self.tap_indices = taps
        self.inward = nn.ModuleList([Inward(base_width, width) for _ in taps])
        self.blocks = nn.ModuleList([CompBlock(shape, f"block{i}") for i in range(len(taps))])
        gated = [width] * (len(taps) - 1) + [base_width]
        self.gates = Gates(gated, config.alpha_start, config.alpha_budget)
        self.norm = RMSNorm(width)
        self.outward = nn.Linear(width, base_width, bias=False)
        nn.init.zeros_(self.outward.weight)
        self.copy = WordCopy(width)
        # Of U c, words and registers, log units: the first two start near the base's own size.
        self.gain = nn.Parameter(torch.tensor([3.5, 4.0, 5.0]))
        self.register_gate = nn.Linear(width, 2)
        nn.init.constant_(self.register_gate.bias, -3.0)
        self.prior = SkillPrior(len(library.skills)) if library is not None else None

    def forward(self, current: Pass, head: Tensor, steps: Tensor) -> Tensor:
        """The last layer's output with the builder rail mixed in.

        Args:
            current: taps and lanes of this pass.
            head: (vocabulary, base width) rows of the LM head.
            steps: (MAX_STEPS,) int64, the token of each step's name.

        Returns:
            (B, T, base width), in the dtype of the tapped states.
        """
        last = current.taps[self.tap_indices[-1]]
        alphas = self.gates(last.dtype)
        prior = self.prior() if self.prior is not None else None
        x: Tensor | None = None
        first: Tensor | None = None
        for i, block in enumerate(self.blocks):
            seen = self.inward[i](current.taps[self.tap_indices[i]])
            seen = seen if current.whole else seen * current.present
            first = seen if first is None else first
            c = block(seen if x is None else x, seen, current, prior)
            if i + 1 < len(self.blocks):
                x = torch.lerp(seen, c, alphas[i].to(c.dtype))
        assert first is not None
        built = self._outward(self.norm(c), first, current, head, steps)
        with torch.no_grad():  # in units of the base's own root mean square
            unit = last.float().square().mean(-1, keepdim=True).sqrt().to(built.dtype)
        return torch.lerp(last, (unit * built).to(last.dtype), alphas[-1].to(last.dtype))

    def _outward(
        self, c: Tensor, first: Tensor, current: Pass, head: Tensor, steps: Tensor
    ) -> Tensor:
        """U c_L in base width: a linear map, what is copied, and step names in the registers."""
        linear_gain, word_gain, step_gain = self.gain.exp()
        built = self.outward(c * linear_gain)
        seen = current.memory.grow("copy.seen", first)
        built = built + self.copy(c, seen, current, head, word_gain)
        gate = torch.sigmoid(self.register_gate(c)) * (current.registers >= 0)
        named = gate.new_zeros(*gate.shape[:2], MAX_STEPS)
        named = named.scatter_add(-1, current.registers.clamp(min=0), gate * step_gain.to(gate))
        return built + named @ unit_rows(F.embedding(steps, head)).to(named.dtype)
