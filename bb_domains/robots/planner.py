"""Requests of every split: which wishes, in which building, under which rules, in which words.

A request is kept if its plan succeeds in its world with every guard holding and no incident, so
what users ask for is what a careful operator would grant. Wording, layout, policy and composition
are drawn apart from each other; each `unseen_` split holds out one of them and keeps the others.
No text of `train` is one of another split, whatever the seeds.
"""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence

from bb_core.canonical import sha256_hex
from bb_core.errors import BBError
from bb_domains.robots.floors import HELD_OUT_LAYOUTS, LAYOUTS
from bb_domains.robots.policies import POLICIES, Policy, policy_names, slower
from bb_domains.robots.simulated import RobotSimulator
from bb_domains.robots.skins import skins
from bb_domains.robots.workflows import MANNERS, STAYING, WORK, make_plan, n_steps
from bb_domains.robots.world import World, holds_items, make_world
from bb_domains.schema import PlanSchema
from bb_domains.simulation import Request, Trial
from bb_domains.wordings import Goal, Skin, Value, render

SINGLE_SHARE = 0.4
CHARGE_SHARE, REPORT_SHARE, HOME_SHARE = 0.2, 0.15, 0.3
HELD_OUT_PAIR_SHARE = 0.4  # of unseen_compositions; the others do three kinds of work
MOST_DRAWS = 500  # of kinds, words and rules
MOST_WORLDS = 40  # for one of them
MOST_WISHES = 4  # in one of those
MOST_TEXTS = 12  # for the same wishes


def held_out_pairs() -> frozenset[tuple[str, str]]:
    """The ordered pairs of work that training never sees: 10 of 25.

    Each kind comes first in two of them and second in two.
    """
    n = len(WORK)
    return frozenset((k, WORK[(i + by) % n]) for i, k in enumerate(WORK) for by in (1, 3))


def composition(split: str, rng: random.Random) -> tuple[str, ...]:
    """The goal kinds of one request: charging first, then work, a report, coming home last."""
    work: tuple[str, ...]
    if split == "unseen_compositions":
        if rng.random() < HELD_OUT_PAIR_SHARE:
            work = rng.choice(sorted(held_out_pairs()))
        else:
            work = tuple(rng.choice(WORK) for _ in range(3))
    elif rng.random() < SINGLE_SHARE:
        work = (rng.choice(WORK),)
    else:
        pairs = ((one, two) for one in WORK for two in WORK)
        work = rng.choice([pair for pair in pairs if pair not in held_out_pairs()])
    charge = ("charge",) * (rng.random() < CHARGE_SHARE)
    report = ("report",) * (rng.random() < REPORT_SHARE)
    home = ("home",) * (rng.random() < HOME_SHARE)
    return (*charge, *work, *report, *home)


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
    drawer = _Drawer(schema, split, random.Random(f"{seed}/{split}"))
    for i in range(n):
        yield drawer.draw(f"{split}-{seed}-{i}")


def is_training_text(text: str) -> bool:
    """Whether a text may be in `train`; three in four may, and are in no other split, any seed."""
    return int(sha256_hex(text.encode())[:8], 16) % 4 != 0


class _Drawer:
    """Draws the requests of one split."""

    def __init__(self, schema: PlanSchema, split: str, rng: random.Random) -> None:
        self._split, self._rng = split, rng
        self._schema = schema
        self._trial = Trial.of(schema)
        self._skins = skins(held_out=split == "unseen_wordings")
        self._layouts = HELD_OUT_LAYOUTS if split == "unseen_layouts" else LAYOUTS
        self._policies = policy_names(held_out=split == "unseen_policies")
        self._texts: set[str] = set()

    def draw(self, name: str) -> Request:
        """A request whose text is new."""
        rng = self._rng
        for _ in range(MOST_DRAWS):
            kinds = composition(self._split, rng)
            if n_steps(kinds) > self._schema.limits.max_steps:
                continue
            skin, layout = rng.choice(self._skins), rng.choice(self._layouts)
            policy = rng.choice(self._policies)
            manner = rng.choice(_manners(POLICIES[policy]))
            for _ in range(MOST_WORLDS):
                seed = rng.randrange(1 << 32)
                goals = self._granted(kinds, manner, make_world(seed, layout, policy))
                text = self._new_text(skin, goals) if goals else ""
                if text:
                    self._texts.add(text)
                    label = {"goals": [goal.as_label() for goal in goals]}
                    plan = make_plan(goals)
                    return Request(
                        name, self._split, skin.name, text, plan, seed, layout, policy, label
                    )
        raise BBError("no new request found", where=f"requests: {self._split}", fix="ask for fewer")

    def _new_text(self, skin: Skin, goals: Sequence[Goal]) -> str:
        """The goals in words that are new and belong to this split; empty if none are found."""
        for _ in range(MOST_TEXTS):
            text = render(skin, goals, self._rng)
            if text not in self._texts and is_training_text(text) == (self._split == "train"):
                return text
        return ""

    def _granted(self, kinds: Sequence[str], manner: str, world: World) -> tuple[Goal, ...]:
        """Goals of these kinds whose plan does no harm in a world; empty if none is found."""
        for _ in range(MOST_WISHES):
            goals = _goals(kinds, manner, world, self._rng)
            if not goals:
                return ()
            if self._trial.succeeds(RobotSimulator(world.copy()), make_plan(goals)):
                return goals
        return ()


def _manners(policy: Policy) -> list[str]:
    """The manners of driving that a policy allows where nobody is near."""
    return [name for name, how in MANNERS.items() if slower(how.pace, policy.fastest) == how.pace]


def _goals(kinds: Sequence[str], manner: str, world: World, rng: random.Random) -> tuple[Goal, ...]:
    """Wishes of these kinds that make sense in a world; empty if there are none.

    No item is asked for twice, no place is visited twice, and no door is asked to be what it is.
    """
    tags = [tag for tag, item in world.items.items() if item.weight_g <= world.policy.most_load_g]
    rng.shuffle(tags)
    is_open = {p.id: world.is_open(p) for p in world.floor.places if p.kind == "door"}
    places = [p.id for p in world.floor.places if p.kind not in ("door", "charger")]
    rng.shuffle(places)
    goals: list[Goal] = []
    for kind in kinds:
        if kind in STAYING:
            percent = {"percent": 5 * rng.randint(8, 20)} if kind == "charge" else {}
            goals.append(Goal(kind, percent))
            continue
        if kind == "fetch":
            slots = _fetch(world, tags, rng)
        else:
            slots = _visit(kind, world, places, is_open, rng)
        if slots is None:
            return ()
        goals.append(Goal(kind, {**slots, "manner": manner}))
    return tuple(goals)


def _fetch(world: World, tags: list[int], rng: random.Random) -> dict[str, Value] | None:
    if not tags:
        return None
    tag = tags.pop()
    source = world.items[tag].place
    targets = [p.id for p in world.floor.places if holds_items(p) and p.id != source]
    return {"tag": tag, "source": _said(source), "target": _said(rng.choice(targets))}


def _visit(
    kind: str, world: World, places: list[str], is_open: dict[str, bool], rng: random.Random
) -> dict[str, Value] | None:
    """A goal at one place; `places` and `is_open` are kept up to date."""
    if kind == "home":
        return {"place": _said(world.floor.places[0].id)}
    if kind in ("open", "close"):
        doors = [door for door, opened in is_open.items() if opened == (kind == "close")]
        if not doors:
            return None
        door = rng.choice(doors)
        is_open[door] = kind == "open"
        return {"place": _said(door)}
    if not places:
        return None
    place = _said(places.pop())
    return (
        {"place": place, "seconds": 5 * rng.randint(1, 24)} if kind == "wait" else {"place": place}
    )


def _said(place: str) -> str:
    """A place as people name it: `shelf 3`."""
    return place.replace("-", " ")
