"""Assignments: made at a level, undone, and followed through the clauses.

Short clauses are never moved: a literal that becomes false goes through all that it is in, which
lie side by side. Other clauses are watched by two literals, and their lists run through the
clauses themselves: the next one is found in the header, in the cell of the watch. Tried and left:
watches in rows of their own, with a literal beside each that makes a visit needless (MiniSat 2.1);
5 to 10 % slower at 64 and 128 variables, a quarter quicker only after 10,000 conflicts.

Source: Moskewicz et al. 2001 (two watched literals); Biere 2008 (PicoSAT: lists in the clauses).
"""

# The kernels share one array: its cells are found by position, not by name.
# mypy: disable-error-code="no-untyped-def, no-any-return, assignment"

from __future__ import annotations

import numpy as np

from bem_kernel.compiled import kernel
from bem_kernel.sat.cells import cell, put, put_wide, wide
from bem_kernel.sat.layout import (
    CLOSE,
    CLOSE_FROM,
    FALSIFIED,
    HEAD_OF_QUEUE,
    HEADS,
    KEY,
    LEVEL,
    LEVEL_NOW,
    LIMITS,
    LIVE,
    N_VARS,
    NEXT,
    NEXT_ASSUMPTION,
    PHASE,
    REASON,
    SCALARS,
    SIZE,
    TRAIL,
    TRAIL_SIZE,
    VALUE,
)


@kernel("void(int32[::1], int64, int64, int64, int64)")
def _make_true(ws, w, size, literal, reason):
    """Append a literal to a trail of `size` literals, without level."""
    put(ws, SCALARS + VALUE * w + literal, 1)
    put(ws, SCALARS + VALUE * w + (literal ^ 1), -1)
    put(ws, SCALARS + REASON * w + (literal >> 1), reason)
    put(ws, SCALARS + TRAIL * w + size, literal)


@kernel("void(int32[::1], int64, int64)")
def _settle(ws, w, size):
    """Give the literals that have come to the trail the current level."""
    level, trail, live = SCALARS + LEVEL * w, SCALARS + TRAIL * w, SCALARS + LIVE * w
    now = cell(ws, LEVEL_NOW)
    for i in range(trail + cell(ws, TRAIL_SIZE), trail + size):
        variable = cell(ws, i) >> 1
        put(ws, level + variable, now)
        put_wide(ws, live + 2 * variable, -1)
    put(ws, TRAIL_SIZE, size)


@kernel("void(int32[::1], int64, int64, int64)")
def assign(ws, w, literal, reason):
    """Make a literal true at the current level."""
    size = np.int64(cell(ws, TRAIL_SIZE))
    _make_true(ws, w, size, literal, reason)
    _settle(ws, w, size + 1)


@kernel("void(int32[::1], int64, int64)")
def backtrack(ws, w, to_level):
    """Undo all assignments above a level; variables keep their last value as their phase."""
    value, trail, phase = SCALARS + VALUE * w, SCALARS + TRAIL * w, SCALARS + PHASE * w
    key, live = SCALARS + KEY * w, SCALARS + LIVE * w
    if cell(ws, LEVEL_NOW) <= to_level:
        return
    start = cell(ws, SCALARS + LIMITS * w + to_level)
    for i in range(start, cell(ws, TRAIL_SIZE)):
        literal = cell(ws, trail + i)
        variable = literal >> 1
        put(ws, value + literal, 0)
        put(ws, value + (literal ^ 1), 0)
        put(ws, phase + variable, literal & 1)
        put_wide(ws, live + 2 * variable, wide(ws, key + 2 * variable))
    put(ws, TRAIL_SIZE, start)
    put(ws, HEAD_OF_QUEUE, start)
    put(ws, LEVEL_NOW, to_level)
    put(ws, NEXT_ASSUMPTION, 0)


@kernel("void(int32[::1], int64)")
def open_level(ws, w):
    """Begin a decision level."""
    put(ws, SCALARS + LIMITS * w + cell(ws, LEVEL_NOW), cell(ws, TRAIL_SIZE))
    put(ws, LEVEL_NOW, cell(ws, LEVEL_NOW) + 1)


@kernel("int64(int32[::1], int64, int64, int64)")
def _follow_watches(ws, w, false, size):
    """Visit the clauses that watch a false literal, up to one that is false.

    Returns the trail's size; the clause that is false goes to FALSIFIED.
    """
    value, heads = SCALARS + VALUE * w, SCALARS + HEADS * w
    link = heads + false
    clause = np.int64(cell(ws, link))
    while clause != 0:
        if cell(ws, clause) == false:  # make it the second watch
            put(ws, clause, cell(ws, clause + 1))
            put(ws, clause + 1, false)
            first = cell(ws, clause + NEXT)
            put(ws, clause + NEXT, cell(ws, clause + NEXT + 1))
            put(ws, clause + NEXT + 1, first)
        following = np.int64(cell(ws, clause + NEXT + 1))
        other = cell(ws, clause)
        truth = cell(ws, value + other)
        if truth > 0:
            link = clause + NEXT + 1
            clause = following
            continue
        found = np.int64(0)
        for k in range(clause + 2, clause + cell(ws, clause + SIZE)):
            if cell(ws, value + cell(ws, k)) >= 0:
                found = k
                break
        if found:
            literal = cell(ws, found)
            put(ws, clause + 1, literal)
            put(ws, found, false)
            put(ws, link, following)
            put(ws, clause + NEXT + 1, cell(ws, heads + literal))
            put(ws, heads + literal, clause)
        elif truth < 0:
            put(ws, FALSIFIED, clause)
            break
        else:
            _make_true(ws, w, size, other, clause)
            size += 1
            link = clause + NEXT + 1
        clause = following
    return size


@kernel("int64(int32[::1], int64)")
def propagate(ws, w):
    """Assign what follows by unit clauses; the clause that became false, or 0.

    Of two literals beside a false one, -1 each if false, the sum says all: -2 is a conflict, -1 one
    false and one open. What it implies is written without a branch, elsewhere if nothing is.
    """
    value, close, trail = SCALARS + VALUE * w, SCALARS + CLOSE_FROM * w, SCALARS + TRAIL * w
    nowhere = 2 * np.int64(cell(ws, N_VARS)) + 2
    queue, size = np.int64(cell(ws, HEAD_OF_QUEUE)), np.int64(cell(ws, TRAIL_SIZE))
    conflict = np.int64(0)
    while queue < size and conflict == 0:
        false = np.int64(cell(ws, trail + queue) ^ 1)
        queue += 1
        at, end = np.int64(cell(ws, close + false)), np.int64(cell(ws, close + false + 1))
        while at < end:
            one, other = np.int64(cell(ws, at)), np.int64(cell(ws, at + 1))
            clause = np.int64(cell(ws, at + 2))
            at += CLOSE
            truth = cell(ws, value + one)
            both = truth + cell(ws, value + other)
            implied = one if truth == 0 else other
            implied = implied if both == -1 else nowhere
            conflict = clause if both == -2 else conflict
            _make_true(ws, w, size, implied, clause)
            size += np.int64(both == -1)
        if conflict == 0:
            size = _follow_watches(ws, w, false, size)
            conflict = np.int64(cell(ws, FALSIFIED))
    _settle(ws, w, size)
    put(ws, FALSIFIED, 0)
    put(ws, HEAD_OF_QUEUE, size if conflict else queue)
    return conflict
