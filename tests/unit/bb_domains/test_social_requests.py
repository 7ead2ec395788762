"""Requests of the social domain: what splits hold out, and plans that do no harm."""

from __future__ import annotations

import random
import re
from functools import cache

import pytest

from bb_domains import social
from bb_domains.domain import Domain, make_domain
from bb_domains.lint import lint
from bb_domains.simulation import SPLITS, Request
from bb_domains.social.layouts import LAYOUTS
from bb_domains.social.policies import POLICIES, ROLES
from bb_domains.social.skins import skins
from bb_domains.social.workflows import GOAL_KINDS


@cache
def requests_of(split: str) -> tuple[Request, ...]:
    return tuple(social.requests(split, 14, 3))


@cache
def domain() -> Domain:
    return make_domain(social.plan_schema())


def test_channels_of_unseen_layouts_are_new_names() -> None:
    names = {
        held_out: {c.name for x in LAYOUTS.values() if x.held_out == held_out for c in x.channels}
        for held_out in (True, False)
    }
    assert not names[True] & names[False]


def test_whoever_is_to_approve_is_asked() -> None:
    for request in requests_of("unseen_policies"):
        asked = [s.args["approver"] for s in request.plan.steps if s.tool == "request_approval"]
        if request.policy == "lead_reads_everything":
            assert set(asked) == {"lead"}
    assert {role for p in POLICIES.values() for role in p.rules.approvers.values()} == set(ROLES)


def test_rules_that_are_stated_matter() -> None:
    for split in SPLITS:
        for request in requests_of(split):
            policy, goals = POLICIES[request.policy], request.label["goals"]
            occasions = {"answer": "answer", "message": "direct"}
            asked = {goal.get("audience", occasions.get(goal["kind"])) for goal in goals} - {None}
            usual = POLICIES["standard"].rules
            if policy.rules.approvers != usual.approvers:
                changed = {o for o in asked if policy.rules.approvers[o] != usual.approvers[o]}
                assert changed, request.text
            elif policy.rules != usual and policy.rules.shares:
                assert asked, request.text


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


def test_every_skin_says_every_goal_with_all_it_needs() -> None:
    assert len(skins()) >= 8
    needs = {
        "post": {"{text}", "{channel}", "{audience}"},
        "schedule": {"{text}", "{channel}", "{audience}", "{day}", "{hour}"},
        "answer": {"{number}", "{text}"},
        "message": {"{handle}", "{text}"},
        "follow": {"{handle}"},
    }
    for skin in skins().values():
        said = [text for texts in skin.words["audience"].values() for text in texts]
        assert len(set(said)) == len(said), f"{skin.name}: two audiences sound alike"
        for kind in GOAL_KINDS:
            for template in skin.goals[kind]:
                assert all(slot in template for slot in needs.get(kind, {"{number}"})), template


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
