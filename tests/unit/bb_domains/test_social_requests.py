"""Requests of the social domain: what splits hold out, and plans that do no harm."""

from __future__ import annotations

import random
import re
from functools import cache

import pytest

from bb_core.errors import BBError
from bb_core.plan import plan_text
from bb_domains import social
from bb_domains.domain import Domain, make_domain
from bb_domains.grammar import parse_with_lark
from bb_domains.lint import lint
from bb_domains.simulation import SPLITS, Request, record, try_plan
from bb_domains.social import planner
from bb_domains.social.layouts import LAYOUTS, layout_named, layout_names
from bb_domains.social.planner import held_out_pairs
from bb_domains.social.policies import POLICIES, ROLES, policy_named, policy_names
from bb_domains.social.skins import skins
from bb_domains.social.workflows import GOAL_KINDS


@cache
def requests_of(split: str) -> tuple[Request, ...]:
    return tuple(social.requests(split, 14, 3))


@cache
def domain() -> Domain:
    return make_domain(social.plan_schema())


@pytest.mark.parametrize("split", SPLITS)
def test_every_plan_is_a_sentence_admissible_and_harmless(split: str) -> None:
    machine = domain().machine
    for request in requests_of(split):
        parse_with_lark(domain().grammar, plan_text(request.plan))
        state = machine.initial()
        for step in request.plan.steps:
            state = machine.apply(state, step)
        assert machine.can_end(state)
        outcome = try_plan(social.simulator(request), request.plan)
        assert outcome.done
        assert set(outcome.incidents.values()) == {0}


@pytest.mark.parametrize(
    ("split", "field", "held_out"),
    [
        ("unseen_wordings", "skin", [s.name for s in skins(held_out=True)]),
        ("unseen_layouts", "layout", layout_names(held_out=True)),
        ("unseen_policies", "policy", policy_names(held_out=True)),
    ],
)
def test_a_split_holds_one_thing_out(split: str, field: str, held_out: list[str]) -> None:
    assert len(held_out) >= 2
    for other in SPLITS:
        for request in requests_of(other):
            assert (getattr(request, field) in held_out) == (other == split), other


def test_compositions_held_out_are_in_their_split_only() -> None:
    for split in SPLITS:
        for request in requests_of(split):
            kinds = tuple(goal["kind"] for goal in request.label["goals"])
            unseen = len(kinds) == 3 or kinds in held_out_pairs()
            assert unseen == (split == "unseen_compositions"), (split, kinds)
    seen = {(one, two) for one in GOAL_KINDS for two in GOAL_KINDS} - held_out_pairs()
    assert {one for one, _ in seen} == {two for _, two in seen} == set(GOAL_KINDS)
    assert len(held_out_pairs()) == 16


def test_channels_of_unseen_layouts_are_new_names() -> None:
    names = {
        held_out: {c.name for n in layout_names(held_out=held_out) for c in LAYOUTS[n].channels}
        for held_out in (True, False)
    }
    assert not names[True] & names[False]


def test_texts_say_what_the_plan_needs() -> None:
    for split in SPLITS:
        for request in requests_of(split):
            for goal in request.label["goals"]:
                for slot, value in goal.items():
                    if slot not in ("kind", "audience"):
                        assert str(value).lower() in request.text.lower(), (request.text, goal)


def test_rules_other_than_the_standard_are_stated_and_matter() -> None:
    for split in SPLITS:
        for request in requests_of(split):
            says = POLICIES[request.policy].says
            assert not says or any(request.text.endswith(f" {one}") for one in says)
    for request in requests_of("unseen_policies"):
        if request.policy == "lead_reads_everything":
            asked = [s for s in request.plan.steps if s.tool == "request_approval"]
            assert asked
            assert {step.args["approver"] for step in asked} == {"lead"}


def test_texts_with_personal_data_are_redacted_and_only_those() -> None:
    found = 0
    for split in SPLITS:
        for request in requests_of(split):
            redactions = sum(step.tool == "redact" for step in request.plan.steps)
            texts = [goal["text"] for goal in request.label["goals"] if "text" in goal]
            personal = sum(any(v in t for v in request.label["private"]) for t in texts)
            assert redactions == personal, request.text
            found += redactions
    assert found > 5


def test_no_text_comes_twice_and_the_same_seed_makes_the_same() -> None:
    again = tuple(social.requests("train", 14, 3))
    assert again == requests_of("train")
    assert len({request.text for request in again}) == len(again)
    assert tuple(social.requests("train", 3, 4)) != again[:3]


def test_texts_of_train_are_in_no_other_split() -> None:
    for split in SPLITS:
        for request in requests_of(split):
            assert planner.is_training_text(request.text) == (split == "train")


def test_every_skin_says_every_goal_with_all_it_needs() -> None:
    everybody = skins(held_out=False) + skins(held_out=True)
    assert len(everybody) >= 8
    needs = {
        "post": {"{text}", "{channel}", "{audience}"},
        "schedule": {"{text}", "{channel}", "{audience}", "{day}", "{hour}"},
        "answer": {"{number}", "{text}"},
        "message": {"{handle}", "{text}"},
        "follow": {"{handle}"},
    }
    for skin in everybody:
        said = [text for texts in skin.words["audience"].values() for text in texts]
        assert len(set(said)) == len(said), f"{skin.name}: two audiences sound alike"
        for kind in GOAL_KINDS:
            for template in skin.goals[kind]:
                assert all(slot in template for slot in needs.get(kind, {"{number}"})), template


def test_a_trace_says_what_happened() -> None:
    request = next(r for r in requests_of("train") if r.label["goals"][0]["kind"] == "post")
    trace = record("social", social.simulator(request), request)
    assert [step.tool for step in trace.steps] == [step.tool for step in request.plan.steps]
    assert trace.state_before["published"] == []
    assert trace.state_after["published"]
    assert trace.label["incidents"]["pii_leaks"] == 0


def test_running_out_of_requests_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(planner, "render", lambda *_: "The same.")
    monkeypatch.setattr(planner, "MOST_DRAWS", 2)
    monkeypatch.setattr(planner, "MOST_WORLDS", 2)
    with pytest.raises(BBError, match="no new request found; ask for fewer"):
        list(social.requests("dev", 40, 0))


def test_names_of_layouts_and_policies_are_checked() -> None:
    with pytest.raises(BBError, match="no layout 'circus'; use one of club"):
        layout_named("circus")
    with pytest.raises(BBError, match="no policy 'none'; use one of standard"):
        policy_named("none")
    assert {role for p in POLICIES.values() for role in p.rules.approvers.values()} == set(ROLES)


def test_the_readme_block_runs() -> None:
    readme = (social.SCHEMA.parent / "README.md").read_text(encoding="utf-8")
    (block,) = re.findall(r"```python\n(.*?)```", readme, re.DOTALL)
    exec(compile(block, "README.md", "exec"), {})


def test_nothing_that_was_looked_up_is_a_dead_end(caplog: pytest.LogCaptureFixture) -> None:
    machine, rng = domain().machine, random.Random(0)
    for _ in range(20):
        state = machine.initial()
        for _ in range(machine.schema.limits.max_steps // 2):
            lane = rng.choice(machine.allowed(state.bits))
            state = machine.after(state, lane, str(rng.random()))
        assert machine.completion(state) is not None
    assert "no completion" not in caplog.text


def test_every_tool_can_be_used() -> None:
    assert [finding for finding in lint(domain()) if finding.where != "tools"] == []
    completion = domain().machine.completion(domain().machine.initial())
    assert completion is not None
    assert completion[0] == 2
