"""What experts have in common is found, and can be computed once."""

from __future__ import annotations

import numpy as np
import pytest

from bem_kernel.circuits.circuit import Circuit
from bem_kernel.circuits.expression import compile_expression
from bem_kernel.errors import SynthesisError
from bem_kernel.experts.expert import Expert, expert_from_expressions, step, transform
from bem_kernel.experts.place import Place, Space
from bem_kernel.forms.truth_table import truth_table
from bem_kernel.synthesis.sharing import extracted, shared

BITS = {name: i for i, name in enumerate("abcdefgh")}
# Both need the majority of a, b and c, which they write in different ways.
LEFT = {"e": "(a & b | a & c | b & c) & d"}
RIGHT = {"f": "(a & (b | c) | b & c) ^ d", "a": "b"}


def experts() -> list[Expert]:
    texts = {"left": LEFT, "right": RIGHT, "alone": {"g": "d & !a"}}
    return [expert_from_expressions(name, text, BITS) for name, text in texts.items()]


def test_one_function_in_two_shapes_is_common() -> None:
    found = shared(experts(), 400)
    assert found.apart == 5 + 5 + 1
    assert len(found.circuit.gates) == 4 + 1 + 1 + 1  # the majority once
    assert {common.users for common in found.common} == {(0, 1)}
    assert max(common.gates for common in found.common) >= 4
    state = truth_table(Circuit(4, (), tuple(range(4)))).astype(bool)
    for common in found.common:
        places, circuit = found.subcircuit(common)
        columns = [found.places.index(place) for place in places]
        whole = Circuit(len(found.places), found.circuit.gates, (common.slot,))
        rows = (state[:, columns] << np.arange(len(columns))).sum(axis=1)
        assert (truth_table(circuit)[rows] == truth_table(whole)).all()


def test_what_is_common_is_computed_once_by_a_feeder() -> None:
    given = experts()
    found = shared(given, 400)
    extraction = extracted(found, (7,))
    assert extraction.feeder.writes == (7,) and len(extraction.proofs) == 3
    gates = [len(expert.circuit.gates) for expert in (extraction.feeder, *extraction.experts)]
    assert sum(gates) < found.apart and gates[0] >= 4
    state = np.random.default_rng(0).integers(0, 1 << 63, (8, 3), dtype=np.uint64)
    fed = step(extraction.feeder, state)
    for before, after in zip(given, extraction.experts, strict=True):
        assert (step(after, fed)[:7] == step(before, state)[:7]).all()


def test_bits_of_shared_memory_are_inputs_too() -> None:
    circuit = compile_expression("(a ^ m) & b", ["a", "b", "m"])
    place = Place(Space.SHARED, 5)
    pair = [Expert(name, (0, 1), circuit, (bit,), (place,)) for name, bit in (("x", 2), ("y", 3))]
    found = shared(pair, 100)
    assert [common.users for common in found.common] == [(0, 1)] and found.apart == 4
    extraction = extracted(found, (4, 5))
    state = np.random.default_rng(1).integers(0, 1 << 63, (6, 2), dtype=np.uint64)
    memory = np.array([1 << 5], dtype=np.uint64)
    fed = transform([(extraction.feeder, None)], state, memory)[0]
    for before, after in zip(pair, extraction.experts, strict=True):
        wanted = transform([(before, None)], state, memory)[0]
        assert (transform([(after, None)], fed, memory)[0][:4] == wanted[:4]).all()


def test_what_is_refused() -> None:
    with pytest.raises(SynthesisError, match="sharing: 1 experts; give two or more"):
        shared(experts()[:1], 10)
    found = shared(experts(), 100)
    for spare in ((), (4,), (7, 7)):
        with pytest.raises(SynthesisError, match="common parts, spare bits"):
            extracted(found, spare)
