"""From a logic network to the circuit that it has become."""

from __future__ import annotations

from bb_nn.soft_logic.errors import SoftLogicError
from bb_nn.soft_logic.gates import build_gate
from bb_nn.soft_logic.network import SoftNetwork
from bem_kernel.circuits.builder import CircuitBuilder
from bem_kernel.circuits.circuit import Circuit


def discretised(network: SoftNetwork, replica: int) -> Circuit:
    """The circuit of one replica: state and inputs to next state and outputs.

    Every gate takes its likeliest function and its likeliest operands; gates that no output needs
    are left out, and constants are folded.

    Raises:
        SoftLogicError: there is no such replica.
    """
    if not 0 <= replica < network.replicas:
        raise SoftLogicError(
            f"no replica {replica}", where="logic network", fix=f"use 0 to {network.replicas - 1}"
        )
    shape = network.shape
    builder = CircuitBuilder(shape.n_state + shape.n_in)
    own = list(range(shape.n_state + shape.n_in))
    slots: list[int] = []
    for layer in network.decided(replica):
        seen = own + slots
        slots = [
            build_gate(builder, seen[int(a)], seen[int(b)], int(table))
            for (a, b), table in zip(layer.operands, layer.tables, strict=True)
        ]
    return builder.build(slots)
