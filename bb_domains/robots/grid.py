"""A floor as a grid of cells, and the cheapest way over it.

A cell is (column, row), both from 0, rows downwards. A robot, a person, a piece of furniture takes
one cell; moves go to the four neighbours.
"""

from __future__ import annotations

import heapq
from collections.abc import Callable, Collection
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

    @cached_property
    def _around(self) -> dict[Cell, tuple[Cell, ...]]:
        cells = ((column, row) for column in range(self.columns) for row in range(self.rows))
        moves = ((0, -1), (1, 0), (0, 1), (-1, 0))
        return {
            (column, row): tuple(
                (column + i, row + j) for i, j in moves if self.is_floor((column + i, row + j))
            )
            for column, row in cells
        }

    def neighbours(self, cell: Cell) -> tuple[Cell, ...]:
        """The floor cells one move away, in a fixed order."""
        return self._around[cell]


def distance(one: Cell, two: Cell) -> int:
    """Chebyshev distance in cells: 1 for all eight cells around."""
    return max(abs(one[0] - two[0]), abs(one[1] - two[1]))


def cheapest_way(
    grid: Grid,
    start: Cell,
    goals: Collection[Cell],
    shut: Collection[Cell],
    cost: Callable[[Cell], int],
) -> tuple[Cell, ...] | None:
    """The cheapest way from a cell to one of several (Dijkstra 1959); ties go to the lower cell.

    Args:
        grid: the floor.
        start: where it begins; not part of the way.
        goals: where it may end.
        shut: floor cells that cannot be entered now, such as closed doors.
        cost: of entering a cell, at least 1.

    Returns:
        The cells entered, in order, empty if `start` is a goal; None if there is no way.
    """
    before: dict[Cell, Cell] = {}
    spent = {start: 0}
    queue: list[tuple[int, Cell]] = [(0, start)]
    while queue:
        so_far, cell = heapq.heappop(queue)
        if so_far > spent[cell]:
            continue
        if cell in goals:
            return _trace(before, start, cell)
        for near in grid.neighbours(cell):
            if near in shut:
                continue
            price = so_far + cost(near)
            if price < spent.get(near, price + 1):
                spent[near], before[near] = price, cell
                heapq.heappush(queue, (price, near))
    return None


def reachable(grid: Grid, start: Cell, shut: Collection[Cell] = ()) -> frozenset[Cell]:
    """Every cell that can be reached."""
    found, border = {start}, [start]
    while border:
        for near in grid.neighbours(border.pop()):
            if near not in found and near not in shut:
                found.add(near)
                border.append(near)
    return frozenset(found)


def _trace(before: dict[Cell, Cell], start: Cell, end: Cell) -> tuple[Cell, ...]:
    cells: list[Cell] = []
    while end != start:
        cells.append(end)
        end = before[end]
    return tuple(reversed(cells))
