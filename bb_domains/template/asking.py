"""Requests: which wishes, on which doors, in which words, and the plans that fulfil them."""

from __future__ import annotations

import random
from collections.abc import Iterator, Mapping, Sequence
from itertools import product
from pathlib import Path

from bb_core.plan import Plan, Step, step_id
from bb_domains.simulation import Request
from bb_domains.wordings import Goal, Vocabulary, load_skins, render

from .world import POLICIES, building

KINDS = ("open", "unlock", "announce")
VOICES = ("soft", "loud")
VOCABULARY = Vocabulary(KINDS, (("voice", VOICES),))
HELD_OUT = {("open", "announce"), ("unlock", "open"), ("announce", "unlock")}
"""Pairs of wishes that only `unseen_compositions` has."""


def made_requests(split: str, n: int, seed: int) -> Iterator[Request]:
    """`n` requests of a split; the same seed makes the same ones."""
    rng = random.Random(f"{seed}/{split}")
    for i in range(n):
        layout = "tower" if split == "unseen_layouts" else "house"
        policy = "announced" if split == "unseen_policies" else "free"
        blank = Request("", split, "", "", Plan(()), rng.getrandbits(32), layout, policy)
        locked = [number for number, is_locked in building(blank).locked.items() if is_locked]
        kinds = _kinds(split, rng)
        goals = [_goal(*each, rng) for each in zip(kinds, rng.sample(locked, 2), strict=False)]
        skin = load_skins(Path(__file__).parent / "wordings", VOCABULARY).draw(split, rng)
        text = " ".join(filter(None, (render(skin, goals, rng), POLICIES[policy])))
        plan = _plan(goals, announce=policy == "announced")
        label = {"goals": [goal.as_label() for goal in goals]}
        name = f"{split}-{i:05d}"
        yield Request(name, split, skin.name, text, plan, blank.seed, layout, policy, label)


def _kinds(split: str, rng: random.Random) -> Sequence[str]:
    if split == "unseen_compositions":
        return rng.choice(sorted(HELD_OUT))
    pairs = [pair for pair in product(KINDS, KINDS) if pair not in HELD_OUT]
    return rng.choice([*((kind,) for kind in KINDS), *pairs])


def _goal(kind: str, number: int, rng: random.Random) -> Goal:
    voice = {"voice": rng.choice(VOICES)} if kind == "announce" else {}
    return Goal(kind, {"number": number, **voice})


def _plan(goals: Sequence[Goal], announce: bool) -> Plan:
    steps = [Step("a", "sign_in")]
    for goal in goals:
        door = {"door": f"${step_id(len(steps))}.id"}
        steps.append(Step(step_id(len(steps)), "find_door", {"number": goal.slots["number"]}))
        if goal.kind == "announce":
            steps.append(_step(steps, "announce", {**door, "voice": goal.slots["voice"]}))
            continue
        if goal.kind == "open" and announce:
            steps.append(_step(steps, "announce", {**door, "voice": "soft"}))
        steps.append(_step(steps, "unlock", door))
        if goal.kind == "open":
            steps.append(_step(steps, "open", door))
    return Plan(tuple(steps))


def _step(steps: Sequence[Step], tool: str, args: Mapping[str, object]) -> Step:
    return Step(step_id(len(steps)), tool, args)
