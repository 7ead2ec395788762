"""How quick the engines are on this machine: one circuit, many lanes and one word of them.

Integers only, as everything here: times are nanoseconds, the shortest of several calls, since
whatever else runs on the machine only ever adds to them.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from random import Random

import numpy as np

from bem_kernel.circuits.circuit import Circuit
from bem_kernel.circuits.random_circuit import random_live_circuit
from bem_kernel.engines.engine import engine_named
from bem_kernel.errors import EngineError
from bem_kernel.lanes import WORD_BITS, Planes, words_for

_NS_PER_S = 1_000_000_000
_LEAST_NS = 20_000_000  # what one measurement takes at least
_MOST_CALLS = 1000


@dataclass(frozen=True)
class EngineTimes:
    """One engine on one circuit.

    Attributes:
        engine: its name.
        first_ns: the first call, which packs or compiles the circuit, on one word.
        call_ns: a later call on one word.
        wide_ns: a later call on all lanes.
        gate_lanes_per_s: gates times lanes evaluated per second, on all lanes.
    """

    engine: str
    first_ns: int
    call_ns: int
    wide_ns: int
    gate_lanes_per_s: int


def measure_engine(name: str, circuit: Circuit, planes: Planes) -> EngineTimes:
    """Time one engine and compare its results with the reference.

    Args:
        name: of the engine.
        circuit: what to evaluate.
        planes: (n_inputs, words) uint64, all lanes.

    Raises:
        EngineError: there is no such engine, it cannot run here, or it is wrong.
    """
    evaluate = engine_named(name).evaluate
    word = np.ascontiguousarray(planes[:, :1])
    warm_up = Circuit(1, (), (0,))
    evaluate(warm_up, word[:1])  # loads kernels: the price of the process, not of the circuit
    began_ns = time.perf_counter_ns()
    evaluate(circuit, word)
    first_ns = time.perf_counter_ns() - began_ns
    expected = engine_named("reference").evaluate(circuit, planes)
    if not np.array_equal(evaluate(circuit, planes), expected):
        raise EngineError(
            f"{name} differs from the reference", where="micro.measure_engine", fix="report this"
        )
    call_ns = shortest_ns(lambda: evaluate(circuit, word))
    wide_ns = shortest_ns(lambda: evaluate(circuit, planes))
    work = len(circuit.gates) * planes.shape[1] * WORD_BITS
    return EngineTimes(name, first_ns, call_ns, wide_ns, work * _NS_PER_S // wide_ns)


def shortest_ns(call: Callable[[], object]) -> int:
    """The shortest of up to a thousand calls, which take 20 ms in all or are three."""
    taken_ns: list[int] = []
    while len(taken_ns) < _MOST_CALLS and (len(taken_ns) < 3 or sum(taken_ns) < _LEAST_NS):
        began_ns = time.perf_counter_ns()
        call()
        taken_ns.append(max(1, time.perf_counter_ns() - began_ns))
    return min(taken_ns)


def micro_problem(
    gates: int, inputs: int, outputs: int, lanes: int, seed: int
) -> tuple[Circuit, Planes]:
    """A random circuit without dead gates, and random planes for it.

    Raises:
        CircuitError: there is no such circuit.
    """
    rng = Random(seed)
    circuit = random_live_circuit(rng, inputs, gates, outputs)
    shape = (inputs, words_for(lanes))
    planes = np.random.default_rng(seed).integers(0, 2**64, shape, dtype=np.uint64)
    return circuit, planes
