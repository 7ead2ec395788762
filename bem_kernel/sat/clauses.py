"""Clauses: stored, watched, deleted, and logged as the proof.

Source: Moskewicz et al. 2001; Audemard and Simon 2009 (glue: learnt clauses worth keeping).
"""

# The kernels share one array: its cells are found by position, not by name.
# mypy: disable-error-code="no-untyped-def, no-any-return, assignment"

from __future__ import annotations

import numpy as np

from bem_kernel.compiled import kernel
from bem_kernel.sat.cells import cell, put
from bem_kernel.sat.heap import heap_down
from bem_kernel.sat.layout import (
    BUMP,
    HEADER,
    HEAP_SIZE,
    KEEP_AT_MOST,
    LEARNT_FROM,
    LOGGED,
    N_LEARNT,
    N_VARS,
    REFUTED,
    ROWS,
    SCALARS,
    USED,
)
from bem_kernel.sat.trail import assign

_KEPT_FIRST = 1000  # learnt clauses before the first reduction
_KEPT_MORE = 500  # and from each to the next
_PAIRS_UP_TO = 4  # clauses up to this size are checked for repeated variables by pairs
_MAX_FIRST = 1 << 10  # activity that occurrences can give


@kernel("void(int32[::1], int64, int64)")
def _watch(ws, heads, clause):
    """Put a clause on the lists of its first two literals."""
    for watch in range(2):
        literal = cell(ws, clause + HEADER + watch)
        put(ws, clause + 1 + watch, cell(ws, heads + literal))
        put(ws, heads + literal, clause)


@kernel("int64(int32[::1], int64, int64, int64)")
def store(ws, n, size, glue):
    """Store the clause of the scratch row, of two literals or more, and watch its first two."""
    heads, learnt = SCALARS + 2 * n, SCALARS + 12 * n
    clause = np.int64(cell(ws, USED))
    put(ws, USED, cell(ws, USED) + HEADER + size)
    put(ws, clause, size)
    put(ws, clause + 3, glue)
    for i in range(size):
        put(ws, clause + HEADER + i, cell(ws, learnt + i))
    _watch(ws, heads, clause)
    return clause


@kernel("void(int32[::1], int32[::1], int64, int64, int64)")
def write_step(ws, log, first, size, sign):
    """Write one step of the proof: the literals at ws[first:first + size]; sign -1 deletes."""
    at = np.int64(cell(ws, LOGGED))
    log[at] = size * sign
    for i in range(size):
        literal = cell(ws, first + i)
        variable = (literal >> 1) + 1
        log[at + 1 + i] = -variable if literal & 1 else variable
    put(ws, LOGGED, cell(ws, LOGGED) + 1 + size)
    if sign < 0:  # a deleted empty clause cannot occur, so the sign of 0 is never needed
        log[at] = -size


@kernel("void(int32[::1], int32[::1])")
def refute(ws, log):
    """Note that the clauses alone are false, and end the proof with the empty clause."""
    if not cell(ws, REFUTED):
        put(ws, REFUTED, 1)
        write_step(ws, log, 0, 0, 1)


@kernel("void(int32[::1], int32[::1], int64)")
def _add_scratch(ws, log, size):
    """Add the clause of the scratch row at level 0, its literals different and none decided."""
    n = np.int64(cell(ws, N_VARS))
    learnt = SCALARS + 12 * n
    if size == 0:
        refute(ws, log)
    elif size == 1:
        assign(ws, n, cell(ws, learnt), 0)
    else:
        store(ws, n, size, 0)


@kernel("void(int32[::1], int32[::1], int32[::1], int64, int64)")
def add_clause(ws, log, literals, start, end):
    """Add the clause literals[start:end] (DIMACS) at level 0.

    Repeated literals are dropped, tautologies and clauses that are true already left out. ws and
    log must have room for the clause.
    """
    n = np.int64(cell(ws, N_VARS))
    value, seen, learnt = SCALARS, SCALARS + 11 * n, SCALARS + 12 * n
    size, satisfied = 0, False
    for k in range(start, end):
        signed = literals[k]
        literal = 2 * (signed - 1) if signed > 0 else 2 * (-signed - 1) + 1
        mark = 1 + (literal & 1)
        if cell(ws, value + literal) > 0 or cell(ws, seen + (literal >> 1)) & (3 - mark):
            satisfied = True
            break
        if cell(ws, value + literal) == 0 and not cell(ws, seen + (literal >> 1)):
            put(ws, seen + (literal >> 1), mark)
            put(ws, learnt + size, literal)
            size += 1
    for i in range(size):
        put(ws, seen + (cell(ws, learnt + i) >> 1), 0)
    if not satisfied:
        _add_scratch(ws, log, size)


@kernel("void(int32[::1], int64)")
def start(ws, n):
    """Begin an empty formula over n variables."""
    for i in range(SCALARS + ROWS * n + 4):
        put(ws, i, 0)
    put(ws, N_VARS, n)
    put(ws, USED, SCALARS + ROWS * n + 4)
    put(ws, LEARNT_FROM, cell(ws, USED))
    put(ws, BUMP, 64)
    heap, place = SCALARS + 9 * n, SCALARS + 10 * n
    for variable in range(n):
        put(ws, heap + variable, variable)
        put(ws, place + variable, variable)
    put(ws, HEAP_SIZE, n)
    put(ws, KEEP_AT_MOST, _KEPT_FIRST)


@kernel("void(int32[::1], int32[::1], int32[::1], int32[::1])")
def load(ws, log, offsets, literals):
    """Add all clauses, then order variables by how often, and phases by how, they occur."""
    n = np.int64(cell(ws, N_VARS))
    value, heads, phase = SCALARS, SCALARS + 2 * n, SCALARS + 7 * n
    activity = SCALARS + 8 * n
    for i in range(offsets.shape[0] - 1):
        first, end = np.int64(offsets[i]), np.int64(offsets[i + 1])
        clause = np.int64(cell(ws, USED))
        plain = 2 <= end - first <= _PAIRS_UP_TO
        for k in range(first, end):
            negative = literals[k] >> 31  # -1 or 0: no branch, since signs cannot be predicted
            variable = (literals[k] ^ negative) - negative - 1
            literal = 2 * variable - negative
            put(ws, activity + variable, cell(ws, activity + variable) + 1)
            put(ws, phase + variable, cell(ws, phase + variable) - (1 + 2 * negative))
            if plain:
                put(ws, clause + HEADER + k - first, literal)
                plain = cell(ws, value + literal) == 0
                for other in range(clause + HEADER, clause + HEADER + k - first):
                    plain &= cell(ws, other) >> 1 != variable
        if plain:
            put(ws, USED, clause + HEADER + end - first)
            put(ws, clause, end - first)
            put(ws, clause + 3, 0)
            _watch(ws, heads, clause)
        else:
            add_clause(ws, log, literals, first, end)
    put(ws, LEARNT_FROM, cell(ws, USED))
    for variable in range(n):
        put(ws, phase + variable, 1 if cell(ws, phase + variable) > 0 else 0)
        put(ws, activity + variable, min(cell(ws, activity + variable), _MAX_FIRST))
    for position in range((n >> 1) - 1, -1, -1):
        heap_down(ws, n, position)


@kernel("void(int32[::1], int32[::1], int64)")
def reduce(ws, log, n):
    """Delete the older half of the learnt clauses of glue above 2, at level 0; relink the rest."""
    heads = SCALARS + 2 * n
    doomed = cell(ws, N_LEARNT) >> 1
    source = np.int64(cell(ws, LEARNT_FROM))
    target = source
    end = np.int64(cell(ws, USED))
    put(ws, N_LEARNT, 0)
    while source < end:
        cells = HEADER + np.int64(cell(ws, source))
        if doomed > 0 and cell(ws, source + 3) > 2:
            doomed -= 1
            write_step(ws, log, source + HEADER, cell(ws, source), -1)
        else:
            for i in range(cells):
                put(ws, target + i, cell(ws, source + i))
            # Clauses that were added later lie here too, of glue 0.
            put(ws, N_LEARNT, cell(ws, N_LEARNT) + min(1, cell(ws, target + 3)))
            target += cells
        source += cells
    put(ws, USED, target)
    for literal in range(2 * n):
        put(ws, heads + literal, 0)
    clause = np.int64(SCALARS + ROWS * n + 4)
    while clause < target:
        _watch(ws, heads, clause)
        clause += HEADER + np.int64(cell(ws, clause))
    put(ws, KEEP_AT_MOST, cell(ws, KEEP_AT_MOST) + _KEPT_MORE)
