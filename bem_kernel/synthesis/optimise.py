"""The superoptimiser: a smaller circuit within a time budget, proved equal.

The search goes step by step (`steps`), and begins again where half of its steps were in vain: walks
end in circuits of different sizes. The smallest circuit so far is the result at any time, and
is proved equal to the given one, wherever it counts, before it is returned.

Source: BEM core spec 8.4.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from bem_kernel.circuits.circuit import Circuit
from bem_kernel.errors import SynthesisError
from bem_kernel.synthesis.database import DATABASE_INPUTS, optimal_database
from bem_kernel.synthesis.equivalence import Different, Equal, compare
from bem_kernel.synthesis.exact import MAX_INPUTS, LowerBound, exact_circuit, tables_of
from bem_kernel.synthesis.network import Network, circuit_from_network, network_from_circuit
from bem_kernel.synthesis.steps import Steps, warm

MAX_BUDGET_MS = 86_400_000
_EXACT_GATES = 7
_CONFLICTS_PER_MS = 1
_SEED_BITS = 20

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
        optimal: whether no circuit has fewer gates: by the database of all functions of four
            inputs, or by `bounds`. The search ends when that is known.
        bounds: proofs that fewer gates do not do, one for each number; none from the database.
    """

    circuit: Circuit
    before: int
    after: int
    spent_ms: int
    equality: Equal
    optimal: bool
    bounds: tuple[LowerBound, ...]


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
        care: a circuit of one output: where it is 0, the result may be anything.
        report: called about ten times a second.

    Raises:
        SynthesisError: the budget is out of range, or the care set has another shape.
    """
    _check(circuit, budget_ms, care)
    if budget_ms:
        warm()
    start = time.monotonic_ns()
    given = network_from_circuit(circuit)
    where = None if care is None else network_from_circuit(care)
    best = _Found(given)
    for best in _search(given, seed, where, start, budget_ms):
        if report is not None:
            report(_since_ms(start), best.network.size)
    spent_ms = _since_ms(start)
    result = circuit_from_network(best.network)
    equality = compare(circuit, result, care)
    if isinstance(equality, Different):
        raise AssertionError(f"the optimised circuit differs at {equality.inputs}")
    size = best.network.size
    return Optimised(result, given.size, size, spent_ms, equality, best.optimal, best.bounds)


@dataclass(frozen=True, eq=False)
class _Found:
    """The smallest network so far, and why there is no smaller one where that is known."""

    network: Network
    optimal: bool = False
    bounds: tuple[LowerBound, ...] = ()


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
    network: Network, seed: int, care: Network | None, start: int, budget_ms: int
) -> Iterator[_Found]:
    """Yield ever smaller networks until the time is over; the last one is the result."""
    end = start + budget_ms * 1_000_000
    given = best = network
    steps, said, asked, runs = Steps(care, seed), start, network.size + 1, 1
    while best.size and time.monotonic_ns() < end:
        network = steps.take(network)
        if network.size <= best.size:
            best = network
        if best.size < asked and not steps.rewriting:
            asked = best.size
            left_ms = max(0, end - time.monotonic_ns()) // 1_000_000
            optimum = _optimum(best, care, left_ms * _CONFLICTS_PER_MS)
            if optimum is not None:
                yield optimum
                return
        if steps.is_idle():
            steps, network, runs = Steps(care, seed + (runs << _SEED_BITS)), given, runs + 1
        if time.monotonic_ns() - said > 100_000_000:
            said = time.monotonic_ns()
            yield _Found(best)
    yield _Found(best, optimal=not best.size)


def _optimum(network: Network, care: Network | None, budget: int) -> _Found | None:
    """A network of which it is known that none is smaller, if that is within reach.

    Args:
        network: the smallest so far.
        care: where it counts.
        budget: most conflicts for each size.
    """
    n = network.n_inputs
    if care is None and n <= DATABASE_INPUTS and len(network.outputs) == 1:
        return _Found(optimal_database().network_of(tables_of(network)[0], n), optimal=True)
    if n > MAX_INPUTS or network.size > _EXACT_GATES:
        return None
    rows = None if care is None else tables_of(care)[0]
    exact = exact_circuit(tables_of(network), n, care=rows, max_gates=network.size, budget=budget)
    if exact is None:
        return None
    return _Found(network_from_circuit(exact.circuit), True, exact.bounds)
