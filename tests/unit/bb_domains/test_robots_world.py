"""Buildings, people and the robot: what the simulated world does and what it counts."""

from __future__ import annotations

import heapq
import random
from collections.abc import Callable
from typing import Any
from xml.etree import ElementTree

import pytest
from typer.testing import CliRunner

from bb_core.errors import BBError
from bb_domains.robots.__main__ import app
from bb_domains.robots.drawing import svg_text
from bb_domains.robots.floors import LAYOUTS, Floor, Place, make_floor
from bb_domains.robots.grid import Cell, Grid, cheapest_way, distance, reachable
from bb_domains.robots.motion import follow, plan_way
from bb_domains.robots.policies import POLICIES
from bb_domains.robots.simulated import INCIDENTS, RobotSimulator
from bb_domains.robots.world import Item, Person, Robot, World, make_world
from bb_domains.tools import ToolFailed

CHARGER = Place("charger", 1, (0, 0), ((1, 0),))
SHELF = Place("shelf", 2, (9, 0), ((8, 0),))
DOOR = Place("door", 3, (5, 0), ((4, 0), (6, 0)))


def lane(*, rows: int = 1, door: bool = False, **fields: Any) -> World:
    """A straight lane of ten cells: charger at the left, shelf at the right."""
    places = (CHARGER, SHELF, DOOR) if door else (CHARGER, SHELF)
    floor = Floor("lane", Grid(10, rows, frozenset({(0, 0), (9, 0)})), places)
    made: dict[str, Any] = {
        "floor": floor,
        "policy": POLICIES["standard"],
        "zones": frozenset(),
        "obstacles": frozenset(),
        "robot": Robot((1, 0), 1000, docked=False),
        "people": [],
        "items": {},
        "open_doors": set(),
    }
    return World(**{**made, **fields})


def simulator(**fields: Any) -> RobotSimulator:
    """A simulator on the lane whose first stop is the charger's."""
    made = RobotSimulator(lane(**{"robot": Robot((1, 0), 1000), **fields}))
    made.call("undock", {})
    return made


def drive(robot: RobotSimulator, way: str = "short", pace: str = "normal") -> dict[str, Any]:
    to = robot.call("plan_route", {"kind": "shelf", "number": 2, "way": way})
    robot.call("drive", {"to": to["id"], "from": "stop-1", "pace": pace})
    return to


@pytest.mark.parametrize("layout", LAYOUTS)
def test_every_place_can_be_reached_when_all_doors_are_open(layout: str) -> None:
    for seed in range(15):
        floor = make_floor(layout, random.Random(seed))
        inside = reachable(floor.grid, floor.places[0].stands[0])
        assert floor.places[0].kind == "charger"
        assert len({place.id for place in floor.places}) == len(floor.places)
        for place in floor.places:
            assert place.stands
            assert not floor.grid.bits(place.stands) & ~inside
            assert all(distance(place.body, cell) == 1 for cell in place.stands)
        assert {"door", "shelf"} <= {place.kind for place in floor.places} or layout == "maze"


@pytest.mark.parametrize("policy", POLICIES)
def test_worlds_are_functions_of_their_names(policy: str) -> None:
    for layout in LAYOUTS:
        one, two = make_world(5, layout, policy), make_world(5, layout, policy)
        assert one == two
        assert make_world(6, layout, policy) != one
        assert len(one.people) <= POLICIES[policy].people
        assert one.items
        free = reachable(one.floor.grid, one.robot.cell, one.obstacles)
        for place in one.floor.places:
            assert free & one.floor.grid.bits(place.stands)  # obstacles cut nothing off
        assert one.zones.isdisjoint(place.body for place in one.floor.places)


def test_unknown_layouts_and_policies() -> None:
    with pytest.raises(BBError, match="no layout 'castle'; use one of rooms"):
        make_world(0, "castle", "standard")
    with pytest.raises(BBError, match="no policy 'none'; use one of standard"):
        make_world(0, "rooms", "none")


def test_the_cheapest_way_goes_around() -> None:
    grid = Grid(5, 3, frozenset({(2, 0), (2, 1)}))
    way = cheapest_way(grid, (0, 0), [(4, 0)])
    assert way is not None
    assert (len(way), way[-1]) == (8, (4, 0))
    assert cheapest_way(grid, (0, 0), [(4, 0)], [(2, 2)]) is None
    assert cheapest_way(grid, (0, 0), [(0, 0), (4, 0)]) == ()


def dijkstra(grid: Grid, start: Cell, goals: list[Cell], cost: Callable[[Cell], int]) -> Any:
    """The plain search, one cell after the other; ties go to the lower cell."""
    before, spent, queue = dict[Cell, Cell](), {start: 0}, [(0, start)]
    while queue:
        so_far, cell = heapq.heappop(queue)
        if cell in goals:
            way = []
            while cell != start:
                way.append(cell)
                cell = before[cell]
            return tuple(reversed(way))
        for near in grid.neighbours(cell):
            if so_far + cost(near) < spent.get(near, 1 << 30):
                spent[near], before[near] = so_far + cost(near), cell
                heapq.heappush(queue, (spent[near], near))
    return None


def test_ways_are_those_of_the_plain_search() -> None:
    rng = random.Random(5)
    for _ in range(150):
        columns, rows = rng.randint(2, 9), rng.randint(2, 9)
        cells = [(column, row) for column in range(columns) for row in range(rows)]
        start, *goals = rng.sample(cells, rng.randint(2, 4))
        walls = frozenset(rng.sample(cells, len(cells) // 4)) - {start}
        dear = [(more, rng.sample(cells, len(cells) // 3)) for more in (2, 3)]

        def cost(cell: Cell, dear: Any = dear) -> int:
            return 1 + sum(more for more, those in dear if cell in those)

        grid = Grid(columns, rows, walls)
        found = cheapest_way(grid, start, set(goals) - walls, (), dear)
        assert found == dijkstra(grid, start, sorted(set(goals) - walls), cost)


def test_the_safe_way_keeps_out_of_zones_and_away_from_people() -> None:
    zones = frozenset({(4, 0)})
    person = Person(((6, 0), (6, 1)), 0)
    world = lane(rows=8, zones=zones, people=[person])
    short, safe = plan_way(world, [(8, 0)], "short"), plan_way(world, [(8, 0)], "safe")
    assert short is not None
    assert safe is not None
    assert (short.no_go, short.people, short.pace_limit) == (True, 1, "slow")
    assert (safe.no_go, safe.pace_limit) == (False, "fast") or safe.people == 1
    assert len(safe.cells) > len(short.cells)
    assert not zones & set(safe.cells)


def test_somebody_on_the_way_is_passed_slowly_without_a_near_miss() -> None:
    walk = tuple((column, row) for row, column in [(r, 5) for r in range(6)])
    for start in range(6):
        world = lane(rows=6, people=[Person(walk, start)])
        route = plan_way(world, [(8, 0)], "short")
        assert route is not None
        assert route.pace_limit == "slow"
        outcome = follow(world, route.cells, "slow")
        assert outcome.arrived
        assert not any(outcome.incidents.values())


def test_fast_past_somebody_is_a_near_miss_and_into_somebody_a_collision() -> None:
    beside = RobotSimulator(lane(rows=2, people=[Person(((5, 1),), 0)], robot=Robot((1, 0), 900)))
    beside.call("undock", {})
    drive(beside, pace="fast")
    assert beside.incidents()["near_misses"] == 1  # one encounter, however many cells
    ahead = simulator(people=[Person(((5, 0),), 0)])
    with pytest.raises(ToolFailed, match="ran into somebody"):
        drive(ahead, pace="fast")
    assert ahead.incidents()["collisions"] == 1
    slow = simulator(people=[Person(((5, 0),), 0)])
    with pytest.raises(ToolFailed, match="does not get out of the way"):
        drive(slow, pace="slow")
    assert not any(slow.incidents().values())


def test_fast_beside_an_obstacle_is_a_near_miss() -> None:
    for pace, near_misses in (("fast", 1), ("normal", 0)):
        robot = simulator(rows=2, obstacles=frozenset({(5, 1)}))
        assert drive(robot, pace=pace)["pace_limit"] == "normal"
        assert robot.incidents()["near_misses"] == near_misses


def test_zones_that_are_entered_count_once_each() -> None:
    robot = simulator(zones=frozenset({(3, 0), (4, 0), (6, 0)}))
    assert drive(robot)["no_go"] is True
    assert robot.incidents()["no_go_entries"] == 2


def test_an_empty_battery_strands_the_robot() -> None:
    robot = simulator(robot=Robot((1, 0), 10))
    with pytest.raises(ToolFailed, match="the battery is empty"):
        drive(robot)
    assert robot.incidents()["stranded"] == 1


def test_the_energy_of_a_route_is_enough_at_any_pace() -> None:
    for pace in ("slow", "normal", "fast"):
        world = lane(robot=Robot((1, 0), 1000, docked=False, holding=7))
        route = plan_way(world, [(8, 0)], "short")
        assert route is not None
        follow(world, route.cells, pace)
        assert 1000 - world.robot.charge <= route.energy


def test_the_arm() -> None:
    items = {1001: Item(1001, 500, "shelf-2"), 1002: Item(1002, 9000, "shelf-2")}
    robot = simulator(items=items)
    with pytest.raises(ToolFailed, match="the robot is not at shelf-2|not at"):
        robot.call("grasp", {"item": "item-1001", "at": "stop-1"})
    to = drive(robot)["id"]
    robot.call("grasp", {"item": "item-1001", "at": to})
    with pytest.raises(ToolFailed, match="the gripper is full"):
        robot.call("grasp", {"item": "item-1002", "at": to})
    with pytest.raises(ToolFailed, match="the arm is out already"):
        robot.call("put", {"item": "item-1001", "at": to})
    assert robot.state()["items"]["1001"] == "robot"
    robot.call("stow_arm", {})
    robot.call("put", {"item": "item-1001", "at": to})
    robot.call("stow_arm", {})
    assert robot.state()["items"]["1001"] == "shelf-2"
    robot.call("grasp", {"item": "item-1002", "at": to})
    assert robot.incidents()["overloads"] == 1


def test_driving_with_the_arm_out_is_counted() -> None:
    robot = simulator(items={1001: Item(1001, 500, "shelf-2")})
    to = drive(robot)["id"]
    robot.call("grasp", {"item": "item-1001", "at": to})
    back = robot.call("plan_route", {"kind": "charger", "number": 1, "way": "short"})["id"]
    robot.call("drive", {"to": back, "from": to, "pace": "slow"})
    assert robot.incidents()["arm_out_drives"] == 1


def test_shut_doors_are_opened_from_either_side() -> None:
    robot = simulator(door=True)
    with pytest.raises(ToolFailed, match="shelf-2 cannot be reached: a door is shut"):
        drive(robot)
    at = robot.call("plan_route", {"kind": "door", "number": 3, "way": "short"})["id"]
    robot.call("drive", {"to": at, "from": "stop-1", "pace": "slow"})
    assert robot.call("open_door", {"at": at}) == {"door": "door-3", "open": True}
    robot.call("stow_arm", {})
    assert robot.call("plan_route", {"kind": "shelf", "number": 2, "way": "short"})["cells"] == 4
    robot.call("close_door", {"at": at})
    assert robot.state()["open_doors"] == []


def test_only_the_newest_route_can_be_driven_and_once() -> None:
    robot = simulator()
    ask = {"kind": "shelf", "number": 2, "way": "short"}
    old, new = robot.call("plan_route", ask)["id"], robot.call("plan_route", ask)["id"]
    with pytest.raises(ToolFailed, match="the route to stop-2 is not fresh"):
        robot.call("drive", {"to": old, "from": "stop-1", "pace": "slow"})
    robot.call("drive", {"to": new, "from": "stop-1", "pace": "slow"})
    with pytest.raises(ToolFailed, match="is not fresh"):
        robot.call("drive", {"to": new, "from": new, "pace": "slow"})


@pytest.mark.parametrize(
    ("tool", "args", "status"),
    [
        ("find_item", {"tag": 1}, 404),
        ("plan_route", {"kind": "shelf", "number": 99, "way": "safe"}, 404),
        ("plan_route", {"kind": "shelf", "number": 2, "way": "odd"}, 422),
        ("drive", {"to": "stop-9", "from": "stop-1", "pace": "slow"}, 404),
        ("drive", {"to": "stop-1", "from": "stop-8", "pace": "slow"}, 404),
        ("drive", {"to": "stop-1", "from": "stop-1", "pace": "warp"}, 422),
        ("grasp", {"item": "item-x", "at": "stop-1"}, 404),
        ("look", {"at": "stop-4"}, 404),
        ("look", {}, 422),
        ("stow_arm", {}, 409),
        ("charge", {"percent": 100}, 409),
        ("open_door", {"at": "stop-1"}, 409),
        ("undock", {}, 409),
    ],
)
def test_refusals(tool: str, args: dict[str, Any], status: int) -> None:
    robot = simulator()
    before = robot.state()
    with pytest.raises(ToolFailed) as failed:
        robot.call(tool, args)
    assert failed.value.status == status
    assert robot.state() == before


def test_a_drive_that_was_stopped_goes_on_from_there() -> None:
    person = Person(((5, 0),), 0)
    robot = simulator(people=[person])
    to = robot.call("plan_route", {"kind": "shelf", "number": 2, "way": "short"})["id"]
    ask = {"to": to, "from": "stop-1", "pace": "slow"}
    with pytest.raises(ToolFailed, match="out of the way"):
        robot.call("drive", ask)
    assert (robot.world.robot.cell, robot.call("report", {})["place"]) == ((3, 0), "")
    robot.world.people.clear()
    robot.call("drive", ask)
    assert robot.world.robot.cell == (8, 0)
    assert robot.world.trail == [(column, 0) for column in range(2, 9)]
    assert robot.call("report", {})["place"] == "shelf-2"


def test_docking_and_charging() -> None:
    robot = simulator(robot=Robot((1, 0), 500))
    robot.call("dock", {"at": "stop-1"})
    assert robot.call("charge", {"percent": 80}) == {"charge": 80, "seconds": 150}
    assert robot.call("charge", {"percent": 60}) == {"charge": 80, "seconds": 0}
    with pytest.raises(ToolFailed, match="no such tool|docked"):
        robot.call("look", {"at": "stop-1"})
    with pytest.raises(BBError, match="tool fly: no such tool; use charge"):
        robot.call("fly", {})


def test_a_key_acts_once_and_copies_are_apart() -> None:
    robot = simulator()
    robot.call("wait", {"at": "stop-1", "seconds": 10}, "key")
    twin = robot.copy()
    twin.call("wait", {"at": "stop-1", "seconds": 10}, "key")
    assert twin.state() == robot.state()
    twin.call("wait", {"at": "stop-1", "seconds": 10}, "other")
    drive(twin)
    assert robot.state()["seconds"] == 10.0
    assert robot.world.robot.cell == (1, 0)
    assert tuple(robot.incidents()) == INCIDENTS


def test_people_turn_round_where_the_robot_stands() -> None:
    person = Person(((1, 0), (2, 0), (3, 0)), 0)
    person.step((2, 0))
    assert person.cell == (1, 0)
    person.forward = True
    for expected in ((2, 0), (3, 0), (3, 0), (2, 0)):
        person.step((9, 9))
        assert person.cell == expected


def test_the_picture_shows_what_is_there() -> None:
    world = make_world(1, "rooms", "visitors")
    world.robot.arm_out = True
    world.trail = [(1, 7), (2, 7)]
    svg = svg_text(world, "<a & b>")
    root = ElementTree.fromstring(svg)
    titles = [node.text or "" for node in root.iter() if node.tag.endswith("title")]
    assert titles[0] == "<a & b>"
    assert titles.count("person") == len(world.people)
    for place in world.floor.places:
        assert any(title.startswith(place.id) for title in titles)
    shut = {p.id for p in world.floor.places if p.kind == "door" and not world.is_open(p)}
    assert {title.split()[0].rstrip(",") for title in titles if "(shut)" in title} == shut
    dashes = [node for node in root.iter() if node.tag.endswith("polyline")]
    assert len(dashes) == len(world.people) + 1


def test_drawing_from_the_command_line(tmp_path: Any) -> None:
    out = tmp_path / "trail.svg"
    answer = CliRunner().invoke(app, ["draw", "--split", "train", "--seed", "3", "--out", str(out)])
    assert answer.exit_code == 0
    assert answer.stdout.strip()
    assert "polyline" in out.read_text()
    answer = CliRunner().invoke(app, ["draw", "--layout", "hall", "--out", str(out)])
    assert answer.exit_code == 0
    assert "<title>hall</title>" in out.read_text()
