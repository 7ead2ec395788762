"""A formula brought into the array: rows cleared, short clauses listed, the others watched."""

# The kernels share one array: its cells are found by position, not by name.
# mypy: disable-error-code="no-untyped-def, no-any-return, assignment"

from __future__ import annotations

import numpy as np

from bem_kernel.compiled import kernel
from bem_kernel.sat.cells import cell, put, put_wide, wide
from bem_kernel.sat.clauses import add_clause
from bem_kernel.sat.layout import (
    BUMP,
    CLOSE,
    CLOSE_FROM,
    KEEP_AT_MOST,
    KEY,
    LEARNT_FROM,
    LIVE,
    LONG_FROM,
    N_VARS,
    PHASE,
    ROWS,
    SCALARS,
    SHORT,
    SIZE,
    USED,
    VALUE,
    stride,
)
from bem_kernel.sat.order import VARIABLE_BITS

_KEPT_FIRST = 300  # learnt clauses before the first reduction
_FIRST_BUMP = 64
_MAX_FIRST = 1 << 10  # activity that occurrences can give


@kernel("void(int32[::1], int64)")
def start(ws, n):
    """Begin an empty formula over n variables."""
    w = stride(n)
    end = SCALARS + ROWS * w
    for i in range(end):
        put(ws, i, 0)
    put(ws, N_VARS, n)
    put(ws, BUMP, _FIRST_BUMP)
    put(ws, KEEP_AT_MOST, _KEPT_FIRST)
    put(ws, SCALARS + VALUE * w + 2 * n, -1)
    put(ws, SCALARS + VALUE * w + 2 * n + 1, 1)
    for variable in range(n):
        put_wide(ws, SCALARS + KEY * w + 2 * variable, variable)
        put_wide(ws, SCALARS + LIVE * w + 2 * variable, variable)
    for scalar in (USED, LONG_FROM, LEARNT_FROM):
        put(ws, scalar, end)


@kernel("boolean(int32[::1], int32[::1], int64, int64, int64)")
def _copy_short(ws, literals, first, end, at):
    """Copy a clause to `at` if it has two or three literals of different variables."""
    size = end - first
    if size < 2 or size > 3:
        return False
    put(ws, at + SIZE, size)
    for i in range(size):
        signed = np.int64(cell(literals, first + i))
        negative = signed >> 63  # -1 or 0: no branch, since signs cannot be predicted
        put(ws, at + i, 2 * ((signed ^ negative) - negative - 1) - negative)
    one, other, third = cell(ws, at) >> 1, cell(ws, at + 1) >> 1, cell(ws, at + size - 1) >> 1
    return (one != other) & (one != third) & ((size == 2) | (other != third))


@kernel("void(int32[::1], int64, int64, int64)")
def _list_short(ws, w, first, end):
    """Fill the lists of all literals with the short clauses from `first` on; cells end at `end`."""
    n = np.int64(cell(ws, N_VARS))
    close = SCALARS + CLOSE_FROM * w
    room = end
    for literal in range(2 * n + 1):  # a list's begin is its end for now, and filled backwards
        room += CLOSE * np.int64(cell(ws, close + literal))
        put(ws, close + literal, room)
    put(ws, USED, room)
    for clause in range(first, end, SHORT):
        if cell(ws, clause + SIZE) == 2:
            put(ws, clause + 2, 2 * n)
        one, two, three = cell(ws, clause), cell(ws, clause + 1), cell(ws, clause + 2)
        _enlist(ws, close + one, two, three, clause)
        _enlist(ws, close + two, one, three, clause)
        if three != 2 * n:
            _enlist(ws, close + three, one, two, clause)


@kernel("void(int32[::1], int64, int64, int64, int64)")
def _enlist(ws, begin, one, other, clause):
    """Put what a clause has beside a literal on the literal's list."""
    at = np.int64(cell(ws, begin)) - CLOSE
    put(ws, begin, at)
    put(ws, at, one)
    put(ws, at + 1, other)
    put(ws, at + 2, clause)


@kernel("void(int32[::1], int64, int64, int64)")
def _count(ws, w, literal, times):
    """Count occurrences of a literal, for its variable's first activity and phase."""
    key, phase = SCALARS + KEY * w + (literal | 1) - 1, SCALARS + PHASE * w + (literal >> 1)
    put(ws, key + 1, cell(ws, key + 1) + times)
    put(ws, phase, cell(ws, phase) + (times if literal & 1 else -times))


@kernel("void(int32[::1], int64)")
def _order(ws, w):
    """Order variables by how often they occur, and phases by how."""
    for variable in range(np.int64(cell(ws, N_VARS))):
        key, phase = SCALARS + KEY * w + 2 * variable, SCALARS + PHASE * w + variable
        activity = min(np.int64(cell(ws, key + 1)), np.int64(_MAX_FIRST))
        put_wide(ws, key, activity << VARIABLE_BITS | variable)
        if cell(ws, SCALARS + VALUE * w + 2 * variable) == 0:
            put_wide(ws, SCALARS + LIVE * w + 2 * variable, wide(ws, key))
        put(ws, phase, 1 if cell(ws, phase) > 0 else 0)


@kernel("void(int32[::1], int32[::1], int32[::1], int32[::1])")
def load(ws, log, offsets, literals):
    """Add all clauses of a formula to an empty solver."""
    n = np.int64(cell(ws, N_VARS))
    w = stride(n)
    close = SCALARS + CLOSE_FROM * w
    count = offsets.shape[0] - 1
    begin = np.int64(cell(ws, USED))
    first = at = begin + SHORT - 3
    for i in range(count):
        if _copy_short(ws, literals, np.int64(offsets[i]), np.int64(offsets[i + 1]), at):
            for k in range(at, at + cell(ws, at + SIZE)):
                put(ws, close + cell(ws, k), cell(ws, close + cell(ws, k)) + 1)
            at += SHORT
    for literal in range(2 * n):
        _count(ws, w, literal, np.int64(cell(ws, close + literal)))
    _list_short(ws, w, first, begin + at - first)
    put(ws, LONG_FROM, cell(ws, USED))
    if at - first < SHORT * count:
        for i in range(count):
            start, end = np.int64(offsets[i]), np.int64(offsets[i + 1])
            if not _copy_short(ws, literals, start, end, np.int64(cell(ws, USED)) + SHORT):
                for k in range(start, end):
                    signed = np.int64(literals[k])
                    _count(ws, w, 2 * abs(signed) - 2 + np.int64(signed < 0), 1)
                add_clause(ws, log, literals, start, end)
    put(ws, LEARNT_FROM, cell(ws, USED))
    _order(ws, w)
