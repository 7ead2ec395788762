"""Look-up tables: known covers, the bit order of tables, what is refused."""

from __future__ import annotations

import pytest

from bem_kernel.circuits import arith
from bem_kernel.circuits.circuit import Circuit, Gate, Op
from bem_kernel.circuits.expression import compile_expression
from bem_kernel.circuits.lut import Lut, LutCircuit, depends_on, evaluate_luts
from bem_kernel.circuits.lut_mapping import map_luts
from bem_kernel.errors import CircuitError, ShapeError
from bem_kernel.forms.truth_table import counting_planes
from bem_kernel.lanes import unpack_lanes


@pytest.mark.parametrize("table", [0x00, 0x96, 0xE8, 0xCA, 0xFF, 0x1B])
def test_bit_r_of_a_table_is_the_value_in_row_r(table: int) -> None:
    circuit = LutCircuit(3, (Lut(table, (0, 1, 2)),), (3,))
    column = unpack_lanes(evaluate_luts(circuit, counting_planes(3)), 8).tolist()
    assert column == [table >> row & 1 for row in range(8)]


def test_a_full_adder_is_two_tables_a_bit() -> None:
    assert len(map_luts(arith.add(8)).luts) == 16  # bit 0 has no carry in, but two outputs too


def test_any_function_of_three_inputs_is_one_table() -> None:
    text = "(a & b | !a & c) ^ (a <-> c) ^ (b -> a & c)"
    cover = map_luts(compile_expression(text, ["a", "b", "c"]))
    assert len(cover.luts) == 1


def test_a_wire_and_a_constant() -> None:
    assert map_luts(Circuit(2, (), (1, 0, 1))) == LutCircuit(2, (), (1, 0, 1))
    double_not = Circuit(1, (Gate(Op.NOT, 0), Gate(Op.NOT, 1)), (2,))
    assert map_luts(double_not) == LutCircuit(1, (), (0,))
    never = Circuit(1, (Gate(Op.NOT, 0), Gate(Op.AND, 0, 1)), (2,))
    assert map_luts(never) == LutCircuit(1, (Lut(0, ()),), (1,))
    assert map_luts(Circuit(0, (Gate(Op.CONST1),), (0,))) == LutCircuit(0, (Lut(0xFF, ()),), (0,))


def test_a_long_chain_over_few_inputs_is_no_deep_recursion() -> None:
    gates = [Gate(Op.XOR, 0, 1)]
    gates += [Gate(Op.XOR, i + 2, i % 2) for i in range(1_500)]
    cover = map_luts(Circuit(2, tuple(gates), (len(gates) + 1,)))
    assert len(cover.luts) <= 1


def test_depends_on() -> None:
    assert [depends_on(0xCA, i) for i in range(3)] == [True, True, True]
    assert [depends_on(0xCC, i) for i in range(3)] == [False, True, False]
    assert [depends_on(0xFF, i) for i in range(3)] == [False, False, False]


@pytest.mark.parametrize(
    ("lut", "message"),
    [
        (Lut(256, (0,)), "LUT 0: table 256 with 1 operands; use a table of 8 bits"),
        (Lut(0, (0, 0, 0, 0)), "LUT 0: table 0 with 4 operands"),
        (Lut(0xAA, (2,)), "LUT 0: slot 2 is not written before it; read slots below 2"),
        (Lut(0x88, (0,)), "LUT 0: table 0x88 depends on operand 1, which is missing"),
    ],
)
def test_a_malformed_table_is_refused(lut: Lut, message: str) -> None:
    with pytest.raises(CircuitError, match=message):
        LutCircuit(2, (lut,), ())


def test_outputs_and_planes_are_checked() -> None:
    with pytest.raises(CircuitError, match="lut circuit: output 0 is slot 2, which does not exist"):
        LutCircuit(2, (), (2,))
    with pytest.raises(ShapeError, match=r"lut\.evaluate_luts: 3 planes where 2 are needed"):
        evaluate_luts(LutCircuit(2, (), ()), counting_planes(3))
    assert evaluate_luts(LutCircuit(2, (), ()), counting_planes(2)).shape == (0, 1)
