"""Which engine the heat of a circuit earns it, and the statistics of that."""

from __future__ import annotations

import gc
import itertools
import json
import subprocess
import sys
import threading
import weakref
from collections.abc import Iterator
from random import Random

import numpy as np
import pytest

from bem_kernel.circuits.circuit import Circuit, Gate, Op
from bem_kernel.circuits.random_circuit import random_circuit
from bem_kernel.engines import engine, heat, interpreter, llvm
from bem_kernel.engines.heat import HeatMap, Stage
from bem_kernel.engines.reference import evaluate as reference
from bem_kernel.engines.scan import scan

CIRCUIT = random_circuit(Random(5), 4, 20, 3)
PLANES = np.arange(4, dtype=np.uint64).reshape(4, 1)
MILLISECOND_NS = 1_000_000


@pytest.fixture(autouse=True)
def heats(monkeypatch: pytest.MonkeyPatch) -> Iterator[HeatMap]:
    """An empty map, prices as in a new process, and an interpreter that counts as not loaded."""
    found = HeatMap()
    for module in ("bem_kernel.engines.engine", "bem_kernel.engines.scan"):
        monkeypatch.setattr(sys.modules[module], "HEATS", found)
    monkeypatch.setattr(heat, "_prices", heat._Prices())
    monkeypatch.setattr(heat, "_INTERPRETER", "bem_kernel.engines.not_loaded")
    monkeypatch.setattr(heat, "_LOAD_NS_AFTER_NUMBA", 2 * MILLISECOND_NS)
    return found


def test_a_circuit_starts_cold_and_pays_for_the_interpreter_then_for_its_code() -> None:
    one = engine.HEATS.of(CIRCUIT)
    assert one.stage is Stage.COLD
    one.note(MILLISECOND_NS)
    assert one.stage is Stage.COLD  # half the price has reached the purse
    one.note(MILLISECOND_NS)
    assert one.stage is Stage.INTERPRETED
    price_ns = heat._prices.compile_ns(CIRCUIT)
    one.note(price_ns - 1)
    assert one.stage is Stage.INTERPRETED
    one.note(1)
    assert one.stage is Stage.COMPILED
    one.note(5)
    record = one.record()
    assert record.calls == 5
    assert record.spent_ns == (2 * MILLISECOND_NS, price_ns, 5)
    assert record.compile_ns > 0
    assert (one.run(PLANES) == reference(CIRCUIT, PLANES)).all()


def test_cold_circuits_share_the_price_of_the_interpreter() -> None:
    others = [random_circuit(Random(seed), 4, 9, 2) for seed in range(8)]
    for circuit in others:
        engine.HEATS.of(circuit).note(heat._DEPOSIT_NS)
    assert engine.HEATS.of(others[-1]).stage is Stage.INTERPRETED
    assert engine.HEATS.of(others[0]).stage is Stage.COLD  # until its next deposit
    fresh = random_circuit(Random(99), 4, 9, 2)
    assert engine.HEATS.of(fresh).stage is Stage.INTERPRETED  # nothing is paid twice


def test_a_loaded_interpreter_is_used_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(heat, "_INTERPRETER", interpreter.__name__)
    assert engine.HEATS.of(CIRCUIT).stage is Stage.INTERPRETED


def test_prices_follow_the_compilations_seen() -> None:
    prices = heat._Prices()
    assert prices.compile_ns(CIRCUIT) == 60 * 100_000
    prices.note_compilation(CIRCUIT, 60 * 500_000)
    assert prices.compile_ns(CIRCUIT) == 60 * 200_000


def test_evaluate_and_scan_are_counted_and_forced_calls_are_not() -> None:
    for _ in range(3):
        engine.evaluate(CIRCUIT, PLANES)
    scan(CIRCUIT, PLANES[:1], np.zeros((2, 3, 1), np.uint64))
    engine.evaluate(CIRCUIT, PLANES, "reference")
    (record,) = engine.statistics()
    assert record.circuit is CIRCUIT
    assert record.calls == 4
    assert record.spent_ns[Stage.COLD] > 0
    assert record.spent_ns[1:] == (0, 0)


@pytest.mark.parametrize("stage", list(Stage))
@pytest.mark.parametrize("words", [1, 3, 100])
def test_a_scan_is_the_same_in_every_stage(stage: Stage, words: int) -> None:
    rng = np.random.default_rng(words)
    state0 = rng.integers(0, 2**64, (2, words), dtype=np.uint64)
    inputs = rng.integers(0, 2**64, (6, 2, words), dtype=np.uint64)
    one = engine.HEATS.of(CIRCUIT)
    if stage > Stage.COLD:
        one._interpret()
    if stage > Stage.INTERPRETED:
        one._compile()
    outputs = scan(CIRCUIT, state0, inputs)
    state = state0
    for t in range(6):
        results = reference(CIRCUIT, np.concatenate([state, inputs[t]]))
        state = results[:2]
        assert (outputs[t] == results[2:]).all()
    inputs.flags.writeable = False
    assert (scan(CIRCUIT, state0, inputs) == outputs).all()
    assert (scan(CIRCUIT, state0, inputs[::-1][::-1]) == outputs).all()


def test_equal_circuits_share_their_heat() -> None:
    twin = Circuit(CIRCUIT.n_inputs, CIRCUIT.gates, CIRCUIT.outputs)
    assert twin is not CIRCUIT
    assert engine.HEATS.of(twin) is engine.HEATS.of(CIRCUIT)
    assert engine.HEATS.of(twin) is engine.HEATS.of(CIRCUIT)
    assert len(engine.statistics()) == 1


def test_many_equal_circuits_made_anew_do_not_pile_up() -> None:
    heats = HeatMap(kept=4)
    twins = [Circuit(1, (Gate(Op.NOT, 0),), (1,)) for _ in range(50)]
    assert len({id(heats.of(twin)) for twin in twins}) == 1
    assert len(heats._by_id) <= 8


def test_the_hottest_circuits_are_kept() -> None:
    heats = HeatMap(kept=4)
    circuits = [Circuit(n, (), ()) for n in range(6)]
    for n in range(4):
        heats.of(circuits[n]).note(10 * n)
    kept = heats.of(circuits[3])
    assert heats.of(circuits[4]).circuit is circuits[4]  # the map was full: half of it is dropped
    assert [record.circuit for record in heats.records()] == [circuits[n] for n in (3, 2, 4)]
    assert heats.of(circuits[3]) is kept
    heats.of(circuits[4]).note(1)
    heats.of(circuits[0]).note(2)
    heats.of(circuits[5])  # what was hot before the last sweep and idle since goes
    assert [record.circuit for record in heats.records()] == [circuits[n] for n in (0, 4, 5)]
    heats.clear()
    assert heats.records() == []


def test_threads_lose_no_call() -> None:
    def work() -> None:
        for _ in range(500):
            engine.evaluate(CIRCUIT, PLANES)

    threads = [threading.Thread(target=work) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    (record,) = engine.statistics()
    assert record.calls == 8 * 500


def test_one_thread_compiles_while_others_go_on(monkeypatch: pytest.MonkeyPatch) -> None:
    started, finish = threading.Event(), threading.Event()
    compilations = []

    def slow(circuit: Circuit) -> llvm.CompiledCircuit:
        compilations.append(circuit)
        started.set()
        assert finish.wait(30)
        return llvm_compile(circuit)

    llvm_compile = llvm.compile_circuit
    monkeypatch.setattr(llvm, "compile_circuit", slow)
    one = engine.HEATS.of(CIRCUIT)
    one._interpret()
    compiling = threading.Thread(target=one.note, args=(10**12,))
    compiling.start()
    assert started.wait(30)
    one.note(10**12)  # returns although the code is due: another thread is at it
    assert one.stage is Stage.INTERPRETED
    assert (one.run(PLANES) == reference(CIRCUIT, PLANES)).all()
    finish.set()
    compiling.join()
    assert one.stage is Stage.COMPILED
    assert compilations == [CIRCUIT]
    assert one.record().spent_ns == (0, 2 * 10**12, 0)


def test_code_is_freed_with_its_circuit() -> None:
    code = llvm.compile_circuit(CIRCUIT)
    machine_code = weakref.ref(code._code)
    run = llvm.runner(code)
    del code
    gc.collect()
    assert (run(PLANES) == reference(CIRCUIT, PLANES)).all()  # a runner keeps what it runs
    del run
    gc.collect()
    assert machine_code() is None


def test_linkers_take_turns_and_go_with_their_last_circuit(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(llvm, "_LIBRARIES_PER_LINKER", 2)
    monkeypatch.setattr(llvm, "_libraries", itertools.count())
    monkeypatch.setattr(llvm, "_linkers", [])
    codes = [llvm.compile_circuit(CIRCUIT) for _ in range(4)]
    linkers = [weakref.ref(code._linker) for code in codes]
    assert linkers[0]() is linkers[1]()
    assert linkers[1]() is not linkers[2]()
    assert len({code.address for code in codes}) == 4
    last = codes[1]
    del codes
    gc.collect()
    assert linkers[0]() is not None
    assert (llvm.runner(last)(PLANES) == reference(CIRCUIT, PLANES)).all()
    del last
    gc.collect()
    assert linkers[0]() is None


def test_plain_use_loads_no_numba() -> None:
    source = """
import json, sys
import numpy as np
from bem_kernel.circuits.circuit import Circuit, Gate, Op
from bem_kernel.engines import engine, heat
from bem_kernel.engines.scan import scan
circuit = Circuit(2, (Gate(Op.XOR, 0, 1),), (2, 2))
stages = []
for _ in range(2):
    outputs = engine.evaluate(circuit, np.array([[5], [3]], dtype=np.uint64))
    states = scan(circuit, np.array([[5]], np.uint64), np.array([[[3]]], np.uint64))
    found = outputs.tolist() + states.tolist()
    stages.append([found, engine.statistics()[0].stage, "numba" in sys.modules])
    heat._LOAD_NS = 0
    engine.HEATS.clear()
print(json.dumps(stages))
"""
    output = subprocess.run([sys.executable, "-c", source], check=True, capture_output=True).stdout
    values = [[6], [6], [[6]]]
    assert json.loads(output) == [[values, Stage.COLD, False], [values, Stage.INTERPRETED, True]]
