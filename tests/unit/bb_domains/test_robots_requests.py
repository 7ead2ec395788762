"""Requests of the robots domain: what splits hold out, and plans that harm nobody."""

from __future__ import annotations

from bb_domains import robots
from bb_domains.robots.skins import skins
from bb_domains.robots.workflows import GOAL_KINDS, STAYING, n_steps
from bb_domains.simulation import SPLITS


def test_charging_comes_first_and_home_last() -> None:
    found = set()
    for split in SPLITS:
        for request in robots.requests(split, 12, 3):
            kinds = [goal["kind"] for goal in request.label["goals"]]
            assert "charge" not in kinds[1:]
            assert "home" not in kinds[:-1]
            assert len(request.plan.steps) == n_steps(kinds)
            found |= set(kinds)
    assert found == set(GOAL_KINDS)


def test_every_skin_says_every_goal_and_manner() -> None:
    assert len(skins()) >= 8
    assert len(skins().of("unseen_wordings")) >= 2
    for skin in skins().values():
        said = [text for texts in skin.words["manner"].values() for text in texts]
        assert len(set(said)) == len(said), f"{skin.name}: two manners sound alike"
        assert set(skin.goals) == set(GOAL_KINDS)
        for kind in set(GOAL_KINDS) - set(STAYING):
            assert all("{manner}" in text for text in skin.goals[kind]), (skin.name, kind)
