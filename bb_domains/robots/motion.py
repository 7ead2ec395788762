"""Routes, and what happens on the way: charge, people, obstacles, zones.

pace     ticks a cell   tenths of a percent a cell   people
slow          4                    3                 stops while somebody is within the margin
normal        2                    3                 stops for somebody on the next cell only
fast          1                    4                 does not stop
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from bb_domains.robots.grid import Cell, around, cheapest_way
from bb_domains.robots.policies import Pace, slower
from bb_domains.robots.world import World

TICKS: dict[Pace, int] = {"slow": 4, "normal": 2, "fast": 1}
TENTHS: dict[Pace, int] = {"slow": 3, "normal": 3, "fast": 4}
LADEN_TENTHS = 1  # a cell, on top
MOST_WAIT_TICKS = 240
_ZONE_COST, _NEAR_COST = 200, 6


@dataclass(frozen=True)
class Route:
    """A way as it was planned.

    Attributes:
        cells: cells to enter, in order.
        energy: tenths of a percent that it takes at most, at any pace.
        people: how many people's walks come near it.
        no_go: whether it enters a zone.
        pace_limit: the fastest pace that is safe on it.
    """

    cells: tuple[Cell, ...]
    energy: int
    people: int
    no_go: bool
    pace_limit: Pace


@dataclass(frozen=True)
class Drive:
    """What became of a drive.

    Attributes:
        arrived: whether the robot stands at the end of its way.
        reason: why not; empty if it arrived.
        incidents: how often each thing happened that must not.
        seconds: how long it took.
    """

    arrived: bool
    reason: str
    incidents: dict[str, int]
    seconds: float


def plan_way(world: World, goals: Iterable[Cell], way: str) -> Route | None:
    """The way from the robot to one of several cells as the world is now; None if there is none.

    The safe way keeps out of zones and away from people's walks and obstacles as far as it can,
    the short way takes the fewest cells.
    """
    walks = [person.walk for person in world.people]
    edges = _edges(world.obstacles)
    dear = [(_ZONE_COST, world.zones), (_NEAR_COST, edges.union(*walks))] if way == "safe" else []
    cells = cheapest_way(world.floor.grid, world.robot.cell, goals, world.shut(), dear)
    if cells is None:
        return None
    track = (world.robot.cell, *cells)
    reach = world.policy.margin - 1
    near = sum(not around(walk, reach).isdisjoint(track) for walk in walks)
    limit = slower("slow" if near else "fast", world.policy.fastest)
    if not edges.isdisjoint(cells):
        limit = slower(limit, "normal")
    energy = len(cells) * (max(TENTHS.values()) + LADEN_TENTHS)
    return Route(cells, energy, near, any(cell in world.zones for cell in cells), limit)


def follow(world: World, cells: Iterable[Cell], pace: Pace) -> Drive:
    """Move the robot along a way, tick by tick."""
    happened = {"near_misses": 0, "collisions": 0, "no_go_entries": 0, "stranded": 0}
    began = world.ticks
    reason = ""
    edges = _edges(world.obstacles) if pace == "fast" else frozenset()
    close_before = inside_before = False
    for cell in cells:
        reason = _enter(world, cell, pace, happened)
        if reason:
            break
        close = world.nearest_person(cell) < world.policy.margin or cell in edges
        happened["near_misses"] += close and not close_before  # one for each encounter
        inside = cell in world.zones
        happened["no_go_entries"] += inside and not inside_before
        close_before, inside_before = close, inside
    return Drive(not reason, reason, happened, (world.ticks - began) / 2)


def _enter(world: World, cell: Cell, pace: Pace, happened: dict[str, int]) -> str:
    """Enter the next cell, waiting for people as the pace demands; why not, or empty."""
    waited = 0
    for _ in range(TICKS[pace]):
        world.tick()
    while _must_wait(world, cell, pace):
        if waited == MOST_WAIT_TICKS:
            return "somebody does not get out of the way"
        world.tick()
        waited += 1
    if world.nearest_person(cell) == 0:
        happened["collisions"] += 1
        return "ran into somebody"
    if not world.spend(TENTHS[pace] + LADEN_TENTHS * bool(world.robot.holding)):
        happened["stranded"] += 1
        return "the battery is empty"
    world.robot.cell = cell
    world.trail.append(cell)
    return ""


def _must_wait(world: World, cell: Cell, pace: Pace) -> bool:
    if pace == "fast":
        return False
    near = world.nearest_person(cell)
    return near < world.policy.margin if pace == "slow" else near == 0


def _edges(obstacles: Iterable[Cell]) -> frozenset[Cell]:
    """The cells beside an obstacle."""
    moves = ((0, -1), (1, 0), (0, 1), (-1, 0))
    return frozenset((column + i, row + j) for column, row in obstacles for i, j in moves)
