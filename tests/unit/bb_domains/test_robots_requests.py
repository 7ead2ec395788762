"""Requests of the robots domain: what splits hold out, and plans that harm nobody."""

from __future__ import annotations

from functools import cache

import pytest

from bb_core.errors import BBError
from bb_core.plan import plan_text
from bb_domains import robots
from bb_domains.domain import Domain, make_domain
from bb_domains.grammar import parse_with_lark
from bb_domains.robots import planner
from bb_domains.robots.floors import HELD_OUT_LAYOUTS, LAYOUTS
from bb_domains.robots.planner import composition, held_out_pairs, is_training_text
from bb_domains.robots.policies import policy_names
from bb_domains.robots.skins import skins
from bb_domains.robots.workflows import GOAL_KINDS, STAYING, WORK, n_steps
from bb_domains.simulation import SPLITS, Request, record, try_plan


@cache
def requests_of(split: str) -> tuple[Request, ...]:
    return tuple(robots.requests(split, 12, 3))


@cache
def domain() -> Domain:
    return make_domain(robots.plan_schema())


@pytest.mark.parametrize("split", SPLITS)
def test_every_plan_is_a_sentence_admissible_and_harmless(split: str) -> None:
    machine = domain().machine
    for request in requests_of(split):
        parse_with_lark(domain().grammar, plan_text(request.plan))
        state = machine.initial()
        for step in request.plan.steps:
            state = machine.apply(state, step)
        assert machine.can_end(state)
        outcome = try_plan(robots.simulator(request), request.plan)
        assert outcome.done
        assert set(outcome.incidents.values()) == {0}
        assert len(request.plan.steps) == n_steps([g["kind"] for g in request.label["goals"]])


@pytest.mark.parametrize(
    ("split", "field", "held_out", "usual"),
    [
        ("unseen_wordings", "skin", [s.name for s in skins(held_out=True)], ["plain", "terse"]),
        ("unseen_layouts", "layout", HELD_OUT_LAYOUTS, LAYOUTS),
        ("unseen_policies", "policy", policy_names(held_out=True), policy_names(held_out=False)),
    ],
)
def test_a_split_holds_one_thing_out(
    split: str, field: str, held_out: list[str], usual: list[str]
) -> None:
    assert not set(held_out) & set(usual)
    for other in SPLITS:
        for request in requests_of(other):
            assert (getattr(request, field) in held_out) == (other == split), other


def test_compositions_held_out_are_in_their_split_only() -> None:
    for split in SPLITS:
        for request in requests_of(split):
            kinds = [goal["kind"] for goal in request.label["goals"]]
            assert "charge" not in kinds[1:]
            assert "home" not in kinds[:-1]
            work = tuple(kind for kind in kinds if kind in WORK)
            unseen = len(work) == 3 or work in held_out_pairs()
            assert unseen == (split == "unseen_compositions"), (split, kinds)


def test_training_sees_every_kind_first_and_second() -> None:
    seen = {(one, two) for one in WORK for two in WORK} - held_out_pairs()
    assert {one for one, _ in seen} == {two for _, two in seen} == set(WORK)
    assert len(held_out_pairs()) == 10


def test_no_text_comes_twice_and_the_same_seed_makes_the_same() -> None:
    again = tuple(robots.requests("train", 12, 3))
    assert again == requests_of("train")
    assert len({request.text for request in again}) == len(again)
    assert tuple(robots.requests("train", 3, 4)) != again[:3]


def test_no_text_of_training_is_anywhere_else() -> None:
    for split in SPLITS:
        for request in requests_of(split):
            assert is_training_text(request.text) == (split == "train"), request.text


def test_texts_say_what_the_plan_needs() -> None:
    for split in SPLITS:
        for request in requests_of(split):
            for goal in request.label["goals"]:
                for slot, value in goal.items():
                    if slot not in ("kind", "manner"):
                        assert str(value).lower() in request.text.lower(), (request.text, goal)


def test_every_skin_says_every_goal_and_manner() -> None:
    everybody = skins(held_out=False) + skins(held_out=True)
    assert len(everybody) >= 8
    assert len(skins(held_out=True)) >= 2
    for skin in everybody:
        said = [text for texts in skin.words["manner"].values() for text in texts]
        assert len(set(said)) == len(said), f"{skin.name}: two manners sound alike"
        assert set(skin.goals) == set(GOAL_KINDS)
        for kind in set(GOAL_KINDS) - set(STAYING):
            assert all("{manner}" in text for text in skin.goals[kind]), (skin.name, kind)


def test_a_trace_says_what_happened() -> None:
    request = next(r for r in requests_of("train") if r.label["goals"][0]["kind"] != "charge")
    trace = record("robots", robots.simulator(request), request)
    assert [step.tool for step in trace.steps] == [step.tool for step in request.plan.steps]
    assert trace.state_before["robot"]["docked"]
    assert trace.state_after["seconds"] > trace.state_before["seconds"]
    assert trace.label["policy"] == request.policy


def test_running_out_of_requests_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(planner, "render", lambda *_: "The same.")
    monkeypatch.setattr(planner, "MOST_DRAWS", 2)
    monkeypatch.setattr(planner, "MOST_WORLDS", 4)
    with pytest.raises(BBError, match="no new request found; ask for fewer"):
        list(robots.requests("dev", 30, 0))


def test_compositions_are_drawn_from_all_kinds() -> None:
    import random

    rng = random.Random(0)
    drawn = [composition("train", rng) for _ in range(300)]
    assert {kind for kinds in drawn for kind in kinds} == set(GOAL_KINDS)
