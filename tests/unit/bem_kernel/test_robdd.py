"""Decision diagrams whose size is known, and arrays that are no diagram."""

from __future__ import annotations

import numpy as np
import pytest

from bem_kernel.circuits import arith
from bem_kernel.circuits.circuit import Circuit
from bem_kernel.circuits.composition import wiring
from bem_kernel.circuits.expression import compile_expression
from bem_kernel.errors import ShapeError
from bem_kernel.forms.packed_table import table_from_circuit
from bem_kernel.forms.robdd import (
    Robdd,
    circuit_from_robdd,
    robdd_from_circuit,
    robdd_from_table,
    table_from_robdd,
)


def diagram_of(circuit: Circuit) -> Robdd:
    diagram = robdd_from_circuit(circuit)
    assert diagram == robdd_from_table(table_from_circuit(circuit))
    return diagram


def test_the_diagram_of_parity_has_two_nodes_a_level_but_one_at_the_root() -> None:
    diagram = diagram_of(arith.parity(4))
    assert diagram.nodes[:, 0].tolist() == [0, 0, 1, 1, 2, 2, 3]
    assert [sorted(row) for row in diagram.nodes[2:6, 1:].tolist()] == [[2, 3]] * 2 + [[4, 5]] * 2
    assert diagram.roots.tolist() == [8]


@pytest.mark.parametrize("n", [1, 2, 3, 4, 7, 12, 20])
def test_and_has_a_node_a_variable(n: int) -> None:
    diagram = diagram_of(arith.all_of(n))
    chain = [[i, 0, i + 1 if i else 1] for i in range(n)]
    assert diagram.nodes.tolist() == chain
    assert diagram.roots.tolist() == [n + 1]


@pytest.mark.parametrize("n", [5, 9, 14])
def test_parity_has_two_nodes_a_variable(n: int) -> None:
    assert len(diagram_of(arith.parity(n)).nodes) == 2 * n - 1


def test_the_order_of_variables_matters_as_it_must() -> None:
    """Bryant's example: pairs side by side are linear, pairs apart are exponential."""
    good = compile_expression("a & b | c & d | e & f", list("abcdef"))
    bad = compile_expression("a & b | c & d | e & f", list("acebdf"))
    assert len(diagram_of(good).nodes) == 6
    assert len(diagram_of(bad).nodes) == 14


def test_equal_functions_share_one_root() -> None:
    twice = wiring(3, [0, 1, 2, 0, 1, 2]) >> (arith.all_of(3) | arith.all_of(3))
    diagram = diagram_of(twice)
    assert diagram.roots[0] == diagram.roots[1]
    assert len(diagram.nodes) == 3


def test_constants_and_nothing_at_all() -> None:
    assert diagram_of(arith.constant(2, 0b10)).roots.tolist() == [0, 1]
    empty = diagram_of(Circuit(8, (), ()))
    assert (empty.nodes.shape, empty.roots.shape) == ((0, 3), (0,))
    assert table_from_robdd(empty).words.shape == (0, 4)
    assert circuit_from_robdd(empty) == Circuit(8, (), ())


def test_diagrams_compare_by_value() -> None:
    one, other = (diagram_of(compile_expression(t, "ab")) for t in ("a | b", "!(!a & !b)"))
    assert one == other
    assert hash(one) == hash(other)
    assert one != diagram_of(compile_expression("a & b", "ab"))
    assert one != diagram_of(compile_expression("a | b", "abc"))
    assert one != "a | b"


@pytest.mark.parametrize(
    ("nodes", "roots", "message"),
    [
        ([[0, 1, 1]], [2], "node 2 breaks the order, or has equal children; make diagrams with"),
        ([[2, 0, 1]], [2], "node 2 breaks the order"),
        ([[-1, 0, 1]], [2], "node 2 breaks the order"),
        ([[0, 0, 2]], [2], "node 2 breaks the order"),
        ([[0, -1, 1]], [2], "node 2 breaks the order"),
        ([[0, 0, 1], [0, 2, 1]], [3], "node 3 breaks the order"),
        ([[1, 0, 1], [0, 2, 1]], [3], "node 3 breaks the order"),
        ([[0, 0, 1]], [3], "root 0 breaks the order"),
        ([[0, 0, 1]], [2, -1], "root 1 breaks the order"),
    ],
)
def test_what_is_no_diagram_is_refused(
    nodes: list[list[int]], roots: list[int], message: str
) -> None:
    with pytest.raises(ShapeError, match=f"robdd: {message}"):
        Robdd(2, np.array(nodes, dtype=np.int32), np.array(roots, dtype=np.int32))


def test_other_arrays_are_refused() -> None:
    with pytest.raises(ShapeError, match=r"nodes are int64 of shape \(1, 3\), roots int32"):
        Robdd(1, np.array([[0, 0, 1]]), np.array([2], dtype=np.int32))
    with pytest.raises(ShapeError, match=r"of shape \(3,\)"):
        Robdd(1, np.zeros(3, dtype=np.int32), np.array([0], dtype=np.int32))


def test_more_than_fits_is_refused() -> None:
    with pytest.raises(ShapeError, match="packed_table: 25 inputs; use 0 to 24"):
        robdd_from_circuit(Circuit(25, (), ()))
    with pytest.raises(ShapeError, match="robdd: 513 functions of 24 inputs; convert fewer at"):
        robdd_from_circuit(Circuit(24, (), (0,) * 513))
