"""Logic networks: soft gates extend the 16 functions, decided networks are their circuits."""

import itertools

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from bb_nn.soft_logic.discrete import discretised
from bb_nn.soft_logic.errors import SoftLogicError
from bb_nn.soft_logic.gates import build_gate, soft_gate
from bb_nn.soft_logic.network import NetworkShape, SoftNetwork
from bem_kernel.circuits.builder import CircuitBuilder
from bem_kernel.engines.engine import evaluate
from bem_kernel.lanes import pack_bits, unpack_bits

ALL = list(itertools.product((0, 1), repeat=2))


def entries(table):
    return torch.tensor([[table >> k & 1 for k in range(4)]], dtype=torch.float64)


@pytest.mark.parametrize("table", range(16))
def test_a_gate_at_a_corner_is_its_function_soft_and_built(table):
    wanted = [table >> (2 * a + b) & 1 for a, b in ALL]
    a, b = torch.tensor(ALL, dtype=torch.float64).T[:, None]
    assert soft_gate(a, b, entries(table))[0].tolist() == wanted
    builder = CircuitBuilder(2)
    circuit = builder.build([build_gate(builder, 0, 1, table)])
    assert len(circuit.gates) <= 2  # NOR, NAND, XNOR are a gate and a NOT
    planes = pack_bits(np.array(ALL, np.bool_))
    assert unpack_bits(evaluate(circuit, planes), 4)[:, 0].tolist() == wanted


@given(st.lists(st.floats(0, 1), min_size=6, max_size=6))
def test_a_soft_gate_is_the_mean_of_the_16_under_independent_entries(values):
    """The mixture that difflogic makes, with weights Π p or 1 − p."""
    a, b, *p = values
    mixed = 0.0
    for table in range(16):
        weight = np.prod([p[k] if table >> k & 1 else 1 - p[k] for k in range(4)])
        value = sum(
            (table >> (2 * i + j) & 1) * (a if i else 1 - a) * (b if j else 1 - b) for i, j in ALL
        )
        mixed += weight * value
    found = soft_gate(*(torch.tensor([[v]], dtype=torch.float64) for v in (a, b)),
                      torch.tensor([p], dtype=torch.float64))  # fmt: skip
    assert float(found) == pytest.approx(mixed, abs=1e-12)


@given(
    st.integers(1, 4), st.integers(1, 3), st.integers(0, 3),
    st.lists(st.integers(1, 6), max_size=2), st.integers(0, 2**31),
)  # fmt: skip
def test_the_decided_network_is_its_circuit(n_in, n_out, n_state, widths, seed):
    from bb_train.soft_to_hard import run_circuit

    network = SoftNetwork(NetworkShape(n_in, n_out, n_state, tuple(widths)), 2, seed)
    inputs = np.random.default_rng(seed).random((5, 4, n_in)) < 0.5
    hard = network(torch.from_numpy(inputs).float(), hard=True)
    for replica in range(2):
        found = run_circuit(discretised(network, replica), n_state, inputs)
        assert np.array_equal(hard[replica].numpy() > 0.5, found)


def test_as_it_cools_the_soft_network_becomes_the_decided_one():
    network = SoftNetwork(NetworkShape(3, 2, 1, (6,)), 3, 1)
    inputs = (torch.rand(8, 5, 3, generator=torch.Generator().manual_seed(2)) < 0.5).float()
    with torch.no_grad():
        hard = network(inputs, hard=True)
        gaps = [float((network(inputs, t) - hard).abs().max()) for t in (1.0, 0.01, 0.0005)]
    assert gaps[0] > 0.2 and gaps[2] < 1e-3
    decided = network.indecision(0.0005)
    assert bool((decided < 1e-3).all()) and bool((network.indecision() > 0.1).all())


def test_derivatives_are_the_finite_differences():
    network = SoftNetwork(NetworkShape(2, 1, 1, (3,)), 1, 0).double()
    inputs = torch.rand(2, 3, 2, dtype=torch.float64)
    wires, tables = network.wires[0], network.tables[1]

    def loss(w, t):
        parameters = {"wires.0": w, "tables.1": t}
        return torch.func.functional_call(network, parameters, (inputs,)).square().sum()

    assert torch.autograd.gradcheck(loss, (wires, tables))


def test_bits_that_do_not_fit_are_refused():
    with pytest.raises(SoftLogicError, match="logic network: 0 inputs, 1 outputs"):
        NetworkShape(0, 1)
    with pytest.raises(SoftLogicError, match="0 replicas; use 1 or more"):
        SoftNetwork(NetworkShape(1, 1), 0)
    network = SoftNetwork(NetworkShape(2, 1))
    with pytest.raises(SoftLogicError, match=r"inputs of shape \(1, 1, 3\); give .*tokens, 2"):
        network(torch.zeros(1, 1, 3))
    with pytest.raises(SoftLogicError, match="no replica 1; use 0 to 0"):
        discretised(network, 1)
