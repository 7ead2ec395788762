"""Every engine, gate by gate against the truth tables, and its refusals."""

from __future__ import annotations

from types import ModuleType

import numpy as np
import pytest

from bem_kernel.circuits.circuit import ARITY, Circuit, Gate, Op
from bem_kernel.engines import engine
from bem_kernel.engines import integer as engine_integer
from bem_kernel.engines import per_gate as engine_numpy
from bem_kernel.engines import reference as engine_reference
from bem_kernel.errors import ShapeError
from bem_kernel.forms.truth_table import counting_planes
from bem_kernel.lanes import unpack_bits

ENGINES = [engine, engine_integer, engine_numpy, engine_reference]

COLUMNS = {  # rows (a, b) = 00, 10, 01, 11
    Op.AND: [0, 0, 0, 1],
    Op.OR: [0, 1, 1, 1],
    Op.XOR: [0, 1, 1, 0],
    Op.NOT: [1, 0, 1, 0],
    Op.ANDN: [0, 1, 0, 0],
    Op.CONST0: [0, 0, 0, 0],
    Op.CONST1: [1, 1, 1, 1],
}


@pytest.mark.parametrize("module", ENGINES)
@pytest.mark.parametrize("op", list(Op))
def test_every_gate(module: ModuleType, op: Op) -> None:
    circuit = Circuit(2, (Gate(op, *(0, 1)[: ARITY[op]]),), (2,))
    outputs = module.evaluate(circuit, counting_planes(2))
    assert unpack_bits(outputs, 4)[:, 0].astype(int).tolist() == COLUMNS[op]


@pytest.mark.parametrize("module", ENGINES)
def test_inputs_are_not_changed_and_results_are_not_shared(module: ModuleType) -> None:
    circuit = Circuit(1, (Gate(Op.NOT, 0),), (1, 0))
    planes = np.array([[5]], dtype=np.uint64)
    first = module.evaluate(circuit, planes)
    kept = first.copy()
    module.evaluate(circuit, np.array([[9]], dtype=np.uint64))
    assert planes.tolist() == [[5]]
    assert (first == kept).all()
    first[:] = 0
    assert planes.tolist() == [[5]]


@pytest.mark.parametrize("module", ENGINES)
def test_a_plane_per_input_is_required(module: ModuleType) -> None:
    with pytest.raises(ShapeError, match="1 planes where 2 are needed; give one plane per bit"):
        module.evaluate(Circuit(2, (), ()), np.zeros((1, 1), dtype=np.uint64))


@pytest.mark.parametrize("module", ENGINES)
def test_no_inputs_and_no_outputs(module: ModuleType) -> None:
    planes = np.zeros((0, 2), dtype=np.uint64)
    assert module.evaluate(Circuit(0, (), ()), planes).shape == (0, 2)
    one = Circuit(0, (Gate(Op.CONST1),), (0,))
    assert module.evaluate(one, planes).tolist() == [[2**64 - 1] * 2]


def test_numpy_works_in_blocks_when_there_are_many_words() -> None:
    words = 2 * engine_numpy._BLOCK_WORDS + 3
    planes = np.arange(2 * words, dtype=np.uint64).reshape(2, words)
    circuit = Circuit(2, (Gate(Op.ANDN, 0, 1), Gate(Op.CONST1)), (2, 3))
    outputs = engine_numpy.evaluate(circuit, planes)
    assert (outputs[0] == (planes[0] & ~planes[1])).all()
    assert (outputs[1] == ~np.uint64(0)).all()


def test_the_engine_for_the_width() -> None:
    small = Circuit(1, (Gate(Op.NOT, 0),), (1,))
    assert engine.prefers_integers(small, 1)
    assert not engine.prefers_integers(small, 4096)


def test_kept_plans_are_bounded() -> None:
    circuit = Circuit(1, (), (0,))
    for words in range(1, 200):
        engine_numpy.evaluate(circuit, np.zeros((1, words), dtype=np.uint64))
    assert len(engine_numpy._plans.kept) == engine_numpy._KEPT_PLANS
