"""Circuits as formulas, and DIMACS files."""

from __future__ import annotations

from random import Random

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bem_kernel.circuits.builder import CircuitBuilder
from bem_kernel.circuits.circuit import Circuit, Gate, Op
from bem_kernel.circuits.random_circuit import random_circuit
from bem_kernel.engines import reference
from bem_kernel.errors import CnfError
from bem_kernel.forms.truth_table import truth_table
from bem_kernel.lanes import pack_bits, unpack_bits
from bem_kernel.logic.cnf import cnf_from_clauses
from bem_kernel.logic.dimacs import parse_dimacs, write_dimacs
from bem_kernel.logic.tseitin import inputs_of_model, miter, tseitin
from bem_kernel.sat.check import Satisfiable, Unsatisfiable, check


def evaluate(circuit: Circuit, bits: np.ndarray) -> np.ndarray:
    return unpack_bits(reference.evaluate(circuit, pack_bits(bits[None])), 1)[0]


@pytest.mark.parametrize("seed", range(40))
def test_models_are_evaluations(seed: int) -> None:
    rng = Random(seed)
    circuit = random_circuit(rng, rng.randrange(6), rng.randrange(25), rng.randrange(1, 4))
    if not circuit.n_slots:
        return
    encoded = tseitin(circuit)
    bits = np.array([rng.random() < 0.5 for _ in range(circuit.n_inputs)], dtype=bool)
    given_inputs = [v if bit else -v for v, bit in zip(encoded.inputs, bits, strict=True)]
    verdict = check(encoded.cnf, given_inputs)
    assert isinstance(verdict, Satisfiable)
    assert np.array_equal(inputs_of_model(encoded, verdict.model), bits)
    results = np.array([verdict.model[abs(x) - 1] == (x > 0) for x in encoded.outputs])
    assert np.array_equal(results, evaluate(circuit, bits))
    for literal, value in zip(encoded.outputs, results, strict=True):
        assert isinstance(
            check(encoded.cnf, [*given_inputs, -literal if value else literal]), Unsatisfiable
        )


@pytest.mark.parametrize("seed", range(40))
def test_the_miter_finds_exactly_the_differences(seed: int) -> None:
    rng = Random(seed)
    n_outputs = rng.randrange(1, 3)
    left, right = (random_circuit(rng, 4, rng.randrange(1, 9), n_outputs) for _ in range(2))
    care = random_circuit(rng, 4, 5, 1) if seed % 2 else None
    counted = np.ones(16, dtype=bool) if care is None else truth_table(care)[:, 0].astype(bool)
    differs = (truth_table(left) != truth_table(right)).any(axis=1) & counted
    encoded = miter(left, right, care)
    verdict = check(encoded.cnf)
    if differs.any():
        assert isinstance(verdict, Satisfiable)
        bits = inputs_of_model(encoded, verdict.model)
        assert differs[sum(int(bit) << i for i, bit in enumerate(bits))]
    else:
        assert isinstance(verdict, Unsatisfiable)


def test_a_circuit_differs_nowhere_from_itself() -> None:
    builder = CircuitBuilder(3)
    circuit = builder.build([builder.and_(builder.xor(0, 1), 2)])
    assert isinstance(check(miter(circuit, circuit).cnf), Unsatisfiable)
    other = Circuit(3, (*circuit.gates, Gate(Op.NOT, circuit.outputs[0])), (circuit.n_slots,))
    assert isinstance(check(miter(circuit, other).cnf), Satisfiable)


def test_shapes_are_refused() -> None:
    one, two = Circuit(1, (), (0,)), Circuit(2, (), (0,))
    with pytest.raises(CnfError, match=r"circuits of \(1, 1\) and \(2, 1\)"):
        miter(one, two)
    with pytest.raises(CnfError, match="the care set has 2 inputs and 1 outputs"):
        miter(one, one, two)


@given(st.lists(st.lists(st.integers(-9, 9).filter(bool), max_size=5), max_size=9))
def test_dimacs_comes_back(clauses: list[list[int]]) -> None:
    cnf = parse_dimacs(write_dimacs(cnf_from_clauses(clauses, 9)))
    assert (cnf.n_vars, cnf.clauses()) == (9, clauses)


def test_dimacs_as_it_is_found() -> None:
    text = "c a comment\n\np cnf 3 2\n 1 -2\n0 3 0\n%\n0\n"
    assert parse_dimacs(text).clauses() == [[1, -2], [3]]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "f.cnf: no header; begin with `p cnf"),
        ("1 2 0\n", "f.cnf: line 1: '1 2 0' is no header"),
        ("p cnf 999999999999 1\n", "at most 268435456 variables"),
        ("p cnf 2 1\n1 x 0\n", "f.cnf: line 2, column 3: 'x' is no literal"),
        ("p cnf 2 1\n1 99999999999 0\n", "'99999999999' is no literal"),
        ("p cnf 2 1\n1 -3 0\n", "line 2, column 3: literal -3; use at most the header's 2"),
        ("p cnf 2 1\n1 2\n", "f.cnf: the last clause has no end; end each clause with 0"),
        ("p cnf 2 2\n1 2 0\n", "f.cnf: 1 clauses where the header says 2"),
    ],
)
def test_bad_dimacs_is_refused_with_its_place(text: str, message: str) -> None:
    with pytest.raises(CnfError, match=message):
        parse_dimacs(text, "f.cnf")
