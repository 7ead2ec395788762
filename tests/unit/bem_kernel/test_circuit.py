"""Circuits refuse what is not straight-line; depth counts gates."""

from __future__ import annotations

import numpy as np
import pytest

from bem_kernel.circuits.circuit import Circuit, Gate, Op, depth
from bem_kernel.errors import CircuitError


def test_a_gate_may_not_read_itself_or_later() -> None:
    with pytest.raises(CircuitError, match=r"gate 1 \(AND\) reads slot 3, .*; read slots below 3"):
        Circuit(2, (Gate(Op.NOT, 0), Gate(Op.AND, 0, 3)), ())


def test_a_slot_may_not_be_negative() -> None:
    with pytest.raises(CircuitError, match=r"gate 0 \(XOR\) reads slot -1"):
        Circuit(2, (Gate(Op.XOR, 0, -1),), ())


def test_an_output_must_exist() -> None:
    with pytest.raises(CircuitError, match="output 1 is slot 2, which does not exist"):
        Circuit(2, (), (0, 2))


def test_unused_operands_are_zero_so_that_equal_circuits_are_equal() -> None:
    with pytest.raises(CircuitError, match=r"gate 0 \(NOT\) has operand 1 where it takes none"):
        Circuit(2, (Gate(Op.NOT, 0, 1),), ())


def test_negative_inputs_are_refused() -> None:
    with pytest.raises(CircuitError, match="n_inputs is -1; use 0 or more"):
        Circuit(-1, (), ())


def test_equal_circuits_hash_equal() -> None:
    make = lambda: Circuit(1, (Gate(Op.NOT, 0),), (1,))  # noqa: E731
    assert make() == make()
    assert hash(make()) == hash(make())


def test_depth_is_the_longest_path_to_an_output() -> None:
    gates = (Gate(Op.NOT, 0), Gate(Op.AND, 1, 2), Gate(Op.NOT, 3))
    assert depth(Circuit(2, gates, (1, 3))) == 2
    assert depth(Circuit(2, gates, (4,))) == 3
    assert depth(Circuit(2, gates, (0,))) == 0
    assert depth(Circuit(0, (Gate(Op.CONST1),), (0,))) == 1


def test_gates_are_packed_once() -> None:
    circuit = Circuit(2, (Gate(Op.ANDN, 0, 1), Gate(Op.CONST1), Gate(Op.NOT, 3)), (4,))
    assert circuit.packed.tolist() == [[4, 0, 1], [6, 0, 0], [3, 3, 0]]
    assert (circuit.packed.dtype, circuit.packed.shape) == (np.int32, (3, 3))
    assert circuit.packed is circuit.packed
    assert Circuit(0, (), ()).packed.shape == (0, 3)


def test_slots_beyond_int32_cannot_be_packed() -> None:
    with pytest.raises(CircuitError, match=r"circuit\.packed: 2147483649 slots; use at most 2147"):
        _ = Circuit(2**31, (Gate(Op.NOT, 2**31 - 1),), ()).packed
