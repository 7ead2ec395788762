"""What one decoded answer is worth, and the same over a cell of the table.

An output that did not finish is a failure in every metric, whatever its text says.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from bb_domains.domain import Domain
from bb_runtime.check import check_plan

from bb_core.ged import graph_edit_distance
from bb_core.plan import Plan, PlanGraphError, PlanSyntaxError, parse_plan, plan_graph
from bb_runtime.decode import Decoded
from bb_runtime.errors import PlanRefused
from bb_train.statistics import Estimate, mean_estimate, proportion


@dataclass(frozen=True)
class Score:
    """Metrics of one answer.

    Attributes:
        finished: the end of sequence came within the budget.
        syntax: finished, and the text is a plan of the domain's tools and argument types.
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
    plan = _plan_of(decoded)
    syntax, admissible = (False, False) if plan is None else _judge(domain, decoded.text)
    return Score(
        finished=decoded.finished,
        syntax=syntax,
        admissible=admissible,
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


def _plan_of(decoded: Decoded) -> Plan | None:
    if not decoded.finished:
        return None
    try:
        return parse_plan(decoded.text)
    except PlanSyntaxError:
        return None


def _judge(domain: Domain, text: str) -> tuple[bool, bool]:
    """(syntax valid, admissible) by the runtime's own checker."""
    try:
        check_plan(domain, text)
    except PlanRefused as refusal:
        return refusal.rule not in ("syntax", "tool", "arguments"), False
    return True, True


def _distance(reference: Plan, plan: Plan | None) -> float:
    if plan is None:
        return missing_cost(reference)
    try:
        return graph_edit_distance(plan_graph(plan), plan_graph(reference))
    except PlanGraphError:
        return missing_cost(reference)
