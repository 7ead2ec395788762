"""Every engine agrees with the plain reference on random circuits, widths and planes."""

from __future__ import annotations

from random import Random
from types import ModuleType

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bem_kernel.circuits.builder import parallel, prune, serial, simplify
from bem_kernel.circuits.circuit import Circuit
from bem_kernel.circuits.random_circuit import random_circuit
from bem_kernel.circuits.record import circuit_record
from bem_kernel.engines import engine
from bem_kernel.engines import integer as engine_integer
from bem_kernel.engines import per_gate as engine_numpy
from bem_kernel.engines import reference as engine_reference
from bem_kernel.engines.scan import scan_with_state
from bem_kernel.lanes import Planes


@st.composite
def circuits(draw: st.DrawFn, n_inputs: int | None = None, n_outputs: int | None = None) -> Circuit:
    rng: Random = draw(st.randoms(use_true_random=False))
    inputs = draw(st.integers(0, 6)) if n_inputs is None else n_inputs
    outputs = draw(st.integers(0, 4)) if n_outputs is None else n_outputs
    return random_circuit(rng, inputs, draw(st.integers(1, 24)), outputs)


def random_planes(bits: int, words: int, seed: int) -> Planes:
    return np.random.default_rng(seed).integers(0, 2**64, (bits, words), dtype=np.uint64)


@pytest.mark.parametrize("module", [engine, engine_integer, engine_numpy])
@settings(max_examples=40)
@given(circuit=circuits(), words=st.sampled_from([1, 2, 65, 1030]), seed=st.integers(0, 99))
def test_engines_agree(module: ModuleType, circuit: Circuit, words: int, seed: int) -> None:
    planes = random_planes(circuit.n_inputs, words, seed)
    expected = engine_reference.evaluate(circuit, planes)
    assert (module.evaluate(circuit, planes) == expected).all()


@settings(max_examples=40)
@given(circuit=circuits(), seed=st.integers(0, 99))
def test_rewrites_keep_the_function_and_never_grow(circuit: Circuit, seed: int) -> None:
    planes = random_planes(circuit.n_inputs, 2, seed)
    expected = engine_reference.evaluate(circuit, planes)
    pruned, simple = prune(circuit), simplify(circuit)
    assert (engine_reference.evaluate(pruned, planes) == expected).all()
    assert (engine_reference.evaluate(simple, planes) == expected).all()
    assert len(pruned.gates) <= len(circuit.gates)
    assert prune(pruned) == pruned
    assert len(simplify(simple).gates) <= len(simple.gates)


@settings(max_examples=40)
@given(first=circuits(n_outputs=3), second=circuits(n_inputs=3), seed=st.integers(0, 99))
def test_composition(first: Circuit, second: Circuit, seed: int) -> None:
    planes = random_planes(first.n_inputs + 3, 1, seed)
    left, right = planes[: first.n_inputs], planes[first.n_inputs :]
    middle = engine_reference.evaluate(first, left)
    chained = engine_reference.evaluate(second, middle)
    assert (engine_reference.evaluate(serial(first, second), left) == chained).all()
    beside = np.concatenate([middle, engine_reference.evaluate(second, right)])
    assert (engine_reference.evaluate(parallel(first, second), planes) == beside).all()


@settings(max_examples=40)
@given(
    circuit=circuits(n_inputs=5, n_outputs=4),
    words=st.sampled_from([1, 3, 70]),
    steps=st.integers(0, 8),
    cut=st.integers(0, 8),
    seed=st.integers(0, 99),
)
def test_scan_is_one_step_after_the_other_and_can_be_cut(
    circuit: Circuit, words: int, steps: int, cut: int, seed: int
) -> None:
    n_state = 2
    state0 = random_planes(n_state, words, seed)
    inputs = random_planes(steps * 3, words, seed + 1).reshape(steps, 3, words)
    outputs, last = scan_with_state(circuit, state0, inputs)
    state = state0
    for t in range(steps):
        results = engine_reference.evaluate(circuit, np.concatenate([state, inputs[t]]))
        state = results[:n_state]
        assert (outputs[t] == results[n_state:]).all()
    assert (last == state).all()
    head, middle = scan_with_state(circuit, state0, inputs[:cut])
    tail, end = scan_with_state(circuit, middle, inputs[cut:])
    assert (np.concatenate([head, tail]) == outputs).all()
    assert (end == last).all()


@given(seed=st.integers(0, 2**32))
def test_random_circuits_repeat_with_their_seed(seed: int) -> None:
    one, two = (circuit_record(random_circuit(Random(seed), 3, 9, 2)) for _ in range(2))
    assert one == two
