"""Reduced ordered binary decision diagrams, built bottom up from truth tables.

The order of variables is fixed: input n-1 at the root, input 0 above the leaves. Each level joins
the pairs of nodes of the level below; equal pairs become one node, and a node with equal children
is its child, so the result is canonical.

Source: BEM core spec 5.2; Bryant 1986.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from bem_kernel.circuits.builder import CircuitBuilder
from bem_kernel.circuits.circuit import Circuit
from bem_kernel.forms.anf import Table, inputs_of


@dataclass(frozen=True)
class Robdd:
    """A shared diagram for m functions of n inputs.

    Attributes:
        n_inputs: n.
        nodes: (variable, low, high) per inner node, children first. Node 0 is false, node 1 is
            true, and nodes[i] is node i + 2.
        roots: the node of each function.
    """

    n_inputs: int
    nodes: tuple[tuple[int, int, int], ...]
    roots: tuple[int, ...]


def robdd_from_table(table: Table) -> Robdd:
    """The diagram of a truth table.

    Args:
        table: (2**n, m) uint8 of 0 and 1; bit i of the row number is input i.

    Raises:
        ShapeError: `table` is no truth table.
    """
    n = inputs_of(table, where="robdd.robdd_from_table")
    nodes: list[tuple[int, int, int]] = []
    level: NDArray[np.int64] = table.astype(np.int64)
    for variable in range(n):
        low, high = level[0::2], level[1::2]
        differs = low != high
        pairs = np.stack([low[differs], high[differs]], axis=1)
        unique, position = np.unique(pairs, axis=0, return_inverse=True)
        level = low.copy()
        level[differs] = len(nodes) + 2 + position.reshape(-1)
        nodes.extend((variable, int(a), int(b)) for a, b in unique.tolist())
    return Robdd(n, tuple(nodes), tuple(level[0].tolist()))


def circuit_from_robdd(diagram: Robdd) -> Circuit:
    """One multiplexer per node, the constants folded; n inputs and one output per root."""
    builder = CircuitBuilder(diagram.n_inputs)
    slots = [builder.const(False), builder.const(True)]
    for variable, low, high in diagram.nodes:
        slots.append(builder.mux(variable, slots[low], slots[high]))
    return builder.build([slots[root] for root in diagram.roots])
