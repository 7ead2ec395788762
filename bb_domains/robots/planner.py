"""Requests of every split: which wishes, in which building, under which rules, in which words.

A request is kept if its plan succeeds in its world with every guard holding and no incident, so
what users ask for is what a careful operator would grant.
"""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from functools import partial

from bb_domains.requests import Case, draw_requests
from bb_domains.robots.floors import LAYOUTS
from bb_domains.robots.policies import POLICIES, Policy, slower
from bb_domains.robots.simulated import RobotSimulator
from bb_domains.robots.skins import skins
from bb_domains.robots.workflows import MANNERS, STAYING, WORK, make_plan, n_steps
from bb_domains.robots.world import World, holds_items, make_world
from bb_domains.schema import PlanSchema
from bb_domains.simulation import Request, Trial
from bb_domains.variants import Compositions
from bb_domains.wordings import Goal, Value

WORK_TOGETHER = Compositions(WORK, (1, 3))
CHARGE_SHARE, REPORT_SHARE, HOME_SHARE = 0.2, 0.15, 0.3
MOST_WORLDS = 40  # for one draw of kinds, words and rules
MOST_WISHES = 4  # in one of those


def plan_requests(schema: PlanSchema, split: str, n: int, seed: int) -> Iterator[Request]:
    """`n` requests of a split; see `requests.draw_requests`.

    Args:
        schema: the domain's; its guards are looked at.
        split: one of `simulation.SPLITS`.
        n: how many.
        seed: makes them.

    Raises:
        BBError: no further request is found.
    """
    return draw_requests(partial(_cases, Trial.of(schema), split), split, n, seed)


def composition(split: str, rng: random.Random) -> tuple[str, ...]:
    """The goal kinds of one request: charging first, then work, a report, coming home last."""
    work = WORK_TOGETHER.draw(split, rng)
    charge = ("charge",) * (rng.random() < CHARGE_SHARE)
    report = ("report",) * (rng.random() < REPORT_SHARE)
    home = ("home",) * (rng.random() < HOME_SHARE)
    return (*charge, *work, *report, *home)


def _cases(trial: Trial, split: str, rng: random.Random) -> Iterator[Case]:
    kinds = composition(split, rng)
    if n_steps(kinds) > trial.schema.limits.max_steps:
        return
    skin, layout = skins().draw(split, rng), LAYOUTS.draw(split, rng)
    policy = POLICIES.draw(split, rng)
    manner = rng.choice(_manners(policy))
    for _ in range(MOST_WORLDS):
        seed = rng.randrange(1 << 32)
        world = make_world(seed, layout.name, policy.name)
        for _ in range(MOST_WISHES):
            goals = _goals(kinds, manner, world, rng)
            if not goals:
                break
            plan = make_plan(goals)
            if trial.succeeds(RobotSimulator(world.copy()), plan):
                yield Case(skin, goals, plan, seed, layout.name, policy.name)
                break  # it cannot be said in new words


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
