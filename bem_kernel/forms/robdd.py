"""Reduced ordered binary decision diagrams, built bottom up from packed truth tables.

The order of variables is fixed: input n-1 at the root, input 0 above the leaves. Each level joins
the pairs of nodes of the level below; equal pairs become one node, and a node with equal children
is its child, so the result is canonical: equal functions have equal arrays.

Going through the table costs 2**n bits, and for the inputs a circuit of an expert has that is far
less than building the diagram gate by gate.

Source: BEM core spec 5.2; Bryant 1986.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from types import ModuleType

import numpy as np
from numpy.typing import NDArray

from bem_kernel.circuits.builder import CircuitBuilder
from bem_kernel.circuits.circuit import Circuit
from bem_kernel.errors import ShapeError
from bem_kernel.forms.packed_table import PackedTable, words_of

_MOST_WORDS = 2**27  # so that nodes, at most eight a word, are int32


@dataclass(frozen=True, eq=False)
class Robdd:
    """A shared diagram for m functions of n inputs.

    Attributes:
        n_inputs: n.
        nodes: (k, 3) int32, one row (variable, low, high) per inner node, children first. Node 0
            is false, node 1 is true, and row i is node i + 2. `low` is where the variable is 0.
        roots: (m,) int32, the node of each function.

    Raises:
        ShapeError: the arrays are no such diagram: a child does not come before its node and
            below its variable, or a node has equal children.
    """

    n_inputs: int
    nodes: NDArray[np.int32]
    roots: NDArray[np.int32]

    def __post_init__(self) -> None:
        _check(self)

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Robdd):
            return NotImplemented
        same_nodes = np.array_equal(self.nodes, other.nodes)
        same_roots = np.array_equal(self.roots, other.roots)
        return self.n_inputs == other.n_inputs and same_nodes and same_roots

    def __hash__(self) -> int:
        return hash((self.n_inputs, self.nodes.tobytes(), self.roots.tobytes()))


@cache
def _kernels() -> ModuleType:
    """The kernels, whose import brings numba; an import statement a call would cost as much."""
    from bem_kernel.forms import robdd_kernel

    return robdd_kernel


def _check(diagram: Robdd) -> None:
    nodes, roots = diagram.nodes, diagram.roots
    if not (nodes.flags.carray and roots.flags.carray):
        nodes, roots = nodes.copy(), roots.copy()
    shaped = nodes.ndim == 2 and nodes.shape[1] == 3 and roots.ndim == 1
    if not shaped or nodes.dtype != np.int32 or roots.dtype != np.int32:
        raise ShapeError(
            f"nodes are {nodes.dtype} of shape {nodes.shape}, roots {roots.dtype} of shape "
            f"{roots.shape}",
            where="robdd",
            fix="give (k, 3) and (m,) int32",
        )
    bad = int(_kernels().first_bad(nodes, roots, diagram.n_inputs))
    if bad >= 0:
        what = f"node {bad + 2}" if bad < len(nodes) else f"root {bad - len(nodes)}"
        raise ShapeError(
            f"{what} breaks the order, or has equal children",
            where="robdd",
            fix="make diagrams with robdd.robdd_from_table",
        )


def robdd_from_table(table: PackedTable) -> Robdd:
    """The diagram of the functions in a table.

    Raises:
        ShapeError: the functions have more than 2**27 words between them.
    """
    nodes, roots = _room(table.n_outputs, table.n_inputs)
    count = _kernels().diagram_of_words(table.words.reshape(-1), table.n_inputs, nodes, roots)
    return Robdd(table.n_inputs, nodes[:count].copy(), roots)


def robdd_from_circuit(circuit: Circuit) -> Robdd:
    """The diagram of a circuit, through its table.

    Raises:
        ShapeError: the circuit has more than 24 inputs, or its functions more than 2**27 words
            between them.
    """
    n = circuit.n_inputs
    nodes, roots = _room(circuit.n_outputs, n)
    outputs = np.array(circuit.outputs, dtype=np.int64)
    count = _kernels().diagram_of_gates(circuit.packed, n, outputs, nodes, roots)
    return Robdd(n, nodes[:count].copy(), roots)


def _room(m: int, n: int) -> tuple[NDArray[np.int32], NDArray[np.int32]]:
    """Arrays for the nodes and roots of m functions of n inputs."""
    words = m * words_of(n)
    if words > _MOST_WORDS:
        raise ShapeError(f"{m} functions of {n} inputs", where="robdd", fix="convert fewer at once")
    nodes = np.empty((_kernels().LEAF_NODES + 8 * words, 3), dtype=np.int32)
    return nodes, np.empty(m, dtype=np.int32)


def table_from_robdd(diagram: Robdd) -> PackedTable:
    """Inverse of `robdd_from_table`.

    Raises:
        ShapeError: the diagram has more than 24 inputs.
    """
    from bem_kernel.forms.table_kernel import tabulate_diagram

    words = np.empty((len(diagram.roots), words_of(diagram.n_inputs)), dtype=np.uint64)
    nodes, roots = np.ascontiguousarray(diagram.nodes), np.ascontiguousarray(diagram.roots)
    tabulate_diagram(nodes, roots, diagram.n_inputs, words)
    return PackedTable(diagram.n_inputs, words)


def circuit_from_robdd(diagram: Robdd) -> Circuit:
    """One multiplexer per node, the constants folded; n inputs and one output per root."""
    builder = CircuitBuilder(diagram.n_inputs)
    slots = [builder.const(False), builder.const(True)]
    for variable, low, high in diagram.nodes.tolist():
        slots.append(builder.mux(variable, slots[low], slots[high]))
    return builder.build([slots[root] for root in diagram.roots.tolist()])
