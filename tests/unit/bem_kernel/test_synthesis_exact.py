"""Exact synthesis: sizes equal the exhaustive database's, and the lower bounds are proofs."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from bem_kernel.circuits.expression import compile_expressions
from bem_kernel.errors import SynthesisError
from bem_kernel.forms.truth_table import truth_table
from bem_kernel.synthesis.database import optimal_database
from bem_kernel.synthesis.exact import Exact, exact_circuit, smallest, verify

DATABASE = optimal_database()
NAMES = DATABASE.classes.names.tolist()


def of_size(size: int) -> list[int]:
    return [name for name, s in zip(NAMES, DATABASE.sizes.tolist(), strict=True) if s == size]


def found(tables: list[int], n_inputs: int, **options: int) -> Exact:
    result = exact_circuit(tables, n_inputs, **options)
    assert result is not None
    rows = truth_table(result.circuit)
    care = options.get("care", (1 << (1 << n_inputs)) - 1)
    for j, table in enumerate(tables):
        value = sum(int(bit) << row for row, bit in enumerate(rows[:, j]))
        assert (value ^ table) & care == 0
    return result


@pytest.mark.parametrize("table", [t for size in range(5) for t in of_size(size)[:6]])
def test_sizes_are_those_of_the_exhaustive_search(table: int) -> None:
    for member in (table, table ^ 0xFFFF):
        result = found([member], 4)
        assert result.size == DATABASE.size_of(table)
        assert verify(result)


@pytest.mark.slow
@pytest.mark.parametrize("table", [*of_size(5)[::8], *of_size(6)[::24], of_size(7)[0]])
def test_large_ones_too(table: int) -> None:
    result = found([table], 4)
    assert result.size == DATABASE.size_of(table)
    assert verify(result)


def test_a_full_adder_takes_five_gates_and_no_fewer() -> None:
    circuit = compile_expressions(["a ^ b ^ c", "a & b | a & c | b & c"], ["a", "b", "c"])
    result = smallest(circuit)
    assert result is not None and result.size == 5 == len(result.circuit.gates)
    assert (truth_table(result.circuit) == truth_table(circuit)).all()
    assert verify(result) and [bound.size for bound in result.bounds] == [2, 3, 4]


def test_a_bound_left_out_or_altered_does_not_verify() -> None:
    result = found([0xE8], 3)
    assert result.size == 4 and verify(result)
    assert not verify(replace(result, bounds=result.bounds[1:]))
    assert not verify(replace(result, bounds=result.bounds[:-1]))
    wrong = replace(result.bounds[-1], proof=result.bounds[0].proof)
    empty = replace(wrong, proof=replace(wrong.proof, **nothing()))
    assert not verify(replace(result, bounds=(*result.bounds[:-1], empty)))


def nothing() -> dict[str, np.ndarray]:
    return {
        "offsets": np.zeros(1, dtype=np.int32),
        "literals": np.zeros(0, dtype=np.int32),
        "deletes": np.zeros(0, dtype=np.bool_),
    }


def test_what_needs_no_gate() -> None:
    result = found([0, 0xF, 0b1010, 0b0101, 0b1100], 2)
    assert result.size == 0 and result.bounds == () and verify(result)
    mixed = found([0b1010, 0b1000, 0], 2)
    assert mixed.size == 1


def test_a_care_set_saves_gates() -> None:
    assert found([0xE8], 3).size == 4
    assert found([0xE8], 3, care=0b10111101).size < 4
    assert found([0xE8], 3, care=0b10000001).size == 0  # a & b & c on the corners


def test_limits_are_kept_and_named() -> None:
    assert exact_circuit([0x6996], 4, max_gates=2) is None
    assert exact_circuit([0x0116], 4, budget=1) is None
    for tables, n, what in (([0], 7, "7 inputs"), ([16], 2, "table 0x10"), ([-1], 2, "table -0x1")):
        with pytest.raises(SynthesisError, match=f"exact synthesis: {what}; "):
            exact_circuit(tables, n)
    with pytest.raises(SynthesisError, match="13 gates; use at most 12"):
        exact_circuit([8], 2, max_gates=13)
