"""Requests of every split: which wishes, in which organisation, under which rules, in which words.

A request is kept if its plan succeeds in its world with every guard holding and no incident, so
what users ask for is what a careful desk would grant. Wording, layout, policy and composition are
drawn apart from each other; each `unseen_` split holds out one of them and keeps the others. No
text of `train` is one of another split, whatever the seeds.
"""

from __future__ import annotations

import random
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from bb_core.canonical import sha256_hex
from bb_core.errors import BBError
from bb_core.plan import Plan
from bb_domains.schema import PlanSchema
from bb_domains.simulation import Request, Trial
from bb_domains.social.layouts import layout_names
from bb_domains.social.people import make_person
from bb_domains.social.policies import POLICIES, Rules, policy_names
from bb_domains.social.records import AUDIENCES, DAYS
from bb_domains.social.simulated import SocialSimulator
from bb_domains.social.skins import skins
from bb_domains.social.texts import Written, write
from bb_domains.social.workflows import GOAL_KINDS, WRITING, make_plan
from bb_domains.social.world import World, make_world
from bb_domains.wordings import Goal, Value, render

SINGLE_SHARE = 0.4
PERSONAL_SHARE = 0.35  # of the texts
STRANGER_SHARE = 0.3  # of the personal ones: about somebody on no list, without a name
HELD_OUT_PAIR_SHARE = 0.4  # of unseen_compositions; the others have three goals
MOST_DRAWS = 500  # of kinds, words and rules
MOST_WORLDS = 40  # for one of them


def held_out_pairs() -> frozenset[tuple[str, str]]:
    """The ordered pairs of goals that training never sees: 16 of 64.

    Each kind comes first in two of them and second in two.
    """
    n = len(GOAL_KINDS)
    return frozenset(
        (k, GOAL_KINDS[(i + by) % n]) for i, k in enumerate(GOAL_KINDS) for by in (1, 4)
    )


def composition(split: str, rng: random.Random) -> tuple[str, ...]:
    """The goal kinds of one request of a split, in order."""
    if split == "unseen_compositions":
        if rng.random() < HELD_OUT_PAIR_SHARE:
            return rng.choice(sorted(held_out_pairs()))
        return tuple(rng.choice(GOAL_KINDS) for _ in range(3))
    if rng.random() < SINGLE_SHARE:
        return (rng.choice(GOAL_KINDS),)
    pairs = ((one, two) for one in GOAL_KINDS for two in GOAL_KINDS)
    return rng.choice([pair for pair in pairs if pair not in held_out_pairs()])


def plan_requests(schema: PlanSchema, split: str, n: int, seed: int) -> Iterator[Request]:
    """`n` requests of a split, no two with the same text.

    Args:
        schema: the domain's; its guards are looked at.
        split: one of `simulation.SPLITS`.
        n: how many.
        seed: makes them.

    Raises:
        BBError: no further request is found.
    """
    rng = random.Random(f"social/{seed}/{split}")
    trial = Trial.of(schema)
    texts: set[str] = set()
    for i in range(n):
        request = _request(trial, f"{split}-{seed}-{i}", split, rng, texts)
        texts.add(request.text)
        yield request


def is_training_text(text: str) -> bool:
    """Whether a text may be in `train`; three in four may, and are in no other split, any seed."""
    return int(sha256_hex(text.encode())[:8], 16) % 4 != 0


def _request(trial: Trial, name: str, split: str, rng: random.Random, texts: set[str]) -> Request:
    for _ in range(MOST_DRAWS):
        kinds = composition(split, rng)
        skin = rng.choice(skins(held_out=split == "unseen_wordings"))
        layout = rng.choice(layout_names(held_out=split == "unseen_layouts"))
        policy = POLICIES[rng.choice(policy_names(held_out=split == "unseen_policies"))]
        for _ in range(MOST_WORLDS):
            seed = rng.randrange(1 << 32)
            world = make_world(seed, layout, policy.name)
            wishes = Wishes(world, rng)
            if not all(wishes.add(kind) for kind in kinds):
                continue
            text = render(skin, wishes.goals, rng) + policy.statement(rng)
            plan = make_plan(wishes.goals, policy.rules, wishes.personal)
            private = tuple(wishes.private)
            if not _concerned(policy.rules, wishes, plan):
                continue
            if is_training_text(text) != (split == "train") or text in texts:
                continue
            if trial.succeeds(SocialSimulator(world, private), plan):
                label = {
                    "goals": [goal.as_label() for goal in wishes.goals],
                    "private": list(private),
                }
                return Request(name, split, skin.name, text, plan, seed, layout, policy.name, label)
    raise BBError("no new request found", where=f"requests: {split}", fix="ask for fewer")


def _concerned(rules: Rules, wishes: Wishes, plan: Plan) -> bool:
    """Whether it matters to a request that these rules and not the standard ones hold."""
    standard = Rules()
    if replace(rules, approvers=standard.approvers) != standard:
        return not rules.shares or any(goal.kind in WRITING for goal in wishes.goals)
    usual = make_plan(wishes.goals, standard, wishes.personal)
    return rules == standard or plan != usual


@dataclass
class Wishes:
    """Goals that make sense in a world, none of them about a thing that another is about.

    Attributes:
        world: where.
        rng: chooses.
        goals: so far.
        personal: the texts among them that hold personal data, as far as their readers go.
        private: that data.
    """

    world: World
    rng: random.Random
    goals: list[Goal] = field(default_factory=list)
    personal: set[str] = field(default_factory=set)
    private: list[str] = field(default_factory=list)
    _taken: set[Value] = field(default_factory=set)

    def add(self, kind: str) -> bool:
        """Add a goal of a kind, if there is one."""
        slots = self._slots(kind)
        if slots is None:
            return False
        self.goals.append(Goal(kind, slots))
        return True

    def _slots(self, kind: str) -> dict[str, Value] | None:
        world, rng = self.world, self.rng
        match kind:
            case "post" | "schedule":
                channel = rng.choice(world.layout.channels)
                widest = AUDIENCES.index(channel.widest)
                audience = (
                    AUDIENCES[rng.randint(0, widest)] if rng.random() < 0.4 else channel.widest
                )
                slots: dict[str, Value] = {"channel": channel.name, "audience": audience}
                if kind == "schedule":
                    slots |= {"day": rng.choice(DAYS), "hour": rng.randint(6, 21)}
                return slots | {"text": self._text("post")}
            case "answer" | "dismiss":
                number = self._pick(world.inbox)
                if number is None:
                    return None
                return {"number": number} | ({"text": self._text(kind)} if kind == "answer" else {})
            case "message" | "follow":
                handle = self._pick(world.contacts)
                if handle is None:
                    return None
                text = {"text": self._text("direct", str(handle))} if kind == "message" else {}
                return {"handle": handle} | text
            case _:
                mine = kind == "delete"
                number = self._pick([n for n, s in world.statuses.items() if s.mine == mine])
                return None if number is None else {"number": number}

    def _pick(self, of: Mapping[Any, Any] | list[int]) -> Value | None:
        free = sorted(set(of) - self._taken)
        if not free:
            return None
        picked: Value = self.rng.choice(free)
        self._taken.add(picked)
        return picked

    def _text(self, occasion: str, reader: str = "") -> str:
        """A text that no other goal has; some hold data of others than the reader."""
        while True:
            written = self._written(occasion, reader)
            if written.text not in {goal.slots.get("text") for goal in self.goals}:
                break
        if written.private:
            self.personal.add(written.text)
            self.private += written.private
        return written.text

    def _written(self, occasion: str, reader: str) -> Written:
        subjects = self.world.layout.subjects
        if self.rng.random() >= PERSONAL_SHARE:
            return write(occasion, subjects, None, self.rng)
        others = [c.person for handle, c in self.world.contacts.items() if handle != reader]
        person = self.rng.choice(others)
        if self.rng.random() >= STRANGER_SHARE:
            return write(occasion, subjects, person, self.rng)
        stranger = make_person(self.rng)
        while True:
            written = write(occasion, subjects, stranger, self.rng)
            if stranger.name not in written.text and stranger.street not in written.text:
                return written
