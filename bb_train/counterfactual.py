"""Counterfactual execution: a latent graph earns what its plan is worth beyond every other plan.

A request is made in a simulated world. The chosen plan and its alternatives are each checked, and
run, if the checker certifies them, in a copy of that world; a plan that is refused runs nowhere.
All copies begin alike and simulators are functions of their start and of the calls, so the runs
are paired: whatever chance there is in a world, it is the same for all.

    score  = goals met − unasked changes, incidents, failures, refusals and cost, each at its price
    reward = score(chosen) − max score(alternatives) − price · edits(latent graph, what was run)

So a graph that says something else than what was run pays, and one that says the truth about a
plan that any other plan would have equalled earns nothing. Alternatives are other samples, the
base rail's plan, and those of `contradictions`: the chosen plan with a step or an edge of the
latent graph taken away. Where these do as well, what the graph says was not what the plan is good
for.

What was asked for is read off the world, for any domain: the state that the request's own plan
leads to, where that differs from the state before, and the answers of the reads that its plan ends
in. How plans that were tried move the weights is `decision_loss`.

Sources: builderbrain 2, 3 (counterfactual execution, fake graphs pay); Kool, van Hoof, Welling 2019
(other samples as the baseline).
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import networkx as nx
import torch
from torch import Tensor

from bb_core.errors import BBError
from bb_core.plan import Plan, Step, parse_reference, plan_text
from bb_domains.domain import Domain
from bb_domains.guards import holds
from bb_domains.simulation import Request, Simulator, Trial
from bb_domains.tools import ToolFailed
from bb_runtime.check import Certificate, check_plan, verify_certificate
from bb_runtime.errors import PlanRefused
from bb_train.objectives.errors import ShapeError
from bb_train.objectives.graphs import edit_distances, skeleton
from bb_train.objectives.term import Term, mean_term


class CounterfactualError(BBError):
    """Plans that cannot be compared: no alternative, no goals, or a world that runs change."""


@dataclass(frozen=True)
class Prices:
    """What things are worth, in units of all goals of the request met.

    Attributes:
        unasked: of each value of the state that the request's plan would have left alone.
        incident: of each incident that the domain counts.
        failure: of a call that fails, or a guard that does not hold; it ends the run.
        refusal: of a plan that the checker refuses.
        cost: of each unit of the domain's own costs of calls.
        graph: of a latent graph that has nothing in common with what was run.
    """

    unasked: float = 0.25
    incident: float = 0.5
    failure: float = 0.1
    refusal: float = 0.2
    cost: float = 0.01
    graph: float = 0.25

    def __post_init__(self) -> None:
        if not all(0 <= price < float("inf") for price in vars(self).values()):
            raise CounterfactualError(f"{self}", where="prices", fix="use 0 or more")


@dataclass(frozen=True)
class Goals:
    """What a request asks for.

    Attributes:
        before: the world's state, by JSON pointer.
        changes: values that are to be another, by pointer; None where there is to be none.
        reads: calls whose answers are wanted, with their resolved arguments, and how often.
    """

    before: Mapping[str, Any]
    changes: Mapping[str, Any]
    reads: Mapping[str, int]


@dataclass(frozen=True)
class Run:
    """What became of one plan.

    Attributes:
        plan: as it was given.
        refused: the rule by which the checker refused it; "" if it ran.
        made: the steps whose calls were made.
        failed: whether a call or a guard failed.
        goals: share of what was asked for that came about.
        unasked: values of the state changed that should not have been.
        incidents: how many happened.
        cost: of the calls made, in the domain's units.
        score: all this at its price.
    """

    plan: Plan
    refused: str
    made: tuple[Step, ...]
    failed: bool
    goals: float
    unasked: int
    incidents: int
    cost: int
    score: float


@dataclass(frozen=True)
class Verdict:
    """A chosen plan against its alternatives.

    Attributes:
        chosen: its run.
        alternatives: theirs, as they were given.
        margin: score of the chosen less the best alternative's.
        mismatch: edits between latent graph and what was run, per node and edge of both, 0 to 1.
        reward: margin less what the mismatch costs.
    """

    chosen: Run
    alternatives: tuple[Run, ...]
    margin: float
    mismatch: float
    reward: float


class Arena:
    """One request in its world, in which plans are compared; the world itself never changes.

    Args:
        domain: whose tools, costs and guards hold.
        request: with the plan that says what is asked for.
        world: in which it is made, such as `kit.make_simulator(domain, request)`.
        prices: of what can happen.

    Raises:
        CounterfactualError: the request's own plan is refused, or fails in this world.
    """

    def __init__(
        self, domain: Domain, request: Request, world: Simulator, prices: Prices = Prices()
    ) -> None:
        self.domain, self.prices = domain, prices
        self._world = world
        self._start = _frozen(world)
        self._trial = Trial.of(domain.schema)
        self._runs: dict[str, Run] = {}
        self.goals = self._goals(request)

    def run(self, plan: Plan) -> Run:
        """Run a plan in a copy of the world, if the checker certifies it.

        Raises:
            CounterfactualError: the run has changed the world that it was a copy of.
            BBError: the simulator cannot make a call.
        """
        text = plan_text(plan)
        if text not in self._runs:
            self._runs[text] = self._tried(plan)
        return self._runs[text]

    def judge(self, chosen: Plan, graph: nx.DiGraph, alternatives: Sequence[Plan]) -> Verdict:
        """Compare a plan with others; the order of the others does not matter.

        Args:
            chosen: the plan that was written.
            graph: what the call-graph head said, as from `bb_nn.call_graph.likeliest`.
            alternatives: at least one.

        Raises:
            CounterfactualError: there is no alternative, or see `run`.
        """
        if not alternatives:
            raise CounterfactualError(
                "no alternative", where="counterfactual execution",
                fix="give the base rail's plan, samples, or `contradictions`",
            )  # fmt: skip
        mine, others = self.run(chosen), tuple(self.run(plan) for plan in alternatives)
        margin = mine.score - max(run.score for run in others)
        mismatch = _mismatch(graph, mine)
        return Verdict(mine, others, margin, mismatch, margin - self.prices.graph * mismatch)

    def _goals(self, request: Request) -> Goals:
        before = dict(_leaves(self._world.state()))
        try:
            certificate = check_plan(self.domain, request.plan, repair=False)
        except PlanRefused as refused:
            raise self._unfit(request, str(refused)) from refused
        twin = self._world.copy()
        carried = self._carried(twin, request.plan, certificate)
        if carried.failed:
            raise self._unfit(request, f"step {len(carried.made)} of it fails")
        after = dict(_leaves(twin.state()))
        keys = {**before, **after}
        changes = {k: after.get(k) for k in keys if before.get(k) != after.get(k)}
        return Goals(before, changes, carried.reads)

    def _unfit(self, request: Request, why: str) -> CounterfactualError:
        return CounterfactualError(
            f"its own plan does not run: {why}", where=f"request {request.id}",
            fix="make the request for this world",
        )  # fmt: skip

    def _tried(self, plan: Plan) -> Run:
        try:
            certificate = check_plan(self.domain, plan, repair=False)
        except PlanRefused as refused:
            nothing = 0.0 if self.goals.changes or self.goals.reads else 1.0
            score = nothing - self.prices.refusal
            return Run(plan, refused.rule, (), False, nothing, 0, 0, 0, score)
        twin = self._world.copy()
        carried = self._carried(twin, plan, certificate)
        if _frozen(self._world) != self._start:
            raise CounterfactualError(
                "a run in a copy changed the world itself",
                where=f"simulator of domain {self.domain.name}",
                fix="make its copy() share nothing that changes",
            )
        return self._scored(plan, carried, dict(_leaves(twin.state())))

    def _scored(self, plan: Plan, carried: _Carried, after: Mapping[str, Any]) -> Run:
        goals, before = self.goals, self.goals.before
        met = sum(after.get(key) == value for key, value in goals.changes.items())
        met += sum((Counter(goals.reads) & Counter(carried.reads)).values())
        wanted = len(goals.changes) + sum(goals.reads.values())
        keys = {**before, **after}.keys() - goals.changes.keys()
        unasked = sum(before.get(key) != after.get(key) for key in keys)
        share = met / wanted if wanted else 1.0
        cost = sum(self.domain.schema.tools[step.tool].cost for step in carried.made)
        p = self.prices
        score = share - p.unasked * unasked - p.incident * carried.incidents
        score -= p.failure * carried.failed + p.cost * cost
        return Run(
            plan, "", carried.made, carried.failed, share, unasked, carried.incidents, cost, score
        )

    def _carried(self, world: Simulator, plan: Plan, certificate: Certificate) -> _Carried:
        """Make a certified plan's calls in a world of its own, up to the first that fails."""
        verify_certificate(certificate, self.domain, plan)
        tools, before = self.domain.schema.tools, sum(world.incidents().values())
        results: dict[str, Mapping[str, Any]] = {}
        made, reads, failed = list[Step](), Counter[str](), False
        for step in plan.steps:
            args, known = dict(step.args), dict(step.args)
            for arg in tools[step.tool].handles:
                reference = parse_reference(step.args[arg])
                assert reference is not None, "the checker has seen to that"
                known[arg] = results[reference.step]
                args[arg] = _within(results[reference.step], reference.path)
            if not all(holds(guard, known) for guard in self._trial.guards[step.tool]):
                failed = True
                break
            made.append(step)
            try:
                results[step.id] = world.call(step.tool, args)
            except ToolFailed:
                failed = True
                break
            if tools[step.tool].effect == "read" and tools[step.tool].binds is None:
                reads[f"{step.tool} {json.dumps(args, sort_keys=True)}"] += 1
        incidents = sum(world.incidents().values()) - before
        return _Carried(tuple(made), failed, incidents, reads)


@dataclass(frozen=True)
class _Carried:
    """Calls of a plan that were made, and what came of them."""

    made: tuple[Step, ...]
    failed: bool
    incidents: int
    reads: Mapping[str, int]


def decision_loss(log_chances: Tensor, scores: Tensor, temperature: float = 0.05) -> Term:
    """The loss of choosing among plans that were all tried.

        value      Σ_j q_j (max u − u_j)                        expected regret, q = softmax(ℓ)
        surrogate  −τ log Σ_j q_j exp((u_j − max u) / τ)

    The slope is −τ (q* − q) with q*_j ∝ q_j exp(u_j / τ). For large τ that is the score-function
    gradient, summed over all plans tried rather than sampled, and a baseline, the best
    alternative's score among them, cancels. For small τ it does not fade where q is sure of a bad
    plan, as the score function's does. Unlike a margin it is still where all plans do equally well,
    and it does not choose among the best.

    Args:
        log_chances: (N, J) of each request's plans under the model, up to a constant for each
            request; per token, so that long plans compare with short ones. -inf for no plan.
        scores: (N, J) from `Arena.run`.
        temperature: τ, in units of the score.

    Raises:
        ShapeError: not two matrices of one shape.
        CounterfactualError: the temperature is not above 0, or a request has no plan.
    """
    if log_chances.dim() != 2 or log_chances.shape != scores.shape:
        raise ShapeError(
            f"log-chances {tuple(log_chances.shape)}, scores {tuple(scores.shape)}",
            where="decision_loss", fix="give (N, J) of both",
        )  # fmt: skip
    tried = log_chances.detach() > -torch.inf
    if not temperature > 0 or not bool(tried.any(-1).all()):
        raise CounterfactualError(
            f"temperature {temperature}, {int((~tried.any(-1)).sum())} requests without a plan",
            where="decision_loss", fix="use a temperature above 0, and a plan for each request",
        )  # fmt: skip
    scores = scores.to(log_chances).masked_fill(~tried, -torch.inf)
    behind = (scores - scores.max(-1, keepdim=True).values).masked_fill(~tried, 0.0)
    log_q = log_chances.log_softmax(-1)
    regret = -(log_q.exp() * behind).sum(-1)
    return mean_term(regret, -temperature * (log_q + behind / temperature).logsumexp(-1))


def _mismatch(graph: nx.DiGraph, run: Run) -> float:
    """Edits between a latent graph and what was run, per node and edge of both: 0 to 1."""
    wanted = skeleton(Plan(run.made))
    size = sum(g.number_of_nodes() + g.number_of_edges() for g in (graph, wanted))
    return edit_distances([graph], [wanted])[0].cost / max(1, size)


def _frozen(world: Simulator) -> str:
    return json.dumps([world.state(), world.incidents()], sort_keys=True)


def _leaves(value: Any, pointer: str = "") -> Iterator[tuple[str, Any]]:
    """The values of JSON data that hold no others, by pointer."""
    if isinstance(value, Mapping) and value:
        for key, item in value.items():
            yield from _leaves(item, f"{pointer}/{key}")
    elif isinstance(value, (list, tuple)) and value:
        for i, item in enumerate(value):
            yield from _leaves(item, f"{pointer}/{i}")
    else:
        yield pointer, value


def _within(value: Any, path: str) -> Any:
    for part in path.split("."):
        value = value[part]
    return value
