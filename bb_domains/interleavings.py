"""Proofs about a plan in every order that it may run in.

One variable for each step says that it is done; the order's edges are clauses, so the models of
these clauses are exactly the sets of steps that may be done at some moment (the down-sets of the
order). What is asked at each such moment:

    triples      a step that may start finds its precondition true:  {pre} step {effects}
    invariants   none is violated

A state bit is what the last of its writers that are done has written; its writers are in conflict,
so they are ordered. The formula says that something of this fails somewhere. It holds nowhere if
the solver's proof, followed by the kernel's checker, says so; else its model is such a moment.

Source: Mazurkiewicz traces; BEM core spec 9.2-9.4.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from bb_domains.commute import Edge, order_edges, reduced
from bem_kernel.circuits.builder import CircuitBuilder
from bem_kernel.circuits.circuit import Circuit

if TYPE_CHECKING:
    from bb_domains.compiler import PlanMachine


@dataclass(frozen=True)
class Moment:
    """A moment at which something does not hold: the positions of the steps done by then."""

    done: tuple[int, ...]


@dataclass(frozen=True)
class OrderProof:
    """The order of a plan's steps, with the proof that nothing goes wrong in it.

    Attributes:
        edges: the order, transitively reduced.
        n_obligations: how many triples, and one for all invariants.
        n_steps: length of the solver's proof.
        digest: SHA-256 over formula and proof, hex.
    """

    edges: tuple[Edge, ...]
    n_obligations: int
    n_steps: int
    digest: str


def prove_order(
    machine: PlanMachine, lanes: Sequence[int], further: Sequence[Edge] = ()
) -> OrderProof | Moment:
    """Find an order of a plan's steps in which all triples and invariants hold, and prove it.

    It starts from the conflicts alone. Each moment at which an invariant fails is ruled out by
    keeping two more steps as they are written; the written order itself is the last resort.

    Args:
        machine: the domain's logic.
        lanes: the lanes of the steps, as they are written.
        further: order that is asked for besides.

    Returns:
        The order and its proof, or a moment that even the written order comes to.
    """
    edges = order_edges(machine, lanes, further)
    while True:
        found = _refute(machine, lanes, edges)
        if isinstance(found, OrderProof):
            return found
        more = _written_order(found.done)
        if more is None:
            return found
        edges = reduced(len(lanes), (*edges, more))


def _written_order(done: Sequence[int]) -> Edge | None:
    """Two steps of which the later is done and the earlier is not."""
    for later in done:
        for earlier in reversed(range(later)):
            if earlier not in done:
                return earlier, later
    return None


def _refute(
    machine: PlanMachine, lanes: Sequence[int], edges: tuple[Edge, ...]
) -> OrderProof | Moment:
    # The kernel's solver and checker load compiled code, which plain use of a domain spares.
    from bem_kernel.logic.cnf import cnf_from_clauses
    from bem_kernel.logic.tseitin import tseitin
    from bem_kernel.proofs.check import Accepted, check_proof
    from bem_kernel.sat.check import Satisfiable, Unsatisfiable, check

    encoded = tseitin(_failure(machine, lanes, edges))
    clauses = [[-(later + 1), earlier + 1] for earlier, later in edges]
    clauses += [[encoded.outputs[0]], *encoded.cnf.clauses()]
    cnf = cnf_from_clauses(clauses, encoded.cnf.n_vars)
    verdict = check(cnf)
    if isinstance(verdict, Satisfiable):
        return Moment(tuple(i for i in range(len(lanes)) if verdict.model[i]))
    if not isinstance(verdict, Unsatisfiable):
        raise AssertionError("the solver gave up although it was to hand over")
    proof = verdict.proof
    if not isinstance(check_proof(cnf, proof), Accepted):
        raise AssertionError("the solver's proof was not accepted")
    digest = hashlib.sha256(cnf.offsets.tobytes() + cnf.literals.tobytes())
    digest.update(proof.offsets.tobytes() + proof.literals.tobytes())
    return OrderProof(edges, len(lanes) + 1, len(proof), digest.hexdigest())


def _failure(machine: PlanMachine, lanes: Sequence[int], edges: Sequence[Edge]) -> Circuit:
    """One input per step, whether it is done; one output, whether something fails then."""
    builder = CircuitBuilder(len(lanes))
    bits = _state_bits(builder, machine, lanes)
    failed = builder.embed(machine.violation, bits)[0]
    for i, lane in enumerate(lanes):
        ready = builder.not_(i)
        for earlier, later in edges:
            if later == i:
                ready = builder.and_(ready, earlier)
        holds = _precondition(builder, machine, lane, bits)
        failed = builder.or_(failed, builder.and_(ready, builder.not_(holds)))
    return builder.build([failed])


def _state_bits(builder: CircuitBuilder, machine: PlanMachine, lanes: Sequence[int]) -> list[int]:
    """Each state bit as a function of which steps are done."""
    zero = builder.const(False)
    bits = [zero] * machine.layout.n_bits
    for i, lane in enumerate(lanes):
        taken = machine.lanes[lane]
        for bit in _members(taken.sets | taken.clears):
            bits[bit] = builder.mux(i, bits[bit], builder.const(bool(taken.sets >> bit & 1)))
    return bits


def _precondition(
    builder: CircuitBuilder, machine: PlanMachine, lane: int, bits: Sequence[int]
) -> int:
    """Whether a lane's precondition holds and its handles are bound."""
    taken, layout = machine.lanes[lane], machine.layout
    compiled = machine.tools[taken.tool]
    atoms = [bits[layout.bit(atom, taken.slots)] for atom in compiled.pre_atoms]
    holds = builder.embed(compiled.pre, atoms)[0]
    for arg, handle in compiled.tool.handles.items():
        bound = bits[layout.bound_bit(handle.object, taken.slots[arg])]
        holds = builder.and_(holds, bound)
    return holds


def _members(mask: int) -> list[int]:
    return [bit for bit in range(mask.bit_length()) if mask >> bit & 1]
