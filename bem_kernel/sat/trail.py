"""Assignments: made at a level, undone, and followed through the watched literals.

Watch lists run through the clauses: a literal's list begins at its head, and the next clause is
found in the cell of the watch that it has in this one.

Source: Moskewicz et al. 2001 (two watched literals); Biere 2008 (PicoSAT: lists in the clauses).
"""

# The kernels share one array: its cells are found by position, not by name.
# mypy: disable-error-code="no-untyped-def, no-any-return, assignment"

from __future__ import annotations

import numpy as np

from bem_kernel.compiled import kernel
from bem_kernel.sat.cells import cell, put
from bem_kernel.sat.heap import heap_up
from bem_kernel.sat.layout import (
    HEAD_OF_QUEUE,
    HEADER,
    HEAP_SIZE,
    LEVEL_NOW,
    NEXT_ASSUMPTION,
    SCALARS,
    TRAIL_SIZE,
)


@kernel("void(int32[::1], int64, int64, int64)")
def assign(ws, n, literal, reason):
    """Make a literal true at the current level."""
    value, level, trail = SCALARS, SCALARS + 4 * n, SCALARS + 6 * n
    put(ws, value + literal, 1)
    put(ws, value + (literal ^ 1), -1)
    put(ws, level + (literal >> 1), cell(ws, LEVEL_NOW))
    put(ws, SCALARS + 5 * n + (literal >> 1), reason)
    put(ws, trail + cell(ws, TRAIL_SIZE), literal)
    put(ws, TRAIL_SIZE, cell(ws, TRAIL_SIZE) + 1)


@kernel("void(int32[::1], int64, int64)")
def backtrack(ws, n, to_level):
    """Undo all assignments above a level; variables keep their last value as their phase."""
    value, trail, phase = SCALARS, SCALARS + 6 * n, SCALARS + 7 * n
    heap, place, limits = SCALARS + 9 * n, SCALARS + 10 * n, SCALARS + 13 * n + 2
    if cell(ws, LEVEL_NOW) <= to_level:
        return
    start = cell(ws, limits + to_level)
    for i in range(cell(ws, TRAIL_SIZE) - 1, start - 1, -1):
        literal = cell(ws, trail + i)
        variable = literal >> 1
        put(ws, value + literal, 0)
        put(ws, value + (literal ^ 1), 0)
        put(ws, phase + variable, literal & 1)
        if cell(ws, place + variable) < 0:
            put(ws, heap + cell(ws, HEAP_SIZE), variable)
            put(ws, HEAP_SIZE, cell(ws, HEAP_SIZE) + 1)
            heap_up(ws, n, cell(ws, HEAP_SIZE) - 1)
    put(ws, TRAIL_SIZE, start)
    put(ws, HEAD_OF_QUEUE, start)
    put(ws, LEVEL_NOW, to_level)
    put(ws, NEXT_ASSUMPTION, 0)


@kernel("void(int32[::1], int64)")
def open_level(ws, n):
    """Begin a decision level."""
    put(ws, SCALARS + 13 * n + 2 + cell(ws, LEVEL_NOW), cell(ws, TRAIL_SIZE))
    put(ws, LEVEL_NOW, cell(ws, LEVEL_NOW) + 1)


@kernel("int64(int32[::1], int64)")
def propagate(ws, n):
    """Assign what follows by unit clauses; the clause that became false, or 0."""
    value, heads, trail = SCALARS, SCALARS + 2 * n, SCALARS + 6 * n
    queue = cell(ws, HEAD_OF_QUEUE)
    while queue < cell(ws, TRAIL_SIZE):
        false = cell(ws, trail + queue) ^ 1
        queue += 1
        link = np.int64(heads + false)
        clause = np.int64(cell(ws, link))
        while clause != 0:
            if cell(ws, clause + HEADER) == false:  # make it the second watch
                put(ws, clause + HEADER, cell(ws, clause + HEADER + 1))
                put(ws, clause + HEADER + 1, false)
                first = cell(ws, clause + 1)
                put(ws, clause + 1, cell(ws, clause + 2))
                put(ws, clause + 2, first)
            following = np.int64(cell(ws, clause + 2))
            other = cell(ws, clause + HEADER)
            truth = cell(ws, value + other)
            if truth > 0:
                link = clause + 2
                clause = following
                continue
            found = np.int64(0)
            for k in range(clause + HEADER + 2, clause + HEADER + cell(ws, clause)):
                if cell(ws, value + cell(ws, k)) >= 0:
                    found = k
                    break
            if found:
                literal = cell(ws, found)
                put(ws, clause + HEADER + 1, literal)
                put(ws, found, false)
                put(ws, link, following)
                put(ws, clause + 2, cell(ws, heads + literal))
                put(ws, heads + literal, clause)
            elif truth < 0:
                put(ws, HEAD_OF_QUEUE, cell(ws, TRAIL_SIZE))
                return clause
            else:
                assign(ws, n, other, clause)
                link = clause + 2
            clause = following
    put(ws, HEAD_OF_QUEUE, queue)
    return 0
