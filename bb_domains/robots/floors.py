"""Floor plans: rooms, corridors, warehouses, drawn from a seed.

    rooms        a corridor with rooms on both sides, each behind a door
    ring         a corridor around a core of rooms
    warehouse    aisles between rows of shelves, a gate to the packing area
    hall         an open hall with pillars and tables, and a store room
    ward         a corridor along one side, deep rooms on the other (held out)
    maze         halls divided again and again by walls with one opening (held out)

Furniture stands in a cell of its own; a robot works on it from a cell beside it.
"""

from __future__ import annotations

import itertools
import random
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

from bb_domains.robots.grid import Cell, Grid, around, reachable
from bb_domains.variants import Variants

MOST_NUMBER = 40  # of a place; tags and rooms of one building share no pattern to learn by heart


@dataclass(frozen=True)
class Place:
    """Something with a name that a robot can drive to.

    Attributes:
        kind: shelf, table, bench, bay, door or charger.
        number: tells it from others of its kind.
        body: the cell it stands in; a shut door fills it.
        stands: floor cells from which a robot can work on it.
    """

    kind: str
    number: int
    body: Cell
    stands: tuple[Cell, ...]

    @property
    def id(self) -> str:
        """Its name: `shelf-3`."""
        return f"{self.kind}-{self.number}"


@dataclass(frozen=True)
class Floor:
    """A floor plan.

    Attributes:
        layout: name of the kind of plan.
        grid: walls and furniture.
        places: everything with a name, the charger first.
    """

    layout: str
    grid: Grid
    places: tuple[Place, ...]


@dataclass
class _Draft:
    """A floor plan in the making."""

    columns: int
    rows: int
    rng: random.Random
    walls: set[Cell] = field(default_factory=set)
    doors: list[Cell] = field(default_factory=list)
    furniture: list[tuple[str, Cell]] = field(default_factory=list)

    def frame(self) -> None:
        """Walls all around."""
        self.row(0, 0, self.columns)
        self.row(self.rows - 1, 0, self.columns)
        self.column(0, 0, self.rows)
        self.column(self.columns - 1, 0, self.rows)

    def row(self, row: int, start: int, stop: int) -> None:
        """A wall along a row."""
        self.walls |= {(column, row) for column in range(start, stop)}

    def column(self, column: int, start: int, stop: int) -> None:
        """A wall along a column."""
        self.walls |= {(column, row) for row in range(start, stop)}

    def door(self, cell: Cell) -> None:
        """An opening with a door."""
        self.walls.discard(cell)
        self.doors.append(cell)

    def furnish(self, kinds: Iterable[str], cells: Iterable[Cell]) -> None:
        """Put furniture into cells drawn from these, not beside a door."""
        near = around(self.doors, 1)
        free = [cell for cell in cells if cell not in self.walls and cell not in near]
        for kind in kinds:
            free = [cell for cell in free if cell not in self.walls]
            if free:
                cell = free.pop(self.rng.randrange(len(free)))
                self.walls.add(cell)
                self.furniture.append((kind, cell))


def make_floor(layout: str, rng: random.Random) -> Floor:
    """Draw a floor plan in which every place can be reached through open doors.

    Args:
        layout: one of `LAYOUTS`.
        rng: makes it.

    Raises:
        BBError: there is no such layout.
    """
    drawn = LAYOUTS[layout]
    while True:
        floor = _finished(layout, drawn.draw(rng))
        if floor is not None:
            return floor


def _finished(layout: str, draft: _Draft) -> Floor | None:
    """The plan with its places named; None if some cannot be reached."""
    grid = Grid(draft.columns, draft.rows, frozenset(draft.walls))
    kinds = [*draft.furniture, *(("door", cell) for cell in draft.doors)]
    numbers = {
        kind: draft.rng.sample(range(1, MOST_NUMBER + 1), len(kinds))
        for kind in dict.fromkeys(kind for kind, _ in kinds)
    }
    gaps = set(draft.doors)
    places = []
    for kind, body in kinds:
        beside = tuple(cell for cell in grid.neighbours(body) if cell not in gaps)
        places.append(Place(kind, numbers[kind].pop(), body, beside))
    places.sort(key=lambda place: place.kind != "charger")
    if not places or places[0].kind != "charger" or not all(place.stands for place in places):
        return None
    stands = grid.bits(cell for place in places for cell in place.stands)
    if stands & ~reachable(grid, places[0].stands[0]):
        return None
    return Floor(layout, grid, tuple(places))


def _blank(columns: int, rows: int, rng: random.Random) -> _Draft:
    draft = _Draft(columns, rows, rng)
    draft.frame()
    return draft


def _box(left: int, top: int, right: int, bottom: int) -> list[Cell]:
    """The cells of a room along its walls; the bounds belong to it."""
    return [
        (column, row)
        for row in range(top, bottom + 1)
        for column in range(left, right + 1)
        if column in (left, right) or row in (top, bottom)
    ]


def _rooms(rng: random.Random) -> _Draft:
    """Rooms above and below a corridor two cells wide."""
    draft = _blank(27, 15, rng)
    draft.row(6, 0, 27)
    draft.row(9, 0, 27)
    draft.furnish(["charger", "bench"], [(1, 7), (25, 7), (25, 8), (1, 8)])
    for top, bottom, wall in ((1, 5, 6), (10, 13, 9)):
        edges = [0, rng.choice((7, 8, 9)), rng.choice((16, 17, 18)), 26]
        for left, right in itertools.pairwise(edges):
            draft.column(right, top, bottom + 1)
            draft.door((rng.randint(left + 2, right - 2), wall))
            kinds = rng.sample(("shelf", "shelf", "table", "bench", "bay"), 3)
            draft.furnish(kinds, _box(left + 1, top, right - 1, bottom))
    return draft


def _ring(rng: random.Random) -> _Draft:
    """A corridor around a core of four rooms."""
    draft = _blank(23, 17, rng)
    for row in (4, 8, 12):
        draft.row(row, 4, 19)
    for column in (4, 11, 18):
        draft.column(column, 4, 13)
    corners = [(1, 1), (21, 1), (1, 15), (21, 15)]
    draft.furnish(["charger", "bay", "table"], corners)
    for left, top in ((5, 5), (12, 5), (5, 9), (12, 9)):
        wall = 4 if top == 5 else 12
        draft.door((rng.randint(left + 1, left + 4), wall))
        kinds = rng.sample(("shelf", "shelf", "table", "bench"), 3)
        draft.furnish(kinds, _box(left, top, left + 5, top + 2))
    return draft


def _warehouse(rng: random.Random) -> _Draft:
    """Rows of shelves, and a packing area behind a gate."""
    draft = _blank(26, 16, rng)
    draft.column(19, 1, 15)
    draft.door((19, rng.randint(4, 11)))
    for row in (3, 4, 7, 8, 11, 12):
        half = rng.choice((9, 10, 11))
        block = [(c, row) for c in (*range(3, half), *range(half + 2, 17))]
        draft.furnish(["shelf"] * 2, block)
        draft.walls |= set(block)
    draft.furnish(["charger"], [(1, 1), (1, 14), (18, 1), (18, 14)])
    draft.furnish(["table", "table", "bay", "bay", "bench"], _box(20, 1, 24, 14))
    return draft


def _hall(rng: random.Random) -> _Draft:
    """An open hall with pillars and tables, and a store room."""
    draft = _blank(25, 16, rng)
    draft.column(18, 1, 8)
    draft.row(8, 18, 25)
    draft.door((18, rng.randint(3, 6)))
    draft.furnish(["shelf", "shelf", "shelf"], _box(19, 1, 23, 7))
    draft.walls |= {(c, r) for c in (5, 10, 15) for r in (4, 11) if rng.random() < 0.8}
    inner = [(c, r) for c in range(3, 16) for r in range(3, 13) if c % 3 == 0 and r % 3 == 0]
    draft.furnish(["table"] * 4, inner)
    draft.furnish(["charger", "bench", "bay", "bay"], _box(1, 1, 16, 14))
    return draft


def _ward(rng: random.Random) -> _Draft:
    """A corridor on the left, deep rooms on the right, a station in the corridor."""
    draft = _blank(20, 21, rng)
    draft.column(5, 0, 21)
    for top in (1, 6, 11, 16):
        draft.row(top + 4, 5, 20)
        draft.door((5, rng.randint(top + 1, top + 2)))
        kinds = rng.sample(("table", "table", "bench", "shelf", "bay"), 3)
        draft.furnish(kinds, _box(6, top, 18, top + 3))
    draft.furnish(["charger", "shelf", "bench"], _box(1, 1, 4, 19))
    return draft


def _maze(rng: random.Random) -> _Draft:
    """A hall divided recursively by walls with one opening each; some openings have doors."""
    draft = _blank(25, 17, rng)
    _divide(draft, 1, 1, 23, 15)
    draft.furnish(
        ["charger", "shelf", "shelf", "shelf", "table", "table", "bench", "bay"],
        [(c, r) for c in range(1, 24) for r in range(1, 16)],
    )
    return draft


def _divide(draft: _Draft, left: int, top: int, right: int, bottom: int) -> None:
    width, height, rng = right - left + 1, bottom - top + 1, draft.rng
    if max(width, height) < 9:
        return
    gaps = set(draft.doors)
    if width >= height:
        at = rng.randint(left + 3, right - 3)
        draft.column(at, top, bottom + 1)
        opening = (at, rng.randint(top + 1, bottom - 1))
        parts = ((left, top, at - 1, bottom), (at + 1, top, right, bottom))
    else:
        at = rng.randint(top + 3, bottom - 3)
        draft.row(at, left, right + 1)
        opening = (rng.randint(left + 1, right - 1), at)
        parts = ((left, top, right, at - 1), (left, at + 1, right, bottom))
    draft.walls -= gaps
    draft.walls.discard(opening)
    if rng.random() < 0.6:
        draft.door(opening)
    for part in parts:
        _divide(draft, *part)


@dataclass(frozen=True)
class Layout:
    """A kind of floor plan: its name, whether training never sees it, what draws one."""

    name: str
    held_out: bool
    draw: Callable[[random.Random], _Draft]


LAYOUTS = Variants(
    "layout",
    (
        Layout("rooms", False, _rooms),
        Layout("ring", False, _ring),
        Layout("warehouse", False, _warehouse),
        Layout("hall", False, _hall),
        Layout("ward", True, _ward),
        Layout("maze", True, _maze),
    ),
)
