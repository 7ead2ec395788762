"""The superoptimiser: a smaller circuit within a time budget, proved equal.

First, cuts of four inputs are replaced by optimal circuits until that saves nothing. Then the rest
of the time goes to random walks over equal circuits: over the whole circuit where it has few inputs
and gates, otherwise over one window after another. The smallest circuit so far is the result at any
time, and is proved equal to the given one before it is returned.

Source: BEM core spec 8.4.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from bem_kernel.circuits.circuit import Circuit
from bem_kernel.errors import SynthesisError
from bem_kernel.synthesis.equivalence import Different, Equal, compare
from bem_kernel.synthesis.network import Network, circuit_from_network, network_from_circuit
from bem_kernel.synthesis.rewriting import rewritten
from bem_kernel.synthesis.smaller import evaluated, walked
from bem_kernel.synthesis.windows import put_back, window_at_random

WHOLE_INPUTS = 12
WHOLE_WORK = 1 << 16  # words simulated for one look at a whole network
MAX_BUDGET_MS = 86_400_000
_MOVES = 400
_WINDOW_LEAVES = (8, 10)
_WINDOW_GATES = (40, 60)
_MOVES_PER_GATE = 4  # for circuits like trees, whose windows are small, more is waste

Report = Callable[[int, int], None]
"""Called with milliseconds spent and the size so far."""


@dataclass(frozen=True, eq=False)
class Optimised:
    """A smaller circuit.

    Attributes:
        circuit: proved equal to the given one wherever it counts.
        before: two-input gates of the given circuit, negations pushed to the outputs and equal
            gates shared.
        after: two-input gates of the result. `circuit` has a NOT more for each negated output.
        spent_ms: milliseconds of search, without the proof.
        equality: the proof.
    """

    circuit: Circuit
    before: int
    after: int
    spent_ms: int
    equality: Equal


def optimise(
    circuit: Circuit,
    budget_ms: int,
    *,
    seed: int = 0,
    care: Circuit | None = None,
    report: Report | None = None,
) -> Optimised:
    """Search for a smaller equal circuit.

    Args:
        circuit: any circuit.
        budget_ms: milliseconds for the search; the proof at the end comes on top.
        seed: of the random walk. Equal seeds give equal steps, but time decides how many.
        care: a circuit of one output: where it is 0, the result may be anything. Used for circuits
            of at most 12 inputs; larger ones are kept equal everywhere.
        report: called about ten times a second.

    Raises:
        SynthesisError: the budget is out of range, or the care set has another shape.
    """
    _check(circuit, budget_ms, care)
    start = time.monotonic_ns()
    given = network_from_circuit(circuit)
    best = given
    for best in _search(given, seed, care, start, budget_ms):
        if report is not None:
            report(_since_ms(start), best.size)
    spent_ms = _since_ms(start)
    result = circuit_from_network(best)
    equality = compare(circuit, result, care)
    if isinstance(equality, Different):
        raise AssertionError(f"the optimised circuit differs at {equality.inputs}")
    return Optimised(result, given.size, best.size, spent_ms, equality)


def _check(circuit: Circuit, budget_ms: int, care: Circuit | None) -> None:
    if not 0 <= budget_ms <= MAX_BUDGET_MS:
        raise SynthesisError(
            f"a budget of {budget_ms} ms", where="optimise", fix=f"use 0 to {MAX_BUDGET_MS}"
        )
    if care is not None and (care.n_inputs, care.n_outputs) != (circuit.n_inputs, 1):
        raise SynthesisError(
            f"a care set of {care.n_inputs} inputs and {care.n_outputs} outputs",
            where="optimise",
            fix=f"give a circuit of {circuit.n_inputs} inputs and one output",
        )


def _since_ms(start: int) -> int:
    return (time.monotonic_ns() - start) // 1_000_000


def _search(
    network: Network, seed: int, care: Circuit | None, start: int, budget_ms: int
) -> Iterator[Network]:
    """Yield ever smaller networks until the time is over; the last one is the result."""
    end = start + budget_ms * 1_000_000
    rows = None
    if care is not None and network.n_inputs <= WHOLE_INPUTS:
        rows = evaluated(network_from_circuit(care))[0].copy()
    key, said = seed << 32, start
    shrinking = True
    while network.size and time.monotonic_ns() < end:
        key += 1
        if shrinking:
            smaller = rewritten(network)
            shrinking = smaller.size < network.size
            network = smaller if shrinking else network
        else:
            network = _step(network, key & (1 << 64) - 1, rows)
        if time.monotonic_ns() - said > 100_000_000:
            said = time.monotonic_ns()
            yield network
    yield network


def _step(network: Network, key: int, care: NDArray[np.uint64] | None) -> Network:
    """One walk, of the whole or of a window; never larger than before."""
    if network.n_inputs <= WHOLE_INPUTS:
        work = len(network.gates) << max(0, network.n_inputs - 6)
        if work <= WHOLE_WORK or key % 8 == 0:
            return walked(network, key, _MOVES, care)
    kind = key % len(_WINDOW_LEAVES)
    window = window_at_random(
        network, key, max_leaves=_WINDOW_LEAVES[kind], max_gates=_WINDOW_GATES[kind]
    )
    if window is None:
        return network
    part = walked(window.network, key, _MOVES_PER_GATE * window.network.size)
    whole = put_back(network, window, part)
    return whole if whole.size <= network.size else network
