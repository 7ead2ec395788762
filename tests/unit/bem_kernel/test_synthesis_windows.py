"""Don't-cares that the solver finds, and windows that are made as small as can be."""

from __future__ import annotations

from random import Random

import numpy as np
import pytest

from bem_kernel.circuits.circuit import Circuit
from bem_kernel.circuits.expression import compile_expression, compile_expressions
from bem_kernel.circuits.random_circuit import random_circuit, random_live_circuit
from bem_kernel.lanes import pack_bits
from bem_kernel.synthesis.database import optimal_database
from bem_kernel.synthesis.exact import tables_of
from bem_kernel.synthesis.exact_windows import ExactWindows
from bem_kernel.synthesis.network import Network, circuit_from_network, network_from_circuit
from bem_kernel.synthesis.observation import simulate
from bem_kernel.synthesis.occurrence import Occurrence, packed_rows, swept
from bem_kernel.synthesis.smaller import all_inputs, evaluated
from bem_kernel.synthesis.windows import rebuilt


def values_of(network: Network) -> np.ndarray:
    """(slots, rows) bool: the values of all slots on all inputs."""
    sims = np.zeros((len(network.gates), max(1, (1 << network.n_inputs) // 64)), dtype=np.uint64)
    sims[1 : 1 + network.n_inputs] = all_inputs(network.n_inputs)
    simulate(network.n_inputs, len(network.gates), network.gates, sims)
    bits = np.unpackbits(sims.view(np.uint8), axis=1, bitorder="little").astype(np.bool_)
    return bits[:, : 1 << network.n_inputs]


@pytest.mark.parametrize("seed", range(12))
def test_what_can_occur_is_what_some_input_shows(seed: int) -> None:
    rng = Random(seed)
    network = network_from_circuit(random_live_circuit(rng, 7, 40, 4))
    care = None if seed % 3 == 0 else network_from_circuit(random_circuit(rng, 7, 6, 1))
    counts = np.ones(128, dtype=np.bool_) if care is None else evaluated_bits(care)
    occurrence = Occurrence(network, care, seed)
    values = values_of(network)[:, counts]
    slots = np.array(rng.sample(range(1, len(network.gates)), 5))
    numbers = (values[slots] * (1 << np.arange(5))[:, None]).sum(axis=0)
    expected = np.bincount(numbers, minlength=32) > 0
    assert (occurrence.rows(slots) == expected).all()
    instead = swept(network, occurrence)
    for slot in np.flatnonzero(instead >= 0):
        assert (values[slot] == values[instead[slot] >> 1] ^ (instead[slot] & 1)).all()


def evaluated_bits(network: Network) -> np.ndarray:
    """The rows on which a network of one output and 7 inputs is 1."""
    row = evaluated(network)[0].view(np.uint8)
    return np.unpackbits(row, bitorder="little").astype(np.bool_)


def test_equal_functions_of_other_shape_become_one() -> None:
    names = [f"x{i}" for i in range(20)]
    texts = ["x0 & (x1 ^ x2)", "x0 & x1 ^ x0 & x2", "!(x0 & (x1 & !x2 | x2 & !x1))", "x3 & x4"]
    network = network_from_circuit(compile_expressions(texts, names))
    merged = rebuilt(network, swept(network, Occurrence(network, None, 0)))
    assert merged.size == 3 < network.size
    first, second, third, other = merged.outputs.tolist()
    assert first == second == third ^ 1 != other


def test_rare_inputs_that_count_are_found() -> None:
    names = [f"x{i}" for i in range(24)]
    network = network_from_circuit(compile_expression("x0 ^ x1", names))
    care = network_from_circuit(compile_expression(" & ".join(names), names))
    occurrence = Occurrence(network, care, 1)
    assert occurrence.values.shape[1] == 1  # no random pattern has all inputs 1
    assert occurrence.rows(np.array([1, 2])).tolist() == [False, False, False, True]
    assert swept(network, occurrence)[-1] == 0
    never = network_from_circuit(compile_expression("x0 & !x0", names))
    nothing = Occurrence(network, never, 1)
    assert not nothing.rows(np.array([1, 2])).any() and (swept(network, nothing) < 0).all()


def test_rows_are_repeated_to_whole_words() -> None:
    assert packed_rows(np.array([True, False])).tolist() == [0x5555555555555555]
    rows = np.arange(256) % 3 == 0
    assert (packed_rows(rows) == pack_bits(rows[:, None])[0]).all()


@pytest.mark.parametrize("n_inputs", range(5))
def test_the_database_gives_networks_of_fewer_inputs_too(n_inputs: int) -> None:
    database, rows = optimal_database(), 1 << n_inputs
    for seed in range(64):
        table = Random(seed).getrandbits(rows)
        network = database.network_of(table, n_inputs)
        assert network.n_inputs == n_inputs and tables_of(network) == [table]


def part_of(texts: list[str], names: str) -> Network:
    return network_from_circuit(compile_expressions(texts, list(names)))


def test_a_window_becomes_smaller_by_the_database_or_by_sat() -> None:
    windows = ExactWindows()
    majority = part_of(["a & b | a & c | b & c"], "abc")
    smaller = windows.improved(majority)
    assert majority.size == 5 and smaller is not None and smaller.size == 4
    assert tables_of(smaller) == tables_of(majority)
    adder = part_of(["a ^ b ^ c", "a & b | c & (a | b)"], "abc")
    smaller = windows.improved(adder)
    assert adder.size == 6 and smaller is not None and smaller.size == 5
    assert tables_of(smaller) == tables_of(adder)
    assert windows.improved(smaller) is None
    assert windows.improved(smaller) is None  # asked once only
    nothing = network_from_circuit(Circuit(3, (), (1, 0)))
    assert windows.improved(nothing) is None


def test_rows_that_cannot_occur_save_gates_of_a_window() -> None:
    windows = ExactWindows()
    chosen = part_of(["a & c | b & d", "a ^ b"], "abcd")
    assert windows.improved(chosen) is None
    rows = np.array([row & 3 in (1, 2) for row in range(16)])  # one of a and b, never both
    smaller = windows.improved(chosen, rows)
    assert smaller is not None and smaller.size < chosen.size
    for ours, table in zip(tables_of(smaller), tables_of(chosen), strict=True):
        assert all((ours ^ table) >> row & 1 == 0 for row in np.flatnonzero(rows))
    assert circuit_from_network(smaller).n_inputs == 4
