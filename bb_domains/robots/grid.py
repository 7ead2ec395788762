"""A floor as a grid of cells, and the cheapest way over it.

A cell is (column, row), both from 0, rows downwards. A robot, a person, a piece of furniture takes
one cell; moves go to the four neighbours. Searches hold sets of cells as the bits of one integer, a
column after the other with an empty bit in between, so that a shift moves all cells of a set.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass
from functools import cached_property

Cell = tuple[int, int]


@dataclass(frozen=True)
class Grid:
    """A floor; what is not a wall can be stood on.

    Attributes:
        columns, rows: its size in cells.
        walls: cells that nobody can enter, furniture included.
    """

    columns: int
    rows: int
    walls: frozenset[Cell]

    def is_floor(self, cell: Cell) -> bool:
        """Whether a cell lies inside and is no wall."""
        column, row = cell
        return 0 <= column < self.columns and 0 <= row < self.rows and cell not in self.walls

    def neighbours(self, cell: Cell) -> tuple[Cell, ...]:
        """The floor cells one move away, in a fixed order."""
        column, row = cell
        near = ((column, row - 1), (column + 1, row), (column, row + 1), (column - 1, row))
        return tuple(one for one in near if self.is_floor(one))

    @cached_property
    def floor(self) -> int:
        """The bits of all cells that can be stood on."""
        column = (1 << self.rows) - 1
        whole = sum(column << i * (self.rows + 1) for i in range(self.columns))
        return whole & ~self.bits(self.walls)

    def bits(self, cells: Iterable[Cell]) -> int:
        """A set of cells of the grid as an integer; a lower cell is a lower bit."""
        found, pitch = 0, self.rows + 1
        for column, row in cells:
            found |= 1 << column * pitch + row
        return found

    def cells(self, bits: int) -> list[Cell]:
        """The cells of a set, lowest first."""
        digits = reversed(f"{bits:b}")
        return [divmod(i, self.rows + 1) for i, digit in enumerate(digits) if digit == "1"]

    def beside(self, bits: int) -> int:
        """The floor cells one move away from any of a set."""
        pitch = self.rows + 1
        return (bits << 1 | bits >> 1 | bits << pitch | bits >> pitch) & self.floor


def distance(one: Cell, two: Cell) -> int:
    """Chebyshev distance in cells: 1 for all eight cells around."""
    return max(abs(one[0] - two[0]), abs(one[1] - two[1]))


def around(cells: Iterable[Cell], reach: int) -> frozenset[Cell]:
    """All cells within a Chebyshev distance of some, these included."""
    steps = range(-reach, reach + 1)
    return frozenset((column + i, row + j) for column, row in cells for i in steps for j in steps)


def cheapest_way(
    grid: Grid,
    start: Cell,
    goals: Iterable[Cell],
    shut: Iterable[Cell] = (),
    dear: Iterable[tuple[int, Collection[Cell]]] = (),
) -> tuple[Cell, ...] | None:
    """The cheapest way from a cell to one of several; ties go to the lower cell.

    Dijkstra's search (1959) over buckets of one price each (Dial 1969), a bucket being a set.

    Args:
        grid: the floor.
        start: where it begins; not part of the way.
        goals: where it may end.
        shut: floor cells that cannot be entered now, such as closed doors.
        dear: cells, and what entering one of them costs on top of the 1 that every cell costs.

    Returns:
        The cells entered, in order, empty if `start` is a goal; None if there is no way.
    """
    costs = {1: grid.floor & ~grid.bits(shut)}
    for more, cells in dear:
        these = grid.bits(cells)
        split = {cost + more: plane & these for cost, plane in costs.items()}
        for cost, plane in costs.items():
            split[cost] = split.get(cost, 0) | plane & ~these
        costs = split
    ends, settled = grid.bits(goals), 0
    buckets, layers = {0: grid.bits([start])}, dict[int, int]()
    while buckets:
        price = min(buckets)
        found = buckets.pop(price) & ~settled
        settled |= found
        layers[price] = found
        if found & ends:
            return _trace(grid, layers, costs, found & ends, price)
        near = grid.beside(found) & ~settled
        for cost, plane in costs.items():
            if near & plane:
                buckets[price + cost] = buckets.get(price + cost, 0) | near & plane
    return None


def _trace(
    grid: Grid, layers: dict[int, int], costs: dict[int, int], ends: int, price: int
) -> tuple[Cell, ...]:
    """The way back from the lowest of these cells, each time to the lowest that lies on one."""
    way: list[int] = []
    while price:
        way.append(ends & -ends)
        price -= next(cost for cost, plane in costs.items() if plane & way[-1])
        ends = grid.beside(way[-1]) & layers[price]
    return tuple(divmod(bit.bit_length() - 1, grid.rows + 1) for bit in reversed(way))


def reachable(grid: Grid, start: Cell, shut: Iterable[Cell] = ()) -> int:
    """The bits of every cell that can be reached."""
    found = border = grid.bits([start])
    free = grid.floor & ~grid.bits(shut)
    while border:
        border = grid.beside(border) & free & ~found
        found |= border
    return found
