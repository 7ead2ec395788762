"""Proof that two circuits are equal: SAT on their miter, and a check of the solver's proof."""

from __future__ import annotations

from dataclasses import dataclass

from bem_kernel.circuits.circuit import Circuit
from bem_kernel.errors import SynthesisError
from bem_kernel.logic.proof import Proof
from bem_kernel.logic.tseitin import inputs_of_model, miter
from bem_kernel.proofs.check import Accepted, check_proof
from bem_kernel.sat.check import DEFAULT_BUDGET, Satisfiable, Unsatisfiable, check


@dataclass(frozen=True, eq=False)
class Equal:
    """The circuits are equal wherever it counts.

    Attributes:
        proof: of the miter's having no model, accepted by the checker.
        solver: who made it.
    """

    proof: Proof
    solver: str


@dataclass(frozen=True)
class Different:
    """The circuits differ.

    Attributes:
        inputs: on which they do, a bit for each input.
    """

    inputs: tuple[bool, ...]


def compare(
    left: Circuit, right: Circuit, care: Circuit | None = None, *, budget: int = DEFAULT_BUDGET
) -> Equal | Different:
    """Prove two circuits equal, or find inputs on which they differ.

    Args:
        left: one circuit.
        right: another of the same shape.
        care: a circuit of one output; only inputs where it is 1 count. None for all inputs.
        budget: conflicts of our own solver before CaDiCaL takes over, which has no limit.

    Raises:
        CnfError: the circuits do not have the same shape.
        SynthesisError: the solver's proof does not hold.

    Source: BEM core spec 9.4.
    """
    encoded = miter(left, right, care)
    verdict = check(encoded.cnf, budget=budget)
    if isinstance(verdict, Satisfiable):
        values = inputs_of_model(encoded, verdict.model)
        return Different(tuple(bool(value) for value in values))
    assert isinstance(verdict, Unsatisfiable), "CaDiCaL decides"
    outcome = check_proof(encoded.cnf, verdict.proof)
    if not isinstance(outcome, Accepted):
        raise SynthesisError(
            f"step {outcome.step} of the proof by {verdict.solver}: {outcome.reason}",
            where="equivalence",
            fix="report this; the circuits may differ",
        )
    return Equal(verdict.proof, verdict.solver)
