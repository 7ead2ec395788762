"""Requests of every split: which wishes, in which organisation, under which rules, in which words.

A request is kept if its plan succeeds in its world with every guard holding and no incident, so
what users ask for is what a careful desk would grant.
"""

from __future__ import annotations

import random
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from bb_domains.requests import Case
from bb_domains.simulation import Trial
from bb_domains.social.layouts import LAYOUTS
from bb_domains.social.people import make_person
from bb_domains.social.policies import POLICIES, Occasion, Rules
from bb_domains.social.records import AUDIENCES, DAYS
from bb_domains.social.simulated import SocialSimulator
from bb_domains.social.skins import skins
from bb_domains.social.texts import Written, write
from bb_domains.social.workflows import GOAL_KINDS, make_plan
from bb_domains.social.world import World, make_world
from bb_domains.variants import Compositions
from bb_domains.wordings import Goal, Value

COMPOSITIONS = Compositions(GOAL_KINDS, (1, 4))
PERSONAL_SHARE = 0.35  # of the texts
STRANGER_SHARE = 0.3  # of the personal ones: about somebody on no list, without a name
MOST_WORLDS = 40  # for one draw of kinds, words and rules

_POSTS: tuple[Occasion, ...] = ("internal", "followers", "public")
_OCCASIONS: Mapping[str, tuple[Occasion, ...]] = {
    "post": _POSTS,
    "schedule": _POSTS,
    "answer": ("answer",),
    "message": ("direct",),
}
"""What may be approved, by kind of goal; of posts, the one that is their audience."""


def cases(trial: Trial, split: str, rng: random.Random) -> Iterator[Case]:
    """Cases of a split for one draw, as `requests.draw_requests` wants them."""
    kinds = COMPOSITIONS.draw(split, rng)
    skin, layout = skins().draw(split, rng), LAYOUTS.draw(split, rng)
    policy = POLICIES.draw(split, rng)
    if not _matters(policy.rules, {one for kind in kinds for one in _OCCASIONS.get(kind, ())}):
        return
    for _ in range(MOST_WORLDS):
        seed = rng.randrange(1 << 32)
        world = make_world(seed, layout.name, policy.name)
        wishes = Wishes(world, rng)
        if not all(wishes.add(kind) for kind in kinds):
            continue
        if not _matters(policy.rules, wishes.occasions()):
            continue
        goals, private = tuple(wishes.goals), tuple(wishes.private)
        plan = make_plan(goals, policy.rules, wishes.personal)
        if trial.succeeds(SocialSimulator(world, private), plan):
            label = {"private": list(private)}
            yield Case(skin, goals, plan, seed, layout.name, policy.name, policy.says, label)


def _matters(rules: Rules, occasions: Collection[Occasion]) -> bool:
    """Whether it matters to texts of these occasions that not the standard rules hold, if so."""
    standard = Rules()
    if replace(rules, approvers=standard.approvers) != standard:
        return not rules.shares or bool(occasions)
    usual = all(rules.approvers[one] == standard.approvers[one] for one in occasions)
    return rules == standard or not usual


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

    def occasions(self) -> set[Occasion]:
        """What has to be approved."""
        return {
            one
            for goal in self.goals
            for one in _OCCASIONS.get(goal.kind, ())
            if goal.slots.get("audience", one) == one
        }

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
