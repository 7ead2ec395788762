"""Clauses: stored, watched, deleted, and logged as the proof.

Source: Moskewicz et al. 2001; Audemard and Simon 2009 (glue: learnt clauses worth keeping).
"""

# The kernels share one array: its cells are found by position, not by name.
# mypy: disable-error-code="no-untyped-def, no-any-return, assignment"

from __future__ import annotations

import numpy as np

from bem_kernel.compiled import kernel
from bem_kernel.sat.cells import cell, put
from bem_kernel.sat.layout import (
    CONFLICTS,
    GLUE,
    HEADER,
    HEADS,
    KEEP_AT_MOST,
    LEARNT_FROM,
    LOGGED,
    LONG_FROM,
    N_LEARNT,
    N_VARS,
    NEXT,
    REDUCED,
    REFUTED,
    SCALARS,
    SCRATCH,
    SEEN,
    SIZE,
    USE,
    USED,
    VALUE,
    stride,
)
from bem_kernel.sat.trail import assign

_KEPT_MORE = 300  # learnt clauses from each reduction to the next, at least
_SHARE = 2  # and at least a quarter of the conflicts so far


@kernel("void(int32[::1], int64, int64)")
def _watch(ws, heads, clause):
    """Put a clause on the lists of its first two literals."""
    for watch in range(2):
        literal = cell(ws, clause + watch)
        put(ws, clause + NEXT + watch, cell(ws, heads + literal))
        put(ws, heads + literal, clause)


@kernel("int64(int32[::1], int64, int64, int64)")
def store(ws, w, size, glue):
    """Store the clause of the scratch row, of two literals or more, and watch its first two."""
    clause = np.int64(cell(ws, USED)) + HEADER
    put(ws, USED, clause + size)
    put(ws, clause + SIZE, size)
    put(ws, clause + GLUE, glue)
    put(ws, clause + USE, cell(ws, CONFLICTS))
    for i in range(size):
        put(ws, clause + i, cell(ws, SCALARS + SCRATCH * w + i))
    _watch(ws, SCALARS + HEADS * w, clause)
    return clause


@kernel("void(int32[::1], int32[::1], int64, int64, int64)")
def write_step(ws, log, first, size, sign):
    """Write one step of the proof: the literals at ws[first:first + size]; sign -1 deletes."""
    at = np.int64(cell(ws, LOGGED))
    put(log, at, size * sign)  # the empty clause is never deleted, so 0 needs no sign
    for i in range(size):
        literal = cell(ws, first + i)
        negative = -(literal & 1)
        put(log, at + 1 + i, (((literal >> 1) + 1) ^ negative) - negative)
    put(ws, LOGGED, at + 1 + size)


@kernel("int64(int32[::1], int32[::1], int32[::1], boolean[::1])")
def read_steps(log, offsets, literals, deletes):
    """Take a log apart, counts from literals; the number of steps.

    offsets needs a cell more than log, the others as many.
    """
    at, steps, end = np.int64(0), np.int64(0), np.int64(0)
    put(offsets, 0, 0)
    while at < log.shape[0]:
        count = np.int64(cell(log, at))
        deletes[steps] = count < 0
        for k in range(at + 1, at + 1 + abs(count)):
            put(literals, end, cell(log, k))
            end += 1
        at += 1 + abs(count)
        steps += 1
        put(offsets, steps, end)
    return steps


@kernel("void(int32[::1], int32[::1])")
def refute(ws, log):
    """Note that the clauses alone are false, and end the proof with the empty clause."""
    if not cell(ws, REFUTED):
        put(ws, REFUTED, 1)
        write_step(ws, log, 0, 0, 1)


@kernel("void(int32[::1], int32[::1], int32[::1], int64, int64)")
def add_clause(ws, log, literals, start, end):
    """Add the clause literals[start:end] (DIMACS) at level 0.

    Repeated literals are dropped, tautologies and clauses that are true already left out. ws and
    log must have room for the clause.
    """
    w = stride(np.int64(cell(ws, N_VARS)))
    value, seen, scratch = SCALARS + VALUE * w, SCALARS + SEEN * w, SCALARS + SCRATCH * w
    size, satisfied = np.int64(0), False
    for k in range(start, end):
        signed = np.int64(literals[k])
        literal = 2 * (signed - 1) if signed > 0 else 2 * (-signed - 1) + 1
        mark = 1 + (literal & 1)
        if cell(ws, value + literal) > 0 or cell(ws, seen + (literal >> 1)) & (3 - mark):
            satisfied = True
            break
        if cell(ws, value + literal) == 0 and not cell(ws, seen + (literal >> 1)):
            put(ws, seen + (literal >> 1), mark)
            put(ws, scratch + size, literal)
            size += 1
    for i in range(size):
        put(ws, seen + (cell(ws, scratch + i) >> 1), 0)
    if satisfied:
        return
    if size == 0:
        refute(ws, log)
    elif size == 1:
        assign(ws, w, np.int64(cell(ws, scratch)), 0)
    else:
        store(ws, w, size, 0)


@kernel("void(int32[::1], int32[::1], int64)")
def reduce(ws, log, w):
    """Delete learnt clauses of glue above 2 not used since the last time; relink the rest.

    At level 0, since reasons move.
    """
    heads = SCALARS + HEADS * w
    since, now = cell(ws, REDUCED), np.int64(cell(ws, CONFLICTS))
    source = np.int64(cell(ws, LEARNT_FROM))
    target = source
    end = np.int64(cell(ws, USED))
    put(ws, N_LEARNT, 0)
    while source < end:
        clause = source + HEADER
        size, glue = np.int64(cell(ws, clause + SIZE)), cell(ws, clause + GLUE)
        if glue > 2 and cell(ws, clause + USE) < since:
            write_step(ws, log, clause, size, -1)
        else:
            for i in range(HEADER + size):
                put(ws, target + i, cell(ws, source + i))
            # Clauses that were added later lie here too, of glue 0.
            put(ws, N_LEARNT, cell(ws, N_LEARNT) + min(1, glue))
            target += HEADER + size
        source += HEADER + size
    put(ws, USED, target)
    for literal in range(2 * np.int64(cell(ws, N_VARS))):
        put(ws, heads + literal, 0)
    clause = np.int64(cell(ws, LONG_FROM)) + HEADER
    while clause < target:
        _watch(ws, heads, clause)
        clause += np.int64(cell(ws, clause + SIZE)) + HEADER
    put(ws, REDUCED, now)
    put(ws, KEEP_AT_MOST, cell(ws, N_LEARNT) + max(_KEPT_MORE, now >> _SHARE))
