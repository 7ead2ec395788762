"""What one decoded answer is worth, and the same over a cell of the table.

An output that did not finish is a failure in every metric, whatever its text says.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from bb_core.ged import graph_edit_distance
from bb_core.plan import Plan, PlanGraphError, PlanSyntaxError, parse_plan, plan_graph
from bb_domains.domain import Domain
from bb_domains.errors import PlanGrammarError
from bb_domains.grammar import parse_with_lark
from bb_runtime.check import check_plan
from bb_runtime.decode import Decoded
from bb_runtime.errors import PlanRefused
from bb_train.statistics import Estimate, mean_estimate, proportion


@dataclass(frozen=True)
class Score:
    """Metrics of one answer.

    Attributes:
        finished: the end of sequence came within the budget.
        syntax: finished, and the text is a sentence of the domain's grammar.
        admissible: the plan checker certifies it.
        exact: it equals the reference, step by step.
        ged: graph edit distance to the reference's graph; a missing plan costs `missing_cost`.
        tokens: generated, end of sequence included.
        seconds: its share of its batch's time.
    """

    finished: bool
    syntax: bool
    admissible: bool
    exact: bool
    ged: float
    tokens: int
    seconds: float


@dataclass(frozen=True)
class Cell:
    """One method with or without masks on one split."""

    n: int
    exact: Estimate
    ged: Estimate
    syntax: Estimate
    admissible: Estimate
    finished: Estimate
    tokens_per_s: float


def missing_cost(reference: Plan) -> float:
    """What no plan at all costs: twice the nodes and edges of the reference.

    Once to delete what was wanted, once for the nothing in its place; so it is never better to
    say nothing than to give a plan of the right size with everything in it wrong.
    """
    graph = plan_graph(reference)
    return 2.0 * (graph.number_of_nodes() + graph.number_of_edges())


def score(domain: Domain, reference: Plan, decoded: Decoded) -> Score:
    """Judge one answer against its reference plan.

    Args:
        domain: whose checker decides syntax and admissibility.
        reference: the plan that was wanted.
        decoded: the answer.
    """
    plan = plan_of(decoded)
    return Score(
        finished=decoded.finished,
        syntax=decoded.finished and is_sentence(domain, decoded.text),
        admissible=decoded.finished and is_admitted(domain, decoded.text),
        exact=plan == reference,
        ged=_distance(reference, plan),
        tokens=decoded.tokens,
        seconds=decoded.seconds,
    )


def summarise(scores: Sequence[Score]) -> Cell:
    """The metrics of a cell over its examples."""
    n = len(scores)
    return Cell(
        n=n,
        exact=proportion(sum(s.exact for s in scores), n),
        ged=mean_estimate([s.ged for s in scores]),
        syntax=proportion(sum(s.syntax for s in scores), n),
        admissible=proportion(sum(s.admissible for s in scores), n),
        finished=proportion(sum(s.finished for s in scores), n),
        tokens_per_s=sum(s.tokens for s in scores) / sum(s.seconds for s in scores),
    )


def plan_of(decoded: Decoded) -> Plan | None:
    """The plan an answer is, or None: unfinished, or no plan."""
    if not decoded.finished:
        return None
    try:
        return parse_plan(decoded.text)
    except PlanSyntaxError:
        return None


def is_sentence(domain: Domain, text: str) -> bool:
    """Whether a text is a sentence of the domain's grammar: its tools, with typed arguments."""
    try:
        parse_with_lark(domain.grammar, text)
    except PlanGrammarError:
        return False
    return True


def is_admitted(domain: Domain, text: str) -> bool:
    """Whether the plan checker certifies a text."""
    try:
        check_plan(domain, text)
    except PlanRefused:
        return False
    return True


def _distance(reference: Plan, plan: Plan | None) -> float:
    if plan is None:
        return missing_cost(reference)
    try:
        return graph_edit_distance(plan_graph(plan), plan_graph(reference))
    except PlanGraphError:
        return missing_cost(reference)
