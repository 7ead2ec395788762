"""Every engine agrees with the plain reference on random circuits, widths and planes."""

from __future__ import annotations

import ctypes
from random import Random

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bem_kernel.circuits.builder import prune, simplify
from bem_kernel.circuits.circuit import Circuit
from bem_kernel.circuits.random_circuit import random_circuit
from bem_kernel.circuits.record import circuit_record
from bem_kernel.compiled import KERNELS, kernel
from bem_kernel.engines import engine, llvm
from bem_kernel.engines import reference as engine_reference
from bem_kernel.engines.interpreter import run_gates
from bem_kernel.engines.native import call_address
from bem_kernel.engines.packed import pack_gates, pack_outputs
from bem_kernel.engines.scan import scan_with_state
from bem_kernel.engines.schedule import depth_first, reads_of, schedule, spread
from bem_kernel.lanes import Planes

ENGINES = [None, "integer", "interpreter", "llvm"]
WIDTHS = [0, 1, 2, 7, 8, 63, 65, 130]  # words: none, one, parts of a vector, of a block, of two
FEATURES = [None, "+avx512f", "+avx2,-avx512f", "+neon"]  # this machine's, wide, narrow, least


@kernel("void(uint64[::1])")
def call(numbers):  # type: ignore[no-untyped-def]
    """Call code as a table of experts would: address, arrays, pitches, words."""
    call_address(numbers[0], numbers[1], numbers[2], numbers[3], numbers[4], numbers[5])


KERNELS.pop()  # the test's own


@st.composite
def circuits(draw: st.DrawFn, n_inputs: int | None = None, n_outputs: int | None = None) -> Circuit:
    rng: Random = draw(st.randoms(use_true_random=False))
    inputs = draw(st.integers(0, 6)) if n_inputs is None else n_inputs
    outputs = draw(st.integers(0, 4)) if n_outputs is None else n_outputs
    fewest = int(inputs == 0 and n_outputs is not None)  # an output needs a slot
    return random_circuit(rng, inputs, draw(st.integers(fewest, 24)), outputs)


def random_planes(bits: int, words: int, seed: int) -> Planes:
    return np.random.default_rng(seed).integers(0, 2**64, (bits, words), dtype=np.uint64)


@pytest.mark.parametrize("name", ENGINES)
@settings(max_examples=40)
@given(circuit=circuits(), words=st.sampled_from(WIDTHS), seed=st.integers(0, 99))
def test_engines_agree(name: str | None, circuit: Circuit, words: int, seed: int) -> None:
    planes = random_planes(circuit.n_inputs, words, seed)
    expected = engine_reference.evaluate(circuit, planes)
    assert (engine.evaluate(circuit, planes, name) == expected).all()


def disagreements(name: str, programs: int, seed: int) -> list[Circuit]:
    """Random programs that an engine runs otherwise than the reference does."""
    rng = Random(seed)
    found = []
    for i in range(programs):
        circuit = random_circuit(rng, rng.randrange(9), rng.randrange(30), rng.randrange(6))
        planes = random_planes(circuit.n_inputs, rng.choice(WIDTHS), i)
        expected = engine_reference.evaluate(circuit, planes)
        if (engine.evaluate(circuit, planes, name) != expected).any():
            found.append(circuit)
    return found


def test_ten_thousand_programs_interpreted() -> None:
    assert disagreements("interpreter", 10_000, seed=1) == []


def test_a_hundred_programs_compiled() -> None:
    assert disagreements("llvm", 100, seed=2) == []


@pytest.mark.slow
@pytest.mark.parametrize("name", ["integer", "llvm"])
def test_ten_thousand_programs(name: str) -> None:
    assert disagreements(name, 10_000, seed=3) == []


@settings(max_examples=60)
@given(circuit=circuits(), words=st.integers(0, 200), pad=st.integers(0, 9), seed=st.integers(0, 9))
def test_packed_gates_write_their_rows_and_nothing_else(
    circuit: Circuit, words: int, pad: int, seed: int
) -> None:
    planes = random_planes(circuit.n_inputs, words, seed)
    slots = random_planes(circuit.n_slots + 1, words + pad, seed + 1)
    slots[: circuit.n_inputs, :words] = planes
    before = slots.copy()
    run_gates(pack_gates(circuit), circuit.n_inputs, slots, words)
    every = Circuit(circuit.n_inputs, circuit.gates, tuple(range(circuit.n_slots)))
    assert (slots[:-1, :words] == engine_reference.evaluate(every, planes)).all()
    assert (slots[-1] == before[-1]).all()
    assert (slots[:, words:] == before[:, words:]).all()
    assert (slots[pack_outputs(circuit), :words] == slots[list(circuit.outputs), :words]).all()


@settings(max_examples=40, deadline=None)
@given(
    circuit=circuits(),
    words=st.integers(0, 70),
    pads=st.tuples(st.integers(0, 9), st.integers(0, 9)),
    features=st.sampled_from(FEATURES),
)
def test_code_called_by_address_keeps_to_its_words(
    circuit: Circuit, words: int, pads: tuple[int, int], features: str | None
) -> None:
    shapes = None if features is None else llvm.shapes_for(features)
    code = llvm.compile_circuit(circuit, shapes)
    planes = random_planes(circuit.n_inputs, words + pads[0], seed=words)
    results = random_planes(circuit.n_outputs + 1, words + pads[1], seed=words + 1)
    before = results.copy()
    function = ctypes.CFUNCTYPE(None, *[ctypes.c_void_p] * 2, *[ctypes.c_int64] * 3)(code.address)
    pitches = planes.shape[1], results.shape[1]
    function(planes.ctypes.data, results.ctypes.data, *pitches, words)
    expected = engine_reference.evaluate(circuit, planes[:, :words])
    assert (results[:-1, :words] == expected).all()
    assert (results[:, words:] == before[:, words:]).all()
    assert (results[-1] == before[-1]).all()
    again = before.copy()
    arrays = planes.ctypes.data, again.ctypes.data
    call(np.array([code.address, *arrays, *pitches, words], dtype=np.uint64))
    assert (again == results).all()


@settings(max_examples=60)
@given(circuit=circuits())
def test_schedules_keep_what_is_still_needed(circuit: Circuit) -> None:
    plan = schedule(circuit)
    assert plan.n_rows <= circuit.n_slots
    assert len(plan.steps) == len(prune(circuit).gates)
    reads = reads_of(circuit)
    straight = depth_first(circuit, reads)
    for order in (straight, spread(circuit, reads, 3, 1), spread(circuit, reads, 64, 16)):
        assert sorted(order) == sorted(straight)
        done = set(range(circuit.n_inputs))
        for slot in order:
            assert done.issuperset(reads[slot])
            done.add(slot)


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
    assert (engine_reference.evaluate(first >> second, left) == chained).all()
    beside = np.concatenate([middle, engine_reference.evaluate(second, right)])
    assert (engine_reference.evaluate(first | second, planes) == beside).all()


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
