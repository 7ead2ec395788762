"""The builder folds constants, shares gates and drops dead ones."""

from __future__ import annotations

import pytest

from bem_kernel.circuits.builder import CircuitBuilder, prune, simplify
from bem_kernel.circuits.circuit import Circuit, Gate, Op
from bem_kernel.errors import CircuitError
from bem_kernel.forms.truth_table import truth_table

AND = Circuit(2, (Gate(Op.AND, 0, 1),), (2,))


def test_commutative_gates_are_shared() -> None:
    b = CircuitBuilder(2)
    assert b.and_(0, 1) == b.and_(1, 0)
    assert b.xor(0, 1) == b.xor(1, 0)
    assert b.or_(0, 1) == b.or_(1, 0)


def test_constants_and_complements_fold() -> None:
    b = CircuitBuilder(2)
    zero, one, not_a = b.const(False), b.const(True), b.not_(0)
    assert b.and_(0, zero) == zero
    assert b.and_(one, 0) == 0
    assert b.or_(zero, 0) == 0
    assert b.or_(0, one) == one
    assert b.xor(0, one) == not_a
    assert b.xor(zero, 0) == 0
    assert b.not_(not_a) == 0
    assert b.not_(zero) == one
    assert (b.and_(0, not_a), b.or_(not_a, 0), b.xor(0, not_a)) == (zero, one, one)
    assert (b.and_(0, 0), b.or_(1, 1), b.xor(0, 0)) == (0, 1, zero)


def test_and_with_a_complement_is_one_gate() -> None:
    b = CircuitBuilder(2)
    circuit = b.build([b.and_(0, b.not_(1))])
    assert circuit.gates == (Gate(Op.ANDN, 0, 1),)


@pytest.mark.parametrize("low", ["0", "1", "a", "b"])
@pytest.mark.parametrize("high", ["0", "1", "a", "b"])
def test_mux_is_right_for_every_kind_of_operand(low: str, high: str) -> None:
    b = CircuitBuilder(3)
    slot = {"0": b.const(False), "1": b.const(True), "a": 1, "b": 2}
    table = truth_table(b.build([b.mux(0, slot[low], slot[high])]))[:, 0]
    for row, value in enumerate(table.tolist()):
        bits = {"0": 0, "1": 1, "a": row >> 1 & 1, "b": row >> 2 & 1}
        assert value == (bits[high] if row & 1 else bits[low])


def test_mux_of_a_constant_is_no_gate() -> None:
    b = CircuitBuilder(2)
    zero, one = b.const(False), b.const(True)
    assert (b.mux(zero, 0, 1), b.mux(one, 0, 1), b.mux(0, 1, 1)) == (0, 1, 1)
    with pytest.raises(CircuitError, match="slot 9 is not written yet"):
        b.mux(zero, 0, 9)


def test_dead_gates_are_pruned_and_the_function_stays() -> None:
    gates = (Gate(Op.NOT, 0), Gate(Op.OR, 0, 1), Gate(Op.AND, 2, 1))
    pruned = prune(Circuit(2, gates, (4,)))
    assert pruned == Circuit(2, (Gate(Op.NOT, 0), Gate(Op.AND, 2, 1)), (3,))


def test_simplify_shares_equal_gates() -> None:
    twice = Circuit(2, (Gate(Op.AND, 0, 1), Gate(Op.AND, 1, 0)), (2, 3))
    assert simplify(twice) == Circuit(2, (Gate(Op.AND, 0, 1),), (2, 2))


def test_embed_needs_one_slot_per_input() -> None:
    with pytest.raises(CircuitError, match="1 slots for a circuit of 2 inputs; give one slot"):
        CircuitBuilder(2).embed(AND, [0])


def test_a_slot_must_be_built_before_it_is_used() -> None:
    with pytest.raises(CircuitError, match="slot 7 is not written yet"):
        CircuitBuilder(2).and_(0, 7)
