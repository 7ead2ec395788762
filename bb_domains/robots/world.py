"""The world of one request: a floor, its people, items, doors and zones, and the robot.

A world is a function of (seed, layout, policy). Time runs in ticks of half a second, charge in
tenths of a percent.
"""

from __future__ import annotations

import random
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace

from bb_domains.robots.floors import Floor, Place, make_floor
from bb_domains.robots.grid import Cell, Grid, around, cheapest_way, distance, reachable
from bb_domains.robots.policies import POLICIES, Policy

TICKS_PER_S = 2
PERSON_TICKS = 3  # per cell
FULL = 1000  # tenths of a percent
ITEMS_AT_A_PLACE = 2
N_OBSTACLES = 4

_HOLDS_ITEMS = ("shelf", "table", "bench", "bay")


@dataclass
class Item:
    """Something to carry; `place` is "" while the robot holds it."""

    tag: int
    weight_g: int
    place: str


@dataclass
class Person:
    """Somebody who walks to and fro; turns round where the robot stands in the way."""

    walk: tuple[Cell, ...]
    position: int
    forward: bool = True

    @property
    def cell(self) -> Cell:
        """Where the person is."""
        return self.walk[self.position]

    def step(self, robot: Cell) -> None:
        """One cell further, unless that is the robot's."""
        ahead = self.position + (1 if self.forward else -1)
        if not 0 <= ahead < len(self.walk) or self.walk[ahead] == robot:
            self.forward = not self.forward
            return
        self.position = ahead


@dataclass
class Robot:
    """The robot; `charge` in tenths of a percent, `holding` the tag of an item or 0."""

    cell: Cell
    charge: int
    docked: bool = True
    arm_out: bool = False
    holding: int = 0


@dataclass
class World:
    """Everything there is.

    Attributes:
        floor, policy: where, and by which rules.
        zones: cells that the robot must not enter.
        obstacles: loose things on the floor.
        robot, people, items: what moves; items by tag.
        open_doors: names of the doors that stand open.
        ticks: time since the start.
        trail: cells that the robot entered, in order.
    """

    floor: Floor
    policy: Policy
    zones: frozenset[Cell]
    obstacles: frozenset[Cell]
    robot: Robot
    people: list[Person]
    items: dict[int, Item]
    open_doors: set[str]
    ticks: int = 0
    trail: list[Cell] = field(default_factory=list)
    places: dict[str, Place] = field(init=False)

    def __post_init__(self) -> None:
        self.places = {place.id: place for place in self.floor.places}

    def copy(self) -> World:
        """An independent world in the same state."""
        return replace(
            self,
            robot=replace(self.robot),
            people=[replace(person) for person in self.people],
            items={tag: replace(item) for tag, item in self.items.items()},
            open_doors=set(self.open_doors),
            trail=list(self.trail),
        )

    def shut(self) -> frozenset[Cell]:
        """Cells that cannot be entered now: shut doors and obstacles."""
        doors = (p.body for p in self.places.values() if p.kind == "door" and not self.is_open(p))
        return self.obstacles.union(doors)

    def is_open(self, door: Place) -> bool:
        """Whether a door stands open."""
        return door.id in self.open_doors

    def nearest_person(self, cell: Cell) -> int:
        """Distance in cells to the nearest person; large if there is none."""
        return min((distance(cell, person.cell) for person in self.people), default=1 << 20)

    def tick(self) -> None:
        """Half a second passes."""
        self.ticks += 1
        if self.ticks % PERSON_TICKS == 0:
            for person in self.people:
                person.step(self.robot.cell)

    def spend(self, tenths: int) -> bool:
        """Use charge; False if there is none left."""
        self.robot.charge = max(0, self.robot.charge - tenths)
        return self.robot.charge > 0


def make_world(seed: int, layout: str, policy: str) -> World:
    """The world of a request.

    Raises:
        BBError: there is no such layout or policy.
    """
    rules = POLICIES[policy]
    rng = random.Random(f"{seed}/{layout}/{policy}")
    floor = make_floor(layout, rng)
    charger = floor.places[0]
    start = charger.stands[0]
    stands = floor.grid.bits(cell for place in floor.places for cell in place.stands)
    open_floor = floor.grid.cells(reachable(floor.grid, start) & ~stands)
    obstacles = frozenset(_obstacles(floor.grid, start, open_floor, rng))
    free = [cell for cell in open_floor if cell not in obstacles]
    doors = [place for place in floor.places if place.kind == "door"]
    kept = around([start], 3).union(door.body for door in doors)
    return World(
        floor,
        rules,
        _zones(rules.zones, [cell for cell in free if cell not in kept], rng),
        obstacles,
        Robot(start, rng.randrange(400, FULL)),
        _people(floor, rules, obstacles, free, rng),
        _items(floor.places, rng),
        {door.id for door in doors if rng.randrange(100) >= rules.doors_shut},
    )


def _obstacles(grid: Grid, start: Cell, cells: Sequence[Cell], rng: random.Random) -> set[Cell]:
    """Loose things with free floor all around, so that they cut nothing off."""
    found: set[Cell] = set()
    for _ in range(N_OBSTACLES * 3):
        cell = rng.choice(cells)
        apart = all(distance(cell, other) > 2 for other in (*found, start))
        if apart and len(found) < N_OBSTACLES and all(map(grid.is_floor, around([cell], 1))):
            found.add(cell)
    return found


def _zones(n: int, cells: Sequence[Cell], rng: random.Random) -> frozenset[Cell]:
    """Rectangles of floor that the robot must keep out of."""
    allowed, found = set(cells), set[Cell]()
    for _ in range(n):
        column, row = rng.choice(cells)
        width, height = rng.randint(1, 3), rng.randint(1, 3)
        block = {(column + i, row + j) for i in range(width) for j in range(height)}
        found |= block & allowed
    return frozenset(found)


def _people(
    floor: Floor,
    rules: Policy,
    obstacles: frozenset[Cell],
    free: Sequence[Cell],
    rng: random.Random,
) -> list[Person]:
    """People who walk between two cells, through doors only when these are open for good."""
    doors = {place.body for place in floor.places if place.kind == "door"}
    start = floor.places[0].stands[0]
    people: list[Person] = []
    near = around([start], rules.margin + 1)
    cells = [cell for cell in free if cell not in near]
    for _ in range(rules.people * 4):
        if len(people) == rules.people:
            break
        one, two = rng.choice(cells), rng.choice(cells)
        walk = cheapest_way(floor.grid, one, [two], obstacles | doors)
        if walk and 3 <= len(walk) <= 14:
            people.append(Person((one, *walk), rng.randrange(len(walk))))
    return people


def _items(places: Iterable[Place], rng: random.Random) -> dict[int, Item]:
    """Items on some of the places that hold any."""
    holders = [place for place in places if place.kind in _HOLDS_ITEMS]
    tags = iter(rng.sample(range(1000, 10_000), ITEMS_AT_A_PLACE * len(holders)))
    found: dict[int, Item] = {}
    for place in holders:
        for _ in range(rng.randint(0, ITEMS_AT_A_PLACE)):
            tag = next(tags)
            found[tag] = Item(tag, 50 * rng.randint(2, 80), place.id)
    return found


def holds_items(place: Place) -> bool:
    """Whether items can be put down there."""
    return place.kind in _HOLDS_ITEMS
