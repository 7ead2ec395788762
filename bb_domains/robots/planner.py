"""Requests of every split: which wishes, in which building, under which rules, in which words.

A request is kept if its plan succeeds in its world with every guard holding and no incident, so
what users ask for is what a careful operator would grant.
"""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from bb_domains.requests import Case
from bb_domains.robots.floors import LAYOUTS, Place
from bb_domains.robots.grid import reachable
from bb_domains.robots.policies import POLICIES, Policy, slower
from bb_domains.robots.simulated import RobotSimulator
from bb_domains.robots.skins import skins
from bb_domains.robots.workflows import MANNERS, STAYING, WORK, make_plan, n_steps
from bb_domains.robots.world import World, holds_items, make_world
from bb_domains.simulation import Trial
from bb_domains.variants import Compositions
from bb_domains.wordings import Goal, Value

WORK_TOGETHER = Compositions(WORK, (1, 3))
CHARGE_SHARE, REPORT_SHARE, HOME_SHARE = 0.2, 0.15, 0.3
MOST_WORLDS = 40  # for one draw of kinds, words and rules
MOST_WISHES = 4  # in one of those


def composition(split: str, rng: random.Random) -> tuple[str, ...]:
    """The goal kinds of one request: charging first, then work, a report, coming home last."""
    work = WORK_TOGETHER.draw(split, rng)
    charge = ("charge",) * (rng.random() < CHARGE_SHARE)
    report = ("report",) * (rng.random() < REPORT_SHARE)
    home = ("home",) * (rng.random() < HOME_SHARE)
    return (*charge, *work, *report, *home)


def cases(trial: Trial, split: str, rng: random.Random) -> Iterator[Case]:
    """Cases of a split for one draw, as `requests.draw_requests` wants them."""
    kinds = composition(split, rng)
    if n_steps(kinds) > trial.schema.limits.max_steps:
        return
    skin, layout = skins().draw(split, rng), LAYOUTS.draw(split, rng)
    policy = POLICIES.draw(split, rng)
    if "open" in kinds and not policy.doors_shut:
        return  # there is nothing to open
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
    """Wishes of these kinds that make sense in a world; empty if there are none."""
    wishes, goals = _Wishes(world.copy(), rng), list[Goal]()
    for kind in kinds:
        slots = wishes.slots(kind)
        if slots is None:
            return ()
        goals.append(Goal(kind, slots if kind in STAYING else {**slots, "manner": manner}))
    return tuple(goals)


@dataclass
class _Wishes:
    """Wishes that make sense in a world, one after the other.

    No item is asked for twice, no place is visited twice, no door is asked to be what it is, and
    nothing is asked for behind a door that will be shut.

    Attributes:
        world: changed as the wishes so far would change its doors.
        rng: chooses.
    """

    world: World
    rng: random.Random

    def __post_init__(self) -> None:
        most_g = self.world.policy.most_load_g
        self._tags = [tag for tag, item in self.world.items.items() if item.weight_g <= most_g]
        self._places = [p for p in self.world.floor.places if p.kind not in ("door", "charger")]
        self.rng.shuffle(self._tags)
        self.rng.shuffle(self._places)
        self._look()

    def slots(self, kind: str) -> dict[str, Value] | None:
        """What a wish of this kind has to name; None if there is none."""
        match kind:
            case "charge":
                return {"percent": 5 * self.rng.randint(8, 20)}
            case "report":
                return {}
            case "home":
                return {"place": _said(self.world.floor.places[0])}
            case "fetch":
                return self._fetch()
            case "open" | "close":
                return self._door(kind)
        place = next((place for place in self._places if self._is_near(place)), None)
        if place is None:
            return None
        self._places.remove(place)
        seconds = {"seconds": 5 * self.rng.randint(1, 24)} if kind == "wait" else {}
        return {"place": _said(place), **seconds}

    def _fetch(self) -> dict[str, Value] | None:
        places, items = self.world.places, self.world.items
        tag = next((tag for tag in self._tags if self._is_near(places[items[tag].place])), None)
        if tag is None:
            return None
        self._tags.remove(tag)
        source = places[items[tag].place]
        others = (place for place in places.values() if holds_items(place) and place != source)
        targets = [place for place in others if self._is_near(place)]
        if not targets:
            return None
        return {"tag": tag, "source": _said(source), "target": _said(self.rng.choice(targets))}

    def _door(self, kind: str) -> dict[str, Value] | None:
        world = self.world
        doors = [p for p in world.floor.places if p.kind == "door" and self._is_near(p)]
        doors = [door for door in doors if world.is_open(door) == (kind == "close")]
        if not doors:
            return None
        door = self.rng.choice(doors)
        (world.open_doors.add if kind == "open" else world.open_doors.discard)(door.id)
        self._look()
        return {"place": _said(door)}

    def _look(self) -> None:
        """Note where the robot can get from its charger, doors being as they are by then."""
        self._near = reachable(self.world.floor.grid, self.world.robot.cell, self.world.shut())

    def _is_near(self, place: Place) -> bool:
        return bool(self._near & self.world.floor.grid.bits(place.stands))


def _said(place: Place) -> str:
    """A place as people name it: `shelf 3`."""
    return f"{place.kind} {place.number}"
