"""Composition joins gate lists; wrong shapes are refused with the numbers in the message."""

from __future__ import annotations

import pytest

from bem_kernel.circuits.circuit import Circuit, Gate, Op
from bem_kernel.circuits.composition import cofactor, identity, substitute, support, wiring
from bem_kernel.errors import CircuitError
from bem_kernel.forms.truth_table import truth_table

NOT = Circuit(1, (Gate(Op.NOT, 0),), (1,))
AND = Circuit(2, (Gate(Op.AND, 0, 1),), (2,))
HALF_ADDER = Circuit(2, (Gate(Op.XOR, 0, 1), Gate(Op.AND, 0, 1)), (2, 3))


def test_one_after_the_other_and_side_by_side() -> None:
    nand = AND >> NOT
    assert nand == Circuit(2, (Gate(Op.AND, 0, 1), Gate(Op.NOT, 2)), (3,))
    both = NOT | AND
    assert both == Circuit(3, (Gate(Op.NOT, 0), Gate(Op.AND, 1, 2)), (3, 4))
    assert truth_table(both).tolist() == [[1 - (r & 1), int(r >= 6)] for r in range(8)]


def test_composition_simplifies_nothing() -> None:
    assert len((NOT >> NOT).gates) == 2
    assert truth_table(NOT >> NOT)[:, 0].tolist() == [0, 1]


def test_unused_operands_stay_zero() -> None:
    one = Circuit(0, (Gate(Op.CONST1),), (0,))
    assert (NOT | one).gates == (Gate(Op.NOT, 0), Gate(Op.CONST1))
    assert (one >> NOT).gates == (Gate(Op.CONST1), Gate(Op.NOT, 0))


def test_outputs_and_inputs_must_match() -> None:
    message = r"circuit >> circuit: 2 outputs go to 1 inputs; give the second circuit one input"
    with pytest.raises(CircuitError, match=message):
        HALF_ADDER >> NOT


def test_other_things_are_no_circuits() -> None:
    with pytest.raises(TypeError, match="unsupported operand"):
        NOT >> 3  # type: ignore[operator]
    with pytest.raises(TypeError, match="unsupported operand"):
        NOT | None  # type: ignore[operator]


def test_a_wiring_permutes_copies_and_drops() -> None:
    assert truth_table(wiring(3, [2, 2, 0])).tolist() == [[r >> 2, r >> 2, r & 1] for r in range(8)]
    with pytest.raises(CircuitError, match="output 1 is slot 3, which does not exist"):
        wiring(3, [0, 3])


def test_a_cofactor_keeps_its_inputs_and_ignores_the_held_ones() -> None:
    held = cofactor(HALF_ADDER, {1: True})
    assert held.n_inputs == 2
    assert support(held) == (0,)
    assert truth_table(held).tolist() == [[1, 0], [0, 1], [1, 0], [0, 1]]
    assert truth_table(cofactor(HALF_ADDER, {0: False, 1: True})).tolist() == [[1, 0]] * 4
    with pytest.raises(CircuitError, match=r"composition\.cofactor: input 2 does not exist"):
        cofactor(AND, {2: True})


def test_substitution_is_simultaneous() -> None:
    swapped = substitute(
        Circuit(2, (Gate(Op.ANDN, 0, 1),), (2,)), {0: wiring(2, [1]), 1: wiring(2, [0])}
    )
    assert swapped.gates == (Gate(Op.ANDN, 1, 0),)


def test_a_replacement_has_all_inputs_and_one_output() -> None:
    message = r"input 0 is replaced by a circuit of 1 inputs and 1 outputs; give one of 2 inputs"
    with pytest.raises(CircuitError, match=message):
        substitute(AND, {0: NOT})
    with pytest.raises(CircuitError, match=r"composition\.substitute: input -1 does not exist"):
        substitute(AND, {-1: AND})


def test_support_is_what_the_outputs_are_connected_to() -> None:
    gates = (Gate(Op.NOT, 0), Gate(Op.AND, 1, 2))
    assert support(Circuit(4, gates, (5, 3))) == (1, 2, 3)
    assert support(Circuit(2, (Gate(Op.CONST0),), (2,))) == ()
    assert support(identity(0)) == ()
