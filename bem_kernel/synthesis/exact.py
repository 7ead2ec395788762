"""Exact synthesis: a circuit of fewest gates, with a proof that fewer do not do.

Gates are two-input gates of any kind, and negations are free. For each size from the trivial bound
on, SAT says whether there is a circuit; the first one found is optimal, and the refutations of the
smaller sizes are proofs that a checker follows. Within reach are up to seven or eight gates.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from bem_kernel.circuits.circuit import Circuit
from bem_kernel.errors import SynthesisError
from bem_kernel.logic.cnf import Cnf
from bem_kernel.logic.proof import Proof
from bem_kernel.proofs.check import Accepted, check_proof
from bem_kernel.sat.check import Satisfiable, Unsatisfiable, check
from bem_kernel.synthesis.exact_encoding import ask, circuit_of_model
from bem_kernel.synthesis.network import (
    Network,
    NetworkBuilder,
    circuit_from_network,
    network_from_circuit,
)
from bem_kernel.synthesis.smaller import evaluated

MAX_INPUTS = 6
MAX_GATES = 12


@dataclass(frozen=True, eq=False)
class LowerBound:
    """No circuit has exactly this many gates, all of them needed.

    Attributes:
        size: number of gates.
        cnf: the question, which has no model.
        proof: of that.
        solver: who made it.
    """

    size: int
    cnf: Cnf
    proof: Proof
    solver: str


@dataclass(frozen=True, eq=False)
class Exact:
    """A circuit of fewest gates.

    Attributes:
        circuit: the circuit; with a NOT more for each negated output.
        size: two-input gates.
        trivial_bound: gates needed for the inputs that the functions depend on to meet.
        bounds: one for each size from the trivial bound, 1 at least, to below `size`.
    """

    circuit: Circuit
    size: int
    trivial_bound: int
    bounds: tuple[LowerBound, ...]


def exact_circuit(
    tables: Sequence[int],
    n_inputs: int,
    *,
    care: int | None = None,
    max_gates: int = MAX_GATES,
    budget: int | None = None,
) -> Exact | None:
    """Find a smallest circuit of some functions.

    Args:
        tables: one function per output; bit r is the value where input i is bit i of r.
        n_inputs: number of inputs, at most 6.
        care: bit r says that row r counts; None for all.
        max_gates: most gates, at most 12.
        budget: most conflicts for each size; None for no limit, with CaDiCaL for all but the
            easiest.

    Returns:
        The circuit and its bounds, or None if `max_gates` or the budget is spent.

    Raises:
        SynthesisError: a number is out of range.

    Source: BEM core spec 8.4.
    """
    rows = 1 << _checked(n_inputs, MAX_INPUTS, "inputs")
    _checked(max_gates, MAX_GATES, "gates")
    every = (1 << rows) - 1
    care = every if care is None else care
    for number in (*tables, care):
        if not 0 <= number <= every:
            raise SynthesisError(
                f"table {number:#x}", where="exact synthesis", fix=f"give {rows} bits"
            )
    hard = [table for table in tables if _without_gates(table, care, n_inputs) is None]
    first = 1 if hard else 0
    least = max([first, *(_bound(table, n_inputs) if care == every else 1 for table in hard)])
    bounds: list[LowerBound] = []
    for size in range(least, max_gates + 1):
        found = network_of_size(tables, n_inputs, care, size, budget)
        if isinstance(found, Network):
            return Exact(circuit_from_network(found), found.size, least, tuple(bounds))
        if found is None:
            return None
        bounds.append(found)
    return None


def network_of_size(
    tables: Sequence[int], n_inputs: int, care: int, size: int, budget: int | None
) -> Network | LowerBound | None:
    """A network of so many gates, all of them needed, or why there is none; one question.

    Args:
        tables: as `exact_circuit`, and so the next two.
        n_inputs: at most 6.
        care: which rows count.
        size: number of gates; ignored if the functions need none.
        budget: most conflicts; None for no limit.

    Returns:
        None if the budget is spent.
    """
    free = [_without_gates(table, care, n_inputs) for table in tables]
    hard = [table for table, literal in zip(tables, free, strict=True) if literal is None]
    if not hard:
        return NetworkBuilder(n_inputs).build([x or 0 for x in free])
    question = ask(hard, care, n_inputs, size)
    given = 2_000 if budget is None else budget
    verdict = check(question.cnf, budget=given, hand_over=budget is None)
    if isinstance(verdict, Satisfiable):
        return _with_free(circuit_of_model(question, verdict.model), free)
    if isinstance(verdict, Unsatisfiable):
        return LowerBound(size, question.cnf, verdict.proof, verdict.solver)
    return None


def tables_of(network: Network) -> list[int]:
    """The functions of a network of at most 6 inputs, as `exact_circuit` takes them.

    Raises:
        SynthesisError: there are more inputs.
    """
    rows = 1 << _checked(network.n_inputs, MAX_INPUTS, "inputs")
    return [word & (1 << rows) - 1 for word in evaluated(network)[:, 0].tolist()]


def smallest(circuit: Circuit, *, max_gates: int = MAX_GATES) -> Exact | None:
    """`exact_circuit` of the outputs of a circuit.

    Raises:
        SynthesisError: the circuit has more than 6 inputs.
    """
    tables = tables_of(network_from_circuit(circuit))
    return exact_circuit(tables, circuit.n_inputs, max_gates=max_gates)


def verify(exact: Exact) -> bool:
    """Whether the checker accepts the proof of every size below, none left out."""
    sizes = [bound.size for bound in exact.bounds]
    first = max(1, exact.trivial_bound)
    complete = exact.size == 0 or sizes == list(range(first, exact.size))
    return complete and all(
        isinstance(check_proof(bound.cnf, bound.proof), Accepted) for bound in exact.bounds
    )


def _checked(number: int, most: int, what: str) -> int:
    if not 0 <= number <= most:
        raise SynthesisError(f"{number} {what}", where="exact synthesis", fix=f"use at most {most}")
    return number


def _input_table(i: int, n_inputs: int) -> int:
    return sum(1 << row for row in range(1 << n_inputs) if row >> i & 1)


def _without_gates(table: int, care: int, n_inputs: int) -> int | None:
    """The literal that a function is, wherever it counts, or None."""
    for slot, value in enumerate([0, *(_input_table(i, n_inputs) for i in range(n_inputs))]):
        if not (table ^ value) & care:
            return 2 * slot
        if not (table ^ ~value) & care:
            return 2 * slot + 1
    return None


def _bound(table: int, n_inputs: int) -> int:
    """Gates without which the inputs that a function depends on cannot all reach its output."""
    support = 0
    for i in range(n_inputs):
        ones = _input_table(i, n_inputs)
        support += (table & ones) >> (1 << i) != table & ~ones
    return support - 1


def _with_free(network: Network, free: Sequence[int | None]) -> Network:
    """The network with the outputs that need no gate put in between."""
    found = iter(network.outputs.tolist())
    builder = NetworkBuilder(network.n_inputs)
    for table, a, b in network.gates[1 + network.n_inputs :].tolist():
        builder.gate(table, 2 * a, 2 * b)
    return builder.build([next(found) if literal is None else literal for literal in free])
