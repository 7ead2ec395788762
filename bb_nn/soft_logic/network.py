"""Sequential logic networks whose gates and wires are real numbers.

Layers of gates; a gate's operand is a mixture of everything the layer sees (the layer before it,
and the inputs), so wires are learned as well. The last layer has a gate for each bit of the next
state and for each output; state bits go back in at the next token, beginning at 0. Any number of
replicas, alike but for their start, train side by side in one tensor.

    operand = Σ_s softmax(wire / τ)_s · x_s          table = sigmoid(logits / τ)

R replicas, N sequences, T tokens, F bits that a layer sees, G gates of a layer.

Sources: `gates`; learned wires as in Bacellar, Susskind, et al.: Differentiable Weightless Neural
Networks, 2024.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from bb_nn.soft_logic.errors import SoftLogicError
from bb_nn.soft_logic.gates import ENTRIES, soft_gate


@dataclass(frozen=True)
class NetworkShape:
    """Bits and gates of a network.

    Attributes:
        n_in: bits it reads at each token.
        n_out: bits it puts out at each token.
        n_state: bits it keeps; 0 for a network without memory.
        widths: gates of each hidden layer.
    """

    n_in: int
    n_out: int
    n_state: int = 0
    widths: tuple[int, ...] = (16,)

    def __post_init__(self) -> None:
        if min(self.n_in, self.n_out, *self.widths, self.n_state + 1) < 1:
            raise SoftLogicError(
                f"{self.n_in} inputs, {self.n_out} outputs, {self.n_state} state bits, "
                f"layers {self.widths}", where="logic network",
                fix="use at least one input, one output and one gate a layer",
            )  # fmt: skip

    @property
    def layers(self) -> tuple[tuple[int, int], ...]:
        """(F, G) of each layer, the last one included."""
        own = self.n_state + self.n_in
        gates = (*self.widths, self.n_state + self.n_out)
        return tuple((own + (gates[i - 1] if i else 0), g) for i, g in enumerate(gates))


@dataclass(frozen=True)
class HardLayer:
    """A layer of one replica, decided.

    Attributes:
        operands: (G, 2) what each gate reads: the inputs first, then the layer before.
        tables: (G,) number of the function, 0 to 15, as in `gates.build_gate`.
    """

    operands: NDArray[np.int64]
    tables: NDArray[np.int64]


class SoftNetwork(nn.Module):
    """A logic network that can be trained.

    Args:
        shape: bits and gates.
        replicas: how many are trained side by side.
        seed: of their starts.
    """

    def __init__(self, shape: NetworkShape, replicas: int = 1, seed: int = 0) -> None:
        super().__init__()
        if replicas < 1:
            raise SoftLogicError(f"{replicas} replicas", where="logic network", fix="use 1 or more")
        self.shape, self.replicas = shape, replicas
        generator = torch.Generator().manual_seed(seed)
        wires, tables = [], []
        for seen, gates in shape.layers:
            wires.append(torch.randn(replicas, 2 * gates, seen, generator=generator))
            tables.append(torch.randn(replicas, gates, ENTRIES, generator=generator))
        self.wires = nn.ParameterList(wires)
        self.tables = nn.ParameterList(tables)

    def forward(self, inputs: Tensor, temperature: float = 1.0, *, hard: bool = False) -> Tensor:
        """Step all replicas over all tokens.

        Args:
            inputs: (N, T, n_in) in [0, 1].
            temperature: τ; lower is nearer to logic.
            hard: every operand and table at its likeliest value: exactly what `decided` says.

        Returns:
            (R, N, T, n_out) in [0, 1].
        """
        if inputs.dim() != 3 or inputs.shape[2] != self.shape.n_in:
            raise SoftLogicError(
                f"inputs of shape {tuple(inputs.shape)}", where="logic network",
                fix=f"give (sequences, tokens, {self.shape.n_in})",
            )  # fmt: skip
        weights = [
            self._layer(*pair, temperature, hard=hard)
            for pair in zip(self.wires, self.tables, strict=True)
        ]
        n_state = self.shape.n_state
        state = inputs.new_zeros(self.replicas, n_state, len(inputs))
        found = []
        for token in inputs.unbind(1):
            own = torch.cat([state, token.T.expand(self.replicas, -1, -1)], dim=1)
            x = own[:, :0]
            for wires, table in weights:
                a, b = (wires @ torch.cat([own, x], dim=1)).chunk(2, dim=1)
                x = soft_gate(a, b, table)
            state = x[:, :n_state]
            found.append(x[:, n_state:])
        return torch.stack(found, dim=-1).permute(0, 2, 3, 1)

    def _layer(
        self, wires: Tensor, tables: Tensor, temperature: float, *, hard: bool
    ) -> tuple[Tensor, Tensor]:
        """(R, 2G, F) and (R, G, 4), as the forward pass uses them."""
        if hard:
            picked = torch.zeros_like(wires).scatter_(-1, wires.argmax(-1, keepdim=True), 1.0)
            return picked, (tables > 0).to(tables.dtype)
        return (wires / temperature).softmax(-1), torch.sigmoid(tables / temperature)

    def indecision(self, temperature: float = 1.0) -> Tensor:
        """(R,) how far wires and tables are from logic, 0 to 1 each, their means summed."""
        total = torch.zeros(self.replicas, device=self.wires[0].device)
        for raw_wires, raw_tables in zip(self.wires, self.tables, strict=True):
            wires, tables = self._layer(raw_wires, raw_tables, temperature, hard=False)
            spread = 1 - wires.square().sum(-1)
            total = total + spread.mean(1) + (4 * tables * (1 - tables)).mean((1, 2))
        return total / len(self.wires)

    @torch.no_grad()
    def decided(self, replica: int) -> list[HardLayer]:
        """The layers of a replica with every operand and table at its likeliest value."""
        layers = []
        for wires, tables in zip(self.wires, self.tables, strict=True):
            operands = wires[replica].argmax(-1).view(2, -1).T.cpu().numpy()
            numbers = (tables[replica] > 0).cpu().numpy() @ (1 << np.arange(ENTRIES))
            layers.append(HardLayer(operands, numbers))
        return layers
