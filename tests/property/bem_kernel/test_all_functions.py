"""All 65,536 functions of four inputs through all three forms and back."""

from __future__ import annotations

from functools import cache

import numpy as np
import pytest

from bem_kernel.circuits.circuit import Circuit
from bem_kernel.forms.anf import anf_from_table, circuit_from_anf, table_from_anf
from bem_kernel.forms.packed_table import PackedTable, table_from_circuit, unpack_table
from bem_kernel.forms.robdd import circuit_from_robdd, robdd_from_table, table_from_robdd
from bem_kernel.forms.truth_table import from_truth_table, truth_table

N_FUNCTIONS = 1 << 16
EVERY = PackedTable(4, np.arange(N_FUNCTIONS, dtype=np.uint64)[:, None])
"""Function f has the value of bit r of f in row r."""


@cache
def circuit_by_anf() -> Circuit:
    return circuit_from_anf(anf_from_table(EVERY))


@cache
def circuit_by_robdd() -> Circuit:
    return circuit_from_robdd(robdd_from_table(EVERY))


def test_through_the_algebraic_normal_form() -> None:
    anf = anf_from_table(EVERY)
    assert sorted(anf.words[:, 0].tolist()) == list(range(N_FUNCTIONS))  # one form each
    assert table_from_anf(anf) == EVERY
    assert table_from_circuit(circuit_by_anf()) == EVERY


def test_through_the_decision_diagram() -> None:
    diagram = robdd_from_table(EVERY)
    # One shared node for each function that is no constant, and so one form each.
    assert len(diagram.nodes) == N_FUNCTIONS - 2
    assert sorted(diagram.roots.tolist()) == list(range(N_FUNCTIONS))
    assert table_from_robdd(diagram) == EVERY
    assert table_from_circuit(circuit_by_robdd()) == EVERY


def test_through_gates_from_form_to_form() -> None:
    """Gates made through one form give the other form that the table gives."""
    assert circuit_by_anf() != circuit_by_robdd()
    assert robdd_from_table(table_from_circuit(circuit_by_anf())) == robdd_from_table(EVERY)
    assert anf_from_table(table_from_circuit(circuit_by_robdd())) == anf_from_table(EVERY)


@pytest.mark.slow
def test_each_function_by_itself() -> None:
    sizes: dict[int, int] = {}
    for values in unpack_table(EVERY).T[:, :, None]:
        circuit: Circuit = from_truth_table(np.ascontiguousarray(values))
        assert (truth_table(circuit) == values).all()
        sizes[len(circuit.gates)] = sizes.get(len(circuit.gates), 0) + 1
    assert sum(sizes.values()) == N_FUNCTIONS
    assert sizes[0] == 4  # the inputs themselves; a constant is a gate
    assert max(sizes) == 15
