"""A cover by look-up tables computes what the gates compute, and is never larger."""

from __future__ import annotations

from random import Random

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from bem_kernel.circuits.builder import simplify
from bem_kernel.circuits.lut import evaluate_luts
from bem_kernel.circuits.lut_mapping import map_luts
from bem_kernel.circuits.random_circuit import random_circuit, random_live_circuit
from bem_kernel.engines import reference
from bem_kernel.forms.truth_table import counting_planes


@settings(max_examples=200)
@given(st.integers(0, 1 << 30), st.integers(0, 6), st.integers(0, 40), st.integers(0, 4))
def test_the_cover_computes_the_function(seed: int, n: int, gates: int, outputs: int) -> None:
    circuit = random_circuit(Random(seed), n, gates, outputs)
    planes = counting_planes(n)
    expected = reference.evaluate(circuit, planes)
    cover = map_luts(circuit)
    assert (evaluate_luts(cover, planes) == expected).all()
    assert len(cover.luts) <= len(circuit.gates)
    assert len(set(cover.luts)) == len(cover.luts)  # none is there twice


@settings(max_examples=10)
@given(st.integers(0, 1 << 30))
def test_wide_live_circuits_need_two_thirds_of_a_lut_a_gate(seed: int) -> None:
    circuit = random_live_circuit(Random(seed), 32, 256, 9)
    cover = map_luts(simplify(circuit))
    planes = np.random.default_rng(seed).integers(0, 2**64, (32, 4), dtype=np.uint64)
    assert (evaluate_luts(cover, planes) == reference.evaluate(circuit, planes)).all()
    assert len(cover.luts) <= 171
