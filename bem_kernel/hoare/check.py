"""HOARE_CHECK: do the annotations of a program hold?

Each obligation P_u => WP is a formula whose models are the violations. It holds if the formula has
none, and that counts only once the solver's proof has been followed by `proofs.check`. A model
becomes a counterexample, and the machine replays it. What is proved is partial: that a program
ends is not.

Source: BEM core spec 9.2, 3.4; decision 0010.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from bem_kernel.errors import HoareError
from bem_kernel.hoare.annotations import Annotations
from bem_kernel.hoare.obligations import Annotated, Node, Obligation
from bem_kernel.hoare.replay import Counterexample, Reply, replay
from bem_kernel.hoare.words import Formula, number
from bem_kernel.isa.core import signed
from bem_kernel.isa.program import Program
from bem_kernel.isa.trace import Step
from bem_kernel.proofs.check import Accepted, check_proof
from bem_kernel.sat.check import MAX_SMALL_VARS, Satisfiable, Solver, Unknown
from bem_kernel.sat.check import check as sat_check

DEFAULT_BUDGET = 20_000
SIMPLEST_BUDGET = 200
"""Most conflicts for each bit of a counterexample that might be 0."""


@dataclass(frozen=True)
class Refutation:
    """A claim that does not hold.

    Attributes:
        example: from where to where.
        steps: what the machine did when it replayed it.
    """

    example: Counterexample
    steps: tuple[Step, ...]


@dataclass(frozen=True)
class Edge:
    """A way from one annotated node to the next, or to a violation in between.

    Attributes:
        source: name of the node.
        target: name of the next, or what is claimed in between.
        path: the instructions.
        holds: P_u => WP; None if the solver gave up.
        equal: P_u = WP, the equality of the specification; None for a claim in between, or if the
            solver gave up.
    """

    source: str
    target: str
    path: tuple[int, ...]
    holds: bool | None
    equal: bool | None


@dataclass(frozen=True)
class Report:
    """The verdict on a program.

    Attributes:
        edges: everything that had to be proved.
        exact: for each annotated node: whether its annotation is the weakest precondition of all
            its edges together; None if the solver gave up.
        refutations: one for each edge that does not hold.
        proofs: how many UNSAT proofs were followed.
        unreached: annotated nodes that no path comes to; nothing was asked of them.
    """

    edges: tuple[Edge, ...]
    exact: Mapping[str, bool | None]
    refutations: tuple[Refutation, ...]
    proofs: int
    unreached: tuple[str, ...]

    @property
    def accepted(self) -> bool:
        """Whether every edge was proved."""
        return all(edge.holds for edge in self.edges)


def hoare_check(
    program: Program,
    annotations: Annotations,
    *,
    budget: int = DEFAULT_BUDGET,
    hand_over: bool = True,
) -> Report:
    """Check the annotations of a program.

    It is about the program on one lane, in the memory that `Machine(program)` makes.

    Args:
        program: what runs.
        annotations: what is claimed of it.
        budget: most conflicts of our own solver for each edge.
        hand_over: let CaDiCaL go on, without a limit, where the budget does not do.

    Raises:
        HoareError: the annotations do not fit the program, a loop has none, or the program is too
            large for the model.

    Source: BEM core spec 3.4, HOARE_CHECK.
    """
    annotated = Annotated(program, annotations)
    solver = _Solver(budget, hand_over)
    edges: list[Edge] = []
    exact: dict[str, bool | None] = {}
    refutations: list[Refutation] = []
    for node in annotated.nodes():
        found, refuted, weakest = _decide_node(annotated, node, solver)
        edges += found
        refutations += refuted
        exact[node.at.name] = _and(exact.get(node.at.name, True), weakest)
    unreached = tuple(name for name in annotated.names.values() if name not in exact)
    return Report(tuple(edges), exact, tuple(refutations), solver.proofs, unreached)


def _and(a: bool | None, b: bool | None) -> bool | None:
    if a is False or b is False:
        return False
    return None if a is None or b is None else True


@dataclass
class _Solver:
    """Decides whether a slot can be 1, and counts the proofs that were followed."""

    budget: int
    hand_over: bool
    proofs: int = 0

    def model(self, formula: Formula) -> dict[int, bool] | bool | None:
        """The inputs that make a slot 1; False if there are none, None if the solver gave up."""
        cnf = formula.cnf
        verdict = sat_check(cnf, budget=self.budget, hand_over=self.hand_over)
        if isinstance(verdict, Satisfiable):
            values = _simplest(formula, verdict.model)[: len(formula.inputs)].tolist()
            return dict(zip(formula.inputs, values, strict=True))
        if isinstance(verdict, Unknown):
            return None
        outcome = check_proof(cnf, verdict.proof)
        if not isinstance(outcome, Accepted):
            raise HoareError(
                f"the proof of {verdict.solver} fails at step {outcome.step}: {outcome.reason}",
                where="hoare",
                fix="report the program: nothing is believed without a proof",
            )
        self.proofs += 1
        return False

    def impossible(self, formula: Formula) -> bool | None:
        """Whether a slot is never 1; None if the solver gave up."""
        model = self.model(formula)
        return None if model is None else model is False


def _simplest(formula: Formula, model: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """A model with as few and as low ones among the inputs as can be, for people to read.

    Inputs are set to 0 greedily, the high bits of a word first; each attempt has a small budget.
    """
    cnf = formula.cnf
    if cnf.n_vars > MAX_SMALL_VARS:
        return model
    solver, fixed = Solver(cnf.n_vars), list[int]()
    solver.add(cnf)
    for variable in range(len(formula.inputs), 0, -1):
        if model[variable - 1]:
            verdict = solver.solve([*fixed, -variable], budget=SIMPLEST_BUDGET)
            if isinstance(verdict, Satisfiable):
                model = verdict.model
        fixed.append(variable if model[variable - 1] else -variable)
    return model


def _decide_node(
    annotated: Annotated, node: Node, solver: _Solver
) -> tuple[list[Edge], list[Refutation], bool | None]:
    """The edges from a node, those refuted, and whether its annotation is the weakest."""
    b = node.builder
    weakest = [b.or_(b.not_(o.condition), o.goal) for o in node.obligations]
    violated = [b.and_(node.assumed, b.not_(holds)) for holds in weakest]
    weaker = [b.and_(b.not_(node.assumed), holds) for holds in (*weakest, b.all(weakest))]
    formulas = b.formulas([*violated, *weaker])
    count = len(violated)
    edges, refutations = [], []
    for obligation, violation, other in zip(
        node.obligations, formulas[:count], formulas[count:-1], strict=True
    ):
        model = solver.model(violation)
        holds = None if model is None else model is False
        equal: bool | None = None
        if obligation.target is not None:
            equal = solver.impossible(other) if holds else holds
        edges.append(Edge(node.at.name, claim_text(obligation), obligation.path, holds, equal))
        if isinstance(model, dict):
            example = _example(node, obligation, model)
            steps = replay(annotated.layout, example, obligation.claim)
            refutations.append(Refutation(example, steps))
    exact = solver.impossible(formulas[-1])
    for edge in edges:
        exact = _and(exact, edge.holds)
    return edges, refutations, exact


def claim_text(obligation: Obligation) -> str:
    """What an obligation claims: the node it leads to, a trap that is not, or `always`."""
    if obligation.stop is not None:
        return f"no trap {obligation.stop.name}"
    return "always" if obligation.target is None else obligation.target.name


def _example(node: Node, obligation: Obligation, model: Mapping[int, bool]) -> Counterexample:
    one = node.builder.one
    replies = {}
    for index, choice in obligation.choices.items():
        words = {place: number(word, model, one) for place, word in choice.words.items()}
        value = 0 if choice.value is None else number(choice.value, model, one)
        replies[index] = Reply(words, value)
    return Counterexample(
        node.at.name,
        claim_text(obligation),
        node.at.pc,
        node.at.calls,
        tuple(signed(number(word, model, one)) for word in node.state.registers),
        {place: number(word, model, one) for place, word in node.state.words.items()},
        obligation.path,
        obligation.end,
        replies,
        obligation.stop,
    )
