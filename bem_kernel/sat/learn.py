"""Learning from a conflict: the first unique implication point, minimised.

Which literals are new, or of the current level, nothing can predict; so what depends on it is
computed rather than branched on.

Source: Marques-Silva and Sakallah 1996; Sorensson and Biere 2009 (local minimisation).
"""

# The kernels share one array: its cells are found by position, not by name.
# mypy: disable-error-code="no-untyped-def, no-any-return, assignment"

from __future__ import annotations

import numpy as np

from bem_kernel.compiled import kernel
from bem_kernel.sat.cells import cell, put, put_wide, wide
from bem_kernel.sat.clauses import store, write_step
from bem_kernel.sat.layout import (
    BUMP,
    CONFLICTS,
    KEY,
    LEVEL,
    LEVEL_NOW,
    N_LEARNT,
    REASON,
    SCALARS,
    SCRATCH,
    SEEN,
    SIZE,
    STAMPS,
    TRAIL,
    TRAIL_SIZE,
    USE,
)
from bem_kernel.sat.order import VARIABLE_BITS, decay
from bem_kernel.sat.trail import assign, backtrack


@kernel("int64(int32[::1], int64, int64)")
def _analyze(ws, w, conflict):
    """Learn the first unique implication point of a conflict.

    The learnt clause goes to the scratch row, its asserting literal first. Its other variables
    stay marked. Returns its size.
    """
    level, reason, trail = SCALARS + LEVEL * w, SCALARS + REASON * w, SCALARS + TRAIL * w
    seen, scratch, key = SCALARS + SEEN * w, SCALARS + SCRATCH * w, SCALARS + KEY * w
    now, conflicts = cell(ws, LEVEL_NOW), cell(ws, CONFLICTS)
    raised = np.int64(cell(ws, BUMP)) << VARIABLE_BITS
    size, open_paths = np.int64(1), np.int64(0)
    position = trail + np.int64(cell(ws, TRAIL_SIZE)) - 1
    clause, last = conflict, np.int64(-1)
    while True:
        put(ws, clause + USE, conflicts)
        for k in range(clause, clause + cell(ws, clause + SIZE)):
            literal = np.int64(cell(ws, k))
            variable = literal >> 1
            at = np.int64(cell(ws, level + variable))
            new = np.int64(at > 0) & np.int64(cell(ws, seen + variable) == 0)
            here = np.int64(at == now)
            put(ws, seen + variable, cell(ws, seen + variable) | new)
            put_wide(ws, key + 2 * variable, wide(ws, key + 2 * variable) + (raised & -new))
            put(ws, scratch + size, literal)
            open_paths += new & here
            size += new & (1 - here)
        if last >= 0:
            put(ws, seen + (last >> 1), 0)
        while not cell(ws, seen + (cell(ws, position) >> 1)):
            position -= 1
        last = np.int64(cell(ws, position))
        position -= 1
        open_paths -= 1
        if open_paths == 0:
            break
        clause = np.int64(cell(ws, reason + (last >> 1)))
    put(ws, scratch, last ^ 1)
    put(ws, seen + (last >> 1), 0)
    return size


@kernel("int64(int32[::1], int64, int64)")
def _minimise(ws, w, size):
    """Drop literals that the other marked ones imply; the kept come first."""
    level, reason = SCALARS + LEVEL * w, SCALARS + REASON * w
    seen, scratch = SCALARS + SEEN * w, SCALARS + SCRATCH * w
    kept = np.int64(1)
    for i in range(scratch + 1, scratch + size):
        literal = cell(ws, i)
        clause = np.int64(cell(ws, reason + (literal >> 1)))
        implied = clause != 0
        if implied:
            for k in range(clause, clause + cell(ws, clause + SIZE)):
                variable = cell(ws, k) >> 1
                implied &= (cell(ws, seen + variable) != 0) | (cell(ws, level + variable) == 0)
        # The literal goes behind the kept ones; its mark stays until all are examined.
        put(ws, i, cell(ws, scratch + kept))
        put(ws, scratch + kept, literal)
        kept += np.int64(not implied)
    for i in range(scratch + 1, scratch + size):
        put(ws, seen + (cell(ws, i) >> 1), 0)
    return kept


@kernel("int64(int32[::1], int64, int64)")
def _glue(ws, w, size):
    """Number of levels in the learnt clause, two literals or more; the last level's goes second."""
    scratch, stamps = SCALARS + SCRATCH * w, SCALARS + STAMPS * w
    stamp = cell(ws, CONFLICTS)
    glue, highest, last = np.int64(1), scratch + 1, np.int64(0)
    for i in range(scratch + 1, scratch + size):
        at = np.int64(cell(ws, SCALARS + LEVEL * w + (cell(ws, i) >> 1)))
        glue += np.int64(cell(ws, stamps + at) != stamp)
        put(ws, stamps + at, stamp)
        highest = i if at > last else highest
        last = max(at, last)
    second = cell(ws, highest)
    put(ws, highest, cell(ws, scratch + 1))
    put(ws, scratch + 1, second)
    return glue


@kernel("void(int32[::1], int32[::1], int64, int64)")
def learn(ws, log, w, conflict):
    """Turn a conflict above level 0 into a clause, return to where it asserts, and assert."""
    scratch = SCALARS + SCRATCH * w
    size = _minimise(ws, w, _analyze(ws, w, conflict))
    write_step(ws, log, scratch, size, 1)
    if size == 1:
        backtrack(ws, w, 0)
        assign(ws, w, np.int64(cell(ws, scratch)), 0)
    else:
        glue = _glue(ws, w, size)
        backtrack(ws, w, np.int64(cell(ws, SCALARS + LEVEL * w + (cell(ws, scratch + 1) >> 1))))
        clause = store(ws, w, size, glue)
        put(ws, N_LEARNT, cell(ws, N_LEARNT) + 1)
        assign(ws, w, np.int64(cell(ws, scratch)), clause)
    decay(ws, w)
