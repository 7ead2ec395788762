"""The Triton engine: in its interpreter, compiled ahead of time, and refusing without a GPU."""

from __future__ import annotations

from random import Random

import numpy as np
import pytest

from bem_kernel.circuits.circuit import Circuit, Gate, Op
from bem_kernel.circuits.random_circuit import random_circuit, random_live_circuit
from bem_kernel.engines import reference, triton_engine
from bem_kernel.errors import EngineError

pytest.importorskip("triton", reason="Triton is for Linux; needs builderbrain[gpu]")
torch = pytest.importorskip("torch", reason="needs builderbrain[nn]")


@pytest.fixture
def interpreted(monkeypatch: pytest.MonkeyPatch):
    """Triton's interpreter; functions made under it are not kept."""
    monkeypatch.setenv("TRITON_INTERPRET", "1")
    triton_engine.compile_triton.cache_clear()
    yield
    triton_engine.compile_triton.cache_clear()


def planes(seed: int, rows: int, words: int) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 2**64, (rows, words), dtype=np.uint64)


@pytest.mark.usefixtures("interpreted")
@pytest.mark.parametrize("words", [1, 2, 127, 128, 129, 300])
def test_interpreted_equals_the_reference(words: int) -> None:
    for seed in range(6):
        rng = Random(seed * 1000 + words)
        circuit = random_circuit(rng, rng.randrange(7), rng.randrange(30), rng.randrange(6))
        inputs = planes(seed, circuit.n_inputs, words)
        expected = reference.evaluate(circuit, inputs)
        assert np.array_equal(triton_engine.evaluate(circuit, inputs), expected)


@pytest.mark.usefixtures("interpreted")
def test_every_operation_and_repeated_outputs() -> None:
    gates = (Gate(Op.AND, 0, 1), Gate(Op.OR, 0, 1), Gate(Op.XOR, 0, 1), Gate(Op.NOT, 0))
    gates += (Gate(Op.ANDN, 0, 1), Gate(Op.CONST0), Gate(Op.CONST1))
    circuit = Circuit(2, gates, (*range(9), 0, 4, 4))
    inputs = planes(1, 2, 5)
    expected = reference.evaluate(circuit, inputs)
    assert np.array_equal(triton_engine.evaluate(circuit, inputs), expected)


@pytest.mark.usefixtures("interpreted")
def test_fused_experts_give_what_they_give_alone() -> None:
    rng = Random(5)
    experts = [
        (random_circuit(rng, 3, 12, 2), (4, 0, 1)),
        (random_circuit(rng, 2, 9, 3), (2, 2)),
        (random_circuit(rng, 0, 2, 1), ()),
    ]
    inputs = planes(2, 5, 3)
    fused = triton_engine.evaluate(triton_engine.fuse(experts, 5), inputs)
    alone = [reference.evaluate(circuit, inputs[list(reads)]) for circuit, reads in experts]
    assert np.array_equal(fused, np.concatenate(alone))


@pytest.mark.usefixtures("interpreted")
def test_a_slice_of_wider_planes() -> None:
    circuit = random_circuit(Random(3), 4, 20, 3)
    wide = torch.from_numpy(planes(3, 4, 40).view(np.int64))[:, 3:10]
    got = triton_engine.evaluate_tensor(circuit, wide).numpy().view(np.uint64)
    expected = reference.evaluate(circuit, np.ascontiguousarray(wide.numpy()).view(np.uint64))
    assert np.array_equal(got, expected)


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        (torch.zeros((3, 4), dtype=torch.int64), r"shape \(3, 4\); give \(2, words\) int64"),
        (torch.zeros((2, 4), dtype=torch.int32), "planes are torch.int32"),
        (torch.zeros((4, 2), dtype=torch.int64).T, "make each row contiguous"),
    ],
)
def test_wrong_planes_are_refused(wrong: torch.Tensor, message: str) -> None:
    circuit = Circuit(2, (Gate(Op.AND, 0, 1),), (2,))
    with pytest.raises(EngineError, match=message):
        triton_engine.evaluate_tensor(circuit, wrong)


def test_fuse_wants_a_plane_per_input() -> None:
    circuit = Circuit(2, (Gate(Op.AND, 0, 1),), (2,))
    with pytest.raises(EngineError, match="expert 0 names 1 planes for 2 inputs"):
        triton_engine.fuse([(circuit, (0,))], 4)


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
def test_without_a_gpu_it_refuses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("TRITON_INTERPRET", raising=False)
    circuit = Circuit(2, (Gate(Op.AND, 0, 1),), (2,))
    with pytest.raises(EngineError, match="no CUDA device; choose another engine"):
        triton_engine.evaluate(circuit, planes(0, 2, 1))


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
def test_on_the_gpu_it_equals_the_reference() -> None:
    for seed in range(20):
        rng = Random(seed)
        circuit = random_circuit(rng, rng.randrange(1, 30), rng.randrange(300), rng.randrange(1, 9))
        inputs = planes(seed, circuit.n_inputs, rng.randrange(1, 3000))
        expected = reference.evaluate(circuit, inputs)
        assert np.array_equal(triton_engine.evaluate(circuit, inputs), expected)


def test_compiled_ahead_for_hopper(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("TRITON_INTERPRET", raising=False)
    circuit = random_live_circuit(Random(0), 32, 256, 9)
    ahead = triton_engine.compile_ahead(circuit)
    per_word = ahead.lop3 / ahead.words
    # Three-input instructions take up two gates where they can, and at least half the gates stay.
    assert 128 <= per_word <= 190
    assert ahead.spills == 0
    assert ahead.registers <= 128
    assert ahead.cubin[:4] == b"\x7fELF"


def test_ahead_of_time_is_not_for_the_interpreter(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TRITON_INTERPRET", "1")
    with pytest.raises(EngineError, match="unset TRITON_INTERPRET"):
        triton_engine.compile_ahead(random_circuit(Random(0), 2, 3, 1))
