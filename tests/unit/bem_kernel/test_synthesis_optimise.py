"""The superoptimiser: what it returns is equal, smaller, and proved."""

from __future__ import annotations

from random import Random

import numpy as np
import pytest

from bem_kernel.circuits.builder import CircuitBuilder
from bem_kernel.circuits.circuit import Circuit, Gate, Op
from bem_kernel.circuits.expression import compile_expression, compile_expressions
from bem_kernel.circuits.random_circuit import random_circuit, random_live_circuit
from bem_kernel.errors import CnfError, SynthesisError
from bem_kernel.forms.truth_table import truth_table
from bem_kernel.logic.tseitin import miter
from bem_kernel.proofs.check import Accepted, check_proof
from bem_kernel.synthesis import steps as steps_module
from bem_kernel.synthesis.equivalence import Different, Equal, compare
from bem_kernel.synthesis.network import circuit_from_network, network_from_circuit
from bem_kernel.synthesis.optimise import optimise
from bem_kernel.synthesis.rewriting import rewritten
from bem_kernel.synthesis.smaller import all_inputs, evaluated, walked
from bem_kernel.synthesis.windows import put_back, window_at_random


def same(left: Circuit, right: Circuit) -> bool:
    return bool((truth_table(left) == truth_table(right)).all())


def adder(width: int) -> Circuit:
    """A ripple adder as and-inverter graph: every XOR is three ANDs."""
    builder = CircuitBuilder(2 * width)

    def xor(a: int, b: int) -> int:
        neither = builder.and_(builder.not_(a), builder.not_(b))
        return builder.and_(builder.not_(builder.and_(a, b)), builder.not_(neither))

    carry, outputs = builder.const(False), []
    for i in range(width):
        half = xor(i, width + i)
        outputs.append(xor(half, carry))
        both = builder.and_(i, width + i)
        carry = builder.not_(
            builder.and_(builder.not_(both), builder.not_(builder.and_(half, carry)))
        )
    return builder.build([*outputs, carry])


@pytest.mark.parametrize("seed", range(40))
def test_networks_are_the_circuits_they_come_from(seed: int) -> None:
    circuit = random_circuit(Random(seed), 1 + seed % 7, 2 * seed, 3)
    network = network_from_circuit(circuit)
    assert same(circuit_from_network(network), circuit)
    assert network.size <= len(circuit.gates)
    assert set(network.gates[1 + network.n_inputs :, 0].tolist()) <= {2, 4, 6, 8, 14}


def test_constants_and_no_gates_at_all() -> None:
    for circuit in (
        Circuit(0, (), ()),
        Circuit(0, (Gate(Op.CONST1),), (0,)),
        Circuit(3, (), (2, 0)),
        Circuit(2, (Gate(Op.NOT, 1), Gate(Op.AND, 1, 2)), (2, 3)),
    ):
        result = optimise(circuit, 50)
        assert same(result.circuit, circuit) and result.after == 0


@pytest.mark.parametrize("seed", range(12))
def test_rewriting_and_walks_keep_the_function(seed: int) -> None:
    circuit = random_live_circuit(Random(seed), 8, 50, 6)
    network = network_from_circuit(circuit)
    smaller = rewritten(network)
    assert same(circuit_from_network(smaller), circuit) and smaller.size <= network.size
    walk = walked(smaller, seed, 400)
    assert same(circuit_from_network(walk), circuit) and walk.size <= smaller.size
    whole = network
    for key in range(40):
        window = window_at_random(whole, key, max_leaves=5, max_gates=15)
        if window is not None:
            assert window.network.n_inputs <= 5
            whole = put_back(whole, window, walked(window.network, key, 60))
    assert same(circuit_from_network(whole), circuit)


def test_rewriting_alone_finds_the_xors_of_an_adder() -> None:
    network = network_from_circuit(adder(8))
    while (smaller := rewritten(network)) is not network:
        network = smaller
    assert network.size == 8 * 5 - 3


def test_an_adder_becomes_the_smallest_known() -> None:
    # Five gates a bit, two for the first, which has no carry: optimal (Red'kin 1981).
    result = optimise(adder(4), 1000)
    assert result.before > result.after == 17
    assert same(result.circuit, adder(4))
    assert len(result.circuit.gates) == 17


def test_the_proof_is_of_this_result() -> None:
    circuit = adder(3)
    result = optimise(circuit, 200)
    assert isinstance(result.equality, Equal)
    cnf = miter(circuit, result.circuit).cnf
    assert isinstance(check_proof(cnf, result.equality.proof), Accepted)


def test_a_care_set_is_used() -> None:
    names = ["a", "b", "c", "d"]
    circuit = compile_expression("a & b | !a & c & d | b & d & !c", names)
    care = compile_expression("a", names)
    result = optimise(circuit, 200, care=care)
    assert result.after == 0  # where a holds, it is b | ... & !c = b
    table, ours = truth_table(circuit), truth_table(result.circuit)
    where = truth_table(care)[:, 0] == 1
    assert (table[where] == ours[where]).all() and not (table == ours).all()
    assert optimise(circuit, 200).after > 0


def test_equal_seeds_and_moves_give_equal_walks() -> None:
    network = network_from_circuit(random_live_circuit(Random(5), 8, 60, 4))
    one, other, third = walked(network, 7, 500), walked(network, 7, 500), walked(network, 8, 500)
    assert (one.gates == other.gates).all() and (one.outputs == other.outputs).all()
    assert one.gates.shape != third.gates.shape or (one.gates != third.gates).any()


def test_a_wrong_step_of_the_search_does_not_pass(monkeypatch: pytest.MonkeyPatch) -> None:
    wrong = network_from_circuit(Circuit(2, (Gate(Op.OR, 0, 1),), (2,)))
    monkeypatch.setattr(steps_module.Steps, "take", lambda *_: wrong)
    with pytest.raises(AssertionError, match="the optimised circuit differs at"):
        optimise(Circuit(2, (Gate(Op.AND, 0, 1),), (2,)), 50)


def test_small_results_are_known_to_be_optimal_and_end_the_search() -> None:
    majority = optimise(compile_expression("a & b | a & c | b & c", ["a", "b", "c"]), 60_000)
    assert (majority.after, majority.optimal, majority.bounds) == (4, True, ())  # the database
    names = ["a", "b", "c"]
    full = optimise(compile_expressions(["a ^ b ^ c", "a & b | a & c | b & c"], names), 60_000)
    assert full.after == 5 and full.optimal
    assert [bound.size for bound in full.bounds] == [2, 3, 4]
    for bound in full.bounds:
        assert isinstance(check_proof(bound.cnf, bound.proof), Accepted)
    assert not optimise(adder(4), 100).optimal


def compared(width: int) -> tuple[Circuit, Circuit]:
    """Bits of a where a and b differ, and that they are equal; 2 * width inputs."""
    builder = CircuitBuilder(2 * width)
    differ = builder.const(False)
    for i in range(width):
        differ = builder.or_(differ, builder.xor(i, width + i))
    outputs = [builder.and_(i, differ) for i in range(width)]
    equal = builder.build([builder.not_(differ)])
    return builder.build([*outputs, width]), equal


def test_a_care_set_of_many_inputs_is_used() -> None:
    circuit, care = compared(8)
    result = optimise(circuit, 60_000, care=care)
    assert result.after == 0 and result.optimal  # where a = b, nothing differs
    assert optimise(circuit, 300).after > 0
    never = compile_expression("x0 & !x0", [f"x{i}" for i in range(16)])
    assert optimise(circuit, 60_000, care=never).after == 0


def test_different_circuits_are_told_apart_where_they_differ() -> None:
    left, right = Circuit(2, (Gate(Op.AND, 0, 1),), (2,)), Circuit(2, (Gate(Op.XOR, 0, 1),), (2,))
    outcome = compare(left, right)
    assert isinstance(outcome, Different) and any(outcome.inputs)
    nor = compile_expression("!(a & b) & (a & b)", ["a", "b"])
    assert isinstance(compare(left, right, care=nor), Equal)
    with pytest.raises(CnfError, match="compare circuits of one shape"):
        compare(left, Circuit(3, (), (0,)))


def test_what_is_refused() -> None:
    circuit = Circuit(2, (Gate(Op.AND, 0, 1),), (2,))
    with pytest.raises(SynthesisError, match="optimise: a budget of -1 ms; use 0 to"):
        optimise(circuit, -1)
    with pytest.raises(SynthesisError, match="a care set of 2 inputs and 2 outputs"):
        optimise(circuit, 1, care=Circuit(2, (), (0, 1)))
    with pytest.raises(SynthesisError, match="15 inputs; use at most 14"):
        all_inputs(15)


def test_all_inputs_and_values_are_those_of_the_truth_table() -> None:
    for n in (0, 1, 5, 6, 7, 9):
        circuit = random_circuit(Random(n), n, 30, 4)
        rows = truth_table(circuit).astype(np.uint8)
        bits = np.unpackbits(
            evaluated(network_from_circuit(circuit)).view(np.uint8), axis=1, bitorder="little"
        )
        assert (rows == bits[:, : 1 << n].T).all()


def test_large_circuits_go_window_by_window() -> None:
    circuit = adder(24)
    sizes: list[int] = []
    result = optimise(circuit, 1000, report=lambda _, size: sizes.append(size))
    assert result.after <= 24 * 5 + 10 < result.before
    assert sizes == sorted(sizes, reverse=True) and sizes[-1] == result.after
