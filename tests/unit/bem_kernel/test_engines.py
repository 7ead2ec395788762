"""Every engine, gate by gate against the truth tables, and its refusals."""

from __future__ import annotations

import numpy as np
import pytest

from bem_kernel.circuits.circuit import ARITY, Circuit, Gate, Op
from bem_kernel.engines import integer, llvm
from bem_kernel.engines.engine import MODULES, evaluate
from bem_kernel.engines.heat import HeatMap, Stage
from bem_kernel.engines.schedule import most_alive, reads_of
from bem_kernel.errors import EngineError, ShapeError
from bem_kernel.forms.truth_table import counting_planes
from bem_kernel.lanes import Planes, unpack_bits

ENGINES = [None, "reference", "integer", "interpreter", "llvm"]

COLUMNS = {  # rows (a, b) = 00, 10, 01, 11
    Op.AND: [0, 0, 0, 1],
    Op.OR: [0, 1, 1, 1],
    Op.XOR: [0, 1, 1, 0],
    Op.NOT: [1, 0, 1, 0],
    Op.ANDN: [0, 1, 0, 0],
    Op.CONST0: [0, 0, 0, 0],
    Op.CONST1: [1, 1, 1, 1],
}


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("op", list(Op))
def test_every_gate(engine: str | None, op: Op) -> None:
    circuit = Circuit(2, (Gate(op, *(0, 1)[: ARITY[op]]),), (2,))
    outputs = evaluate(circuit, counting_planes(2), engine)
    assert unpack_bits(outputs, 4)[:, 0].astype(int).tolist() == COLUMNS[op]


@pytest.mark.parametrize("engine", ENGINES)
def test_inputs_are_not_changed_and_results_are_not_shared(engine: str | None) -> None:
    circuit = Circuit(1, (Gate(Op.NOT, 0),), (1, 0))
    planes = np.array([[5]], dtype=np.uint64)
    first = evaluate(circuit, planes, engine)
    kept = first.copy()
    evaluate(circuit, np.array([[9]], dtype=np.uint64), engine)
    assert planes.tolist() == [[5]]
    assert (first == kept).all()
    first[:] = 0
    assert planes.tolist() == [[5]]


@pytest.mark.parametrize("engine", ENGINES)
def test_a_plane_per_input_is_required(engine: str | None) -> None:
    with pytest.raises(ShapeError, match="1 planes where 2 are needed; give one plane per bit"):
        evaluate(Circuit(2, (), ()), np.zeros((1, 1), dtype=np.uint64), engine)


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("planes", [np.zeros((2, 1), np.int64), np.zeros(2, np.uint64)])
def test_other_arrays_are_refused(engine: str | None, planes: Planes) -> None:
    with pytest.raises(ShapeError, match=r"expected \(bits, words\) uint64, got .*; pack with"):
        evaluate(Circuit(2, (), ()), planes, engine)


@pytest.mark.parametrize("engine", ENGINES)
def test_no_inputs_no_outputs_no_words(engine: str | None) -> None:
    planes = np.zeros((0, 2), dtype=np.uint64)
    assert evaluate(Circuit(0, (), ()), planes, engine).shape == (0, 2)
    one = Circuit(0, (Gate(Op.CONST1),), (0,))
    assert evaluate(one, planes, engine).tolist() == [[2**64 - 1] * 2]
    assert evaluate(one, np.zeros((0, 0), np.uint64), engine).shape == (1, 0)
    flip = Circuit(1, (Gate(Op.NOT, 0),), (1, 1, 0))
    assert evaluate(flip, np.zeros((1, 0), np.uint64), engine).shape == (3, 0)


@pytest.mark.parametrize("engine", ENGINES)
def test_strided_unaligned_and_read_only_planes(engine: str | None) -> None:
    wide = np.arange(40, dtype=np.uint64).reshape(4, 10)
    unaligned = np.frombuffer(bytearray(range(49)), np.uint64, offset=1).reshape(2, 3)
    assert not unaligned.flags.aligned
    circuit = Circuit(2, (Gate(Op.ANDN, 0, 1),), (2, 1))
    for planes in (
        wide[::2, 1:4],
        wide[1:3, ::3],
        wide.T[:2, 0:1],
        wide[1::-1],
        wide[:, ::-1],
        unaligned,
    ):
        planes = planes[:2]
        expected = [planes[0] & ~planes[1], planes[1]]
        assert (evaluate(circuit, planes, engine) == expected).all()
        planes.flags.writeable = False
        assert (evaluate(circuit, planes, engine) == expected).all()


@pytest.mark.parametrize("engine", ENGINES)
def test_chains_too_long_for_recursion(engine: str | None) -> None:
    gates = 3000 if engine == "llvm" else 20_001
    circuit = Circuit(1, tuple(Gate(Op.NOT, i) for i in range(gates)), (gates,))
    planes = np.array([[12345]], dtype=np.uint64)
    assert evaluate(circuit, planes, engine)[0, 0] == (~planes[0, 0] if gates % 2 else 12345)


def test_an_unknown_engine_is_refused() -> None:
    planes = np.zeros((0, 1), np.uint64)
    message = "engine_named: no engine 'abacus'; use reference, integer, interpreter, llvm, triton"
    with pytest.raises(EngineError, match=message):
        evaluate(Circuit(0, (), ()), planes, "abacus")
    assert set(ENGINES) - {None} == set(MODULES) - {"triton"}  # which has tests of its own


def test_generated_python_holds_slots_only() -> None:
    circuit = Circuit(2, (Gate(Op.ANDN, 0, 1), Gate(Op.CONST1)), (2, 3))
    assert integer.python_source(circuit).splitlines() == [
        "def circuit(inputs, ones):",
        "    (s0, s1,) = inputs",
        "    s2 = s0 & (s1 ^ ones)",
        "    s3 = ones",
        "    return (s2, s3, )",
    ]


def sums_of_pairs(width: int) -> Circuit:
    """XORs of neighbours, read again from the last to the first: all of them alive at once."""
    pairs = tuple(Gate(Op.XOR, i, i + 1) for i in range(width))
    last = width + 1
    chain = [Gate(Op.OR, last, last + width - 1)]
    for i in range(width - 2, 0, -1):
        chain.append(Gate(Op.AND, last + width + len(chain) - 1, last + i))
    for i in range(width):
        chain.append(Gate(Op.ANDN, last + width + len(chain) - 1, last + i))
    return Circuit(width + 1, pairs + tuple(chain), (last + width + len(chain) - 1,))


def test_code_that_would_overflow_the_stack_is_refused() -> None:
    circuit = sums_of_pairs(llvm.MOST_ALIVE + 1)
    planes = np.random.default_rng(3).integers(0, 2**64, (circuit.n_inputs, 2), dtype=np.uint64)
    message = "more than 4096 results are alive at once, .*; use the interpreter, or split"
    with pytest.raises(EngineError, match=message):
        evaluate(circuit, planes, "llvm")
    assert (
        evaluate(circuit, planes, "interpreter") == evaluate(circuit, planes, "reference")
    ).all()
    heat = HeatMap().of(circuit)
    heat._interpret()
    heat.note(10**15)
    assert heat.stage is Stage.INTERPRETED
    heat.note(1)
    assert heat.stage is Stage.INTERPRETED
    assert most_alive(reads_of(sums_of_pairs(5)), list(range(6, 20))) == 7
