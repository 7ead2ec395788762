"""Action models of the demonstration service's tools, learned from its own traces."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from random import Random

import pytest

from bb_core.errors import BBError
from bb_core.trace import Trace, load_traces, save_traces
from bb_domains.api_json import plan_schema
from bb_domains.api_json.demo import running_demo
from bb_domains.api_json.exploration import TOOLS, Explorer
from bb_domains.api_json.in_process import InProcessService
from bb_domains.api_json.planner import World
from bb_domains.api_json.trials import Trials
from bb_domains.declared import DeclaredTools
from bb_domains.observations import attempts_of, possible
from bb_domains.tools import ToolFailed
from bb_domains.vocabulary import Vocabulary, fluent_names, vocabulary_of
from bem_kernel.learning.action_model import ActionModel, Verdict, learn_action, learn_actions
from bem_kernel.learning.action_proof import justify
from bem_kernel.learning.action_text import expression
from bem_kernel.learning.action_traces import Attempt, by_action
from bem_kernel.learning.refinement import refine

COVERAGE = 50  # traces of each tool
HELD_OUT = 10_000


@dataclass(frozen=True)
class Learned:
    """Attempts at each tool, and what they speak about."""

    attempts: Mapping[str, Sequence[Attempt]]
    vocabulary: Vocabulary

    def models(self, n: int) -> dict[str, ActionModel]:
        return {tool: learn_action(group[:n]) for tool, group in self.attempts.items()}


def explored(seed: int, n: int) -> list[Trace]:
    service = InProcessService(seed)
    try:
        return list(Explorer(World.read(service), service.session, seed).explore(n))
    finally:
        service.close()


@pytest.fixture(scope="module")
def learned() -> Learned:
    traces = explored(1, 60)
    vocabulary = vocabulary_of(traces, fluent_names(plan_schema()))
    return Learned(by_action(attempts_of(traces, vocabulary)), vocabulary)


def tried(models: Mapping[str, ActionModel], attempts: Sequence[Attempt]) -> tuple[int, float]:
    """Failures that are admitted, and the share of the successes that is."""
    admitted = [models[a.action].verdict(a.before) is Verdict.ADMITTED for a in attempts]
    unsafe = sum(yes and not a.ok for yes, a in zip(admitted, attempts, strict=True))
    right = sum(yes and a.ok for yes, a in zip(admitted, attempts, strict=True))
    return unsafe, right / sum(a.ok for a in attempts)


def test_explored_traces_hold_successes_and_failures_of_every_tool(tmp_path: Path) -> None:
    traces = explored(3, 40)
    assert {step.tool for trace in traces for step in trace.steps} == set(TOOLS)
    for tool in set(TOOLS) - {"login"}:
        assert {s.ok for trace in traces for s in trace.steps if s.tool == tool} == {True, False}
    again = explored(3, 40)
    for one, other in zip(traces, again, strict=True):
        assert [replace(s, t_s=0) for s in one.steps] == [replace(s, t_s=0) for s in other.steps]
    save_traces(tmp_path / "traces.jsonl", traces)
    assert load_traces(tmp_path / "traces.jsonl") == traces


def test_rules_without_http_refuse_as_the_service_does() -> None:
    service = InProcessService(0)
    session = service.session()
    with pytest.raises(ToolFailed, match="answered 401: log in first"):
        session.call("get_order", {"number": 1000})
    session.call("login", {})
    with pytest.raises(ToolFailed, match="answered 404: there is no such order"):
        session.call("track_shipment", {"order": "nothing"})
    order = service.orders()[0]
    assert session.call("get_order", {"number": order["number"]})["id"] == order["id"]
    other = service.session()
    other.call("login", {})
    with pytest.raises(ToolFailed, match="answered 403: this session has not looked"):
        other.call("track_shipment", {"order": order["id"]})
    service.close()


def test_an_explorer_runs_out_of_customers() -> None:
    service = InProcessService(0)
    world = World.read(service)
    few = replace(world, emails=dict(list(world.emails.items())[:1]))
    explorer = Explorer(few, service.session, 0)
    explorer.ground(1)
    with pytest.raises(BBError, match="no order or customer is left"):
        explorer.ground(1)
    service.close()


def test_fifty_traces_of_each_tool_admit_what_is_admissible(learned: Learned) -> None:
    assert min(map(len, learned.attempts.values())) >= COVERAGE
    models = learned.models(COVERAGE)
    held_out = attempts_of(explored(2, 60), learned.vocabulary)
    unsafe, admitted = tried(models, held_out)
    assert unsafe == 0
    assert admitted >= 0.9
    few = tried(learned.models(5), held_out)
    assert few[0] == 0 and few[1] < admitted


def test_guards_and_effects_are_learned_with_the_preconditions(learned: Learned) -> None:
    models = learn_actions(a for group in learned.attempts.values() for a in group).models
    refund = expression(models["refund_order"]).split(" & ")
    assert {"owner_confirmed(order)", "!refunded(order)", "!status.cancelled(order)"} <= {*refund}
    assert "amount.at_most.total(order)" in refund
    (when,) = [
        effect.when
        for effect in models["set_priority"].effects
        if effect.value and effect.fact == "priority.overnight(order)"
    ]
    assert when is not None
    assert "level.overnight" in {models["set_priority"].literal(c[0]) for c in when.conjunctions}
    assert ("found(self)", True) in [(e.fact, e.value) for e in models["find_customer"].effects]


def test_the_traces_justify_every_model(learned: Learned) -> None:
    for tool, model in learned.models(COVERAGE).items():
        assert justify(model, learned.attempts[tool][:COVERAGE]).claims


@pytest.mark.slow
def test_questions_to_the_service_do_what_many_traces_do(learned: Learned) -> None:
    tools = ("refund_order", "cancel_order", "confirm_owner")
    few = {tool: _to_first_success(learned.attempts[tool]) for tool in tools}
    service = InProcessService(7)
    trials = Trials(Explorer(World.read(service), service.session, 7), learned.vocabulary)
    refined = {
        tool: refine(
            few[tool],
            trials,
            possible=possible(tool, learned.vocabulary),
            max_questions=100,
            n_random=10,
        ).model
        for tool in tools
    }
    service.close()
    held_out = [a for a in attempts_of(explored(2, 60), learned.vocabulary) if a.action in tools]
    before = tried({tool: learn_action(few[tool]) for tool in tools}, held_out)
    after = tried(refined, held_out)
    assert (before[0], after[0]) == (0, 0)
    assert before[1] < 0.3 and after[1] > 0.85


def _to_first_success(attempts: Sequence[Attempt]) -> Sequence[Attempt]:
    return attempts[: next(i for i, each in enumerate(attempts, 1) if each.ok)]


@pytest.mark.slow
def test_none_of_ten_thousand_held_out_states_is_admitted_wrongly(learned: Learned) -> None:
    held_out = attempts_of(explored(2, 440), learned.vocabulary)
    assert len(held_out) >= HELD_OUT
    for n in (1, 2, 5, 10, 20, COVERAGE):
        unsafe, admitted = tried(learned.models(n), held_out)
        assert unsafe == 0
    assert admitted >= 0.9


def uniform(declared: DeclaredTools, tool: str, n: int, seed: int) -> Iterator[Attempt]:
    """A tool tried in states in which every fluent is as likely to hold as not."""
    rng = Random(seed)
    for _ in range(n):
        yield declared.attempt(tool, {f: rng.random() < 0.5 for f in declared.facts(tool)})


@pytest.mark.slow
def test_declared_preconditions_are_learned_exactly() -> None:
    declared = DeclaredTools(plan_schema())
    for seed, tool in enumerate(declared.schema.tools):
        traces = list(uniform(declared, tool, 1000, seed))
        enough = [i for i, each in enumerate(traces, 1) if each.ok][COVERAGE - 1]
        model = learn_action(traces[:enough])
        held_out = list(uniform(declared, tool, HELD_OUT // 12 + 1, 100 + seed))
        assert tried({tool: model}, held_out) == (0, 1.0)


@pytest.mark.parametrize("tool", ["login", "refund_order", "change_city", "add_note"])
def test_questions_to_a_declaration_find_it_again(tool: str) -> None:
    declared = DeclaredTools(plan_schema())
    found = refine(list(uniform(declared, tool, 10, 0)), declared)
    clauses = expression(found.model).split(" & ")
    assert sorted(clauses) == sorted(declared.schema.tools[tool].pre.split(" & "))
    assert found.settled is not None
    effects = [("" if e.value else "!") + e.fact for e in found.model.effects]
    assert effects == list(declared.schema.tools[tool].effects)


@pytest.mark.slow
def test_the_service_over_http_answers_as_in_process(tmp_path: Path) -> None:
    with running_demo(tmp_path / "service.db", seed=5) as demo:
        explorer = Explorer(World.read(demo.auditor), lambda: replace(demo.adapters), 5)
        over_http = list(explorer.explore(10))
    for one, other in zip(over_http, explored(5, 10), strict=True):
        assert [(s.tool, s.args, s.ok) for s in one.steps] == [
            (s.tool, s.args, s.ok) for s in other.steps
        ]
        for ours, theirs in zip(one.steps, other.steps, strict=True):
            assert ours.result == theirs.result or ours.tool == "login" or not ours.ok
