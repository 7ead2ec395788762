"""Learning from a conflict: the first unique implication point, minimised.

Source: Marques-Silva and Sakallah 1996; Sorensson and Biere 2009 (local minimisation).
"""

# The kernels share one array: its cells are found by position, not by name.
# mypy: disable-error-code="no-untyped-def, no-any-return, assignment"

from __future__ import annotations

import numpy as np

from bem_kernel.compiled import kernel
from bem_kernel.sat.cells import cell, put
from bem_kernel.sat.clauses import store, write_step
from bem_kernel.sat.heap import bump, decay
from bem_kernel.sat.layout import HEADER, LEVEL_NOW, N_LEARNT, N_VARS, SCALARS, TRAIL_SIZE
from bem_kernel.sat.trail import assign, backtrack


@kernel("int64(int32[::1], int64, int64)")
def _analyze(ws, n, conflict):
    """Learn the first unique implication point of a conflict.

    The learnt clause goes to the scratch row: its asserting literal first, then one of the level
    to return to, if there is one. Returns the clause's size.
    """
    level, reason, trail = SCALARS + 4 * n, SCALARS + 5 * n, SCALARS + 6 * n
    seen, learnt = SCALARS + 11 * n, SCALARS + 12 * n
    now = cell(ws, LEVEL_NOW)
    size, open_paths, position = 1, 0, cell(ws, TRAIL_SIZE) - 1
    clause, skip = conflict, -1
    while True:
        for k in range(clause + HEADER, clause + HEADER + cell(ws, clause)):
            literal = cell(ws, k)
            variable = literal >> 1
            if literal == skip or cell(ws, seen + variable) or cell(ws, level + variable) == 0:
                continue
            put(ws, seen + variable, 1)
            bump(ws, n, variable)
            if cell(ws, level + variable) == now:
                open_paths += 1
            else:
                put(ws, learnt + size, literal)
                size += 1
        while not cell(ws, seen + (cell(ws, trail + position) >> 1)):
            position -= 1
        skip = cell(ws, trail + position)
        position -= 1
        open_paths -= 1
        if open_paths == 0:
            break
        clause = np.int64(cell(ws, reason + (skip >> 1)))
        put(ws, seen + (skip >> 1), 0)
    put(ws, learnt, skip ^ 1)
    put(ws, seen + (skip >> 1), 0)
    return _minimise(ws, n, size)


@kernel("int64(int32[::1], int64, int64)")
def _minimise(ws, n, size):
    """Drop literals that the others imply, clear the marks, and put the second watch second."""
    level, reason = SCALARS + 4 * n, SCALARS + 5 * n
    seen, learnt = SCALARS + 11 * n, SCALARS + 12 * n
    kept = 1
    for i in range(1, size):
        literal = cell(ws, learnt + i)
        clause = np.int64(cell(ws, reason + (literal >> 1)))
        implied = clause != 0
        if implied:
            for k in range(clause + HEADER, clause + HEADER + cell(ws, clause)):
                variable = cell(ws, k) >> 1
                if (
                    variable != literal >> 1
                    and not cell(ws, seen + variable)
                    and cell(ws, level + variable) > 0
                ):
                    implied = False
                    break
        if implied:
            # Its mark stays until all are examined; the literal moves behind the kept ones.
            continue
        put(ws, learnt + i, cell(ws, learnt + kept))
        put(ws, learnt + kept, literal)
        kept += 1
    highest = 1
    for i in range(1, size):
        literal = cell(ws, learnt + i)
        put(ws, seen + (literal >> 1), 0)
        if i < kept and cell(ws, level + (literal >> 1)) > cell(
            ws, level + (cell(ws, learnt + highest) >> 1)
        ):
            highest = i
    if kept > 1:
        second = cell(ws, learnt + highest)
        put(ws, learnt + highest, cell(ws, learnt + 1))
        put(ws, learnt + 1, second)
    return kept


@kernel("int64(int32[::1], int64, int64)")
def _glue(ws, n, size):
    """Number of decision levels in the learnt clause of the scratch row."""
    level, seen, learnt = SCALARS + 4 * n, SCALARS + 11 * n, SCALARS + 12 * n
    glue = 0
    for i in range(size):
        at = cell(ws, level + (cell(ws, learnt + i) >> 1)) - 1
        if at >= 0 and not cell(ws, seen + at):
            put(ws, seen + at, 1)
            glue += 1
    for i in range(size):
        at = cell(ws, level + (cell(ws, learnt + i) >> 1)) - 1
        if at >= 0:
            put(ws, seen + at, 0)
    return glue


@kernel("void(int32[::1], int32[::1], int64)")
def learn(ws, log, conflict):
    """Turn a conflict above level 0 into a clause, return to where it asserts, and assert."""
    n = np.int64(cell(ws, N_VARS))
    level, learnt = SCALARS + 4 * n, SCALARS + 12 * n
    size = _analyze(ws, n, conflict)
    glue = _glue(ws, n, size)
    write_step(ws, log, learnt, size, 1)
    back = np.int64(cell(ws, level + (cell(ws, learnt + 1) >> 1))) if size > 1 else 0
    backtrack(ws, n, back)
    if size == 1:
        assign(ws, n, cell(ws, learnt), 0)
    else:
        clause = store(ws, n, size, max(1, glue))
        put(ws, N_LEARNT, cell(ws, N_LEARNT) + 1)
        assign(ws, n, cell(ws, learnt), clause)
    decay(ws, n)
