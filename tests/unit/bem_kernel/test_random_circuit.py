"""Random circuits of which nothing can be left out."""

from __future__ import annotations

from random import Random

import pytest

from bem_kernel.circuits.builder import prune
from bem_kernel.circuits.random_circuit import random_live_circuit
from bem_kernel.errors import CircuitError


@pytest.mark.parametrize(("inputs", "gates", "outputs"), [(32, 256, 9), (2, 1, 1), (5, 40, 4)])
def test_every_gate_and_input_is_live(inputs: int, gates: int, outputs: int) -> None:
    for seed in range(20):
        circuit = random_live_circuit(Random(seed), inputs, gates, outputs)
        assert (circuit.n_inputs, len(circuit.gates), circuit.n_outputs) == (inputs, gates, outputs)
        assert len(prune(circuit).gates) == gates
        read = {slot for gate in circuit.gates for slot in (gate.a, gate.b)}
        assert set(range(inputs)) <= read | set(circuit.outputs)


@pytest.mark.parametrize("numbers", [(4, 3, 4), (4, 3, 0), (9, 3, 5), (3, 0, 3)])
def test_impossible_numbers_are_refused(numbers: tuple[int, int, int]) -> None:
    with pytest.raises(CircuitError, match=r"random_live_circuit: \d outputs for \d inputs"):
        random_live_circuit(Random(0), *numbers)
