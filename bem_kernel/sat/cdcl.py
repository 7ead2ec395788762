"""Conflict-driven clause learning for small formulas, compiled, in one array of 32-bit integers.

The whole solver lies in one array, so building it is one pass over the clauses, a call takes a
few microseconds, and a search can stop and go on (more room, another assumption, new clauses).
The array is laid out in `layout`; watch lists are linked through the clauses themselves, so
nothing is ever allocated.

Tried and left: at restarts, a local search (probSAT) for the phases. On 3-CNF with n = 128, m = 4n
it spares a third of the conflicts and takes as long as they do.

Source: BEM core spec 9.3; Marques-Silva and Sakallah 1996 (clause learning); Moskewicz et al. 2001
(watches, activities); Biere 2008 (PicoSAT: lists through the clauses); Audemard and Simon 2009
(glue); Luby, Sinclair and Zuckerman 1993 (restarts).
"""

# The kernels share one array: its cells are found by position, not by name.
# mypy: disable-error-code="no-untyped-def, no-any-return, assignment"

from __future__ import annotations

import numpy as np

from bem_kernel.compiled import kernel
from bem_kernel.sat.cells import cell, put
from bem_kernel.sat.clauses import reduce, refute, write_step
from bem_kernel.sat.layout import (
    CONFLICTS,
    FAILED_SIZE,
    HEADER,
    KEEP_AT_MOST,
    LEARNT_FROM,
    LEVEL,
    LEVEL_NOW,
    LOG_FULL,
    LOGGED,
    N_LEARNT,
    N_VARS,
    NEXT_ASSUMPTION,
    REASON,
    REFUTED,
    RESTARTS,
    SATISFIABLE,
    SCALARS,
    SCRATCH,
    SEEN,
    SIZE,
    TRAIL,
    TRAIL_SIZE,
    UNKNOWN,
    UNSATISFIABLE,
    USED,
    VALUE,
    WS_FULL,
    stride,
)
from bem_kernel.sat.learn import learn
from bem_kernel.sat.load import load, start
from bem_kernel.sat.order import decide
from bem_kernel.sat.trail import assign, backtrack, open_level, propagate

_LUBY_UNIT = 512


@kernel("void(int32[::1], int64, int64)")
def _fail(ws, w, literal):
    """Find the assumptions that make an assumption false; they go to the scratch row."""
    level, reason, trail = SCALARS + LEVEL * w, SCALARS + REASON * w, SCALARS + TRAIL * w
    seen, failed = SCALARS + SEEN * w, SCALARS + SCRATCH * w
    put(ws, failed, literal)
    size = 1
    put(ws, seen + (literal >> 1), 1)
    for i in range(cell(ws, TRAIL_SIZE) - 1, -1, -1):
        true = cell(ws, trail + i)
        variable = true >> 1
        if not cell(ws, seen + variable):
            continue
        put(ws, seen + variable, 0)
        if cell(ws, level + variable) == 0:
            continue
        clause = np.int64(cell(ws, reason + variable))
        if clause == 0:
            if variable != literal >> 1 or true != literal:
                put(ws, failed + size, true)
                size += 1
            continue
        for k in range(clause, clause + cell(ws, clause + SIZE)):
            put(ws, seen + (cell(ws, k) >> 1), 1)
        put(ws, seen + variable, 0)
    put(ws, seen + (literal >> 1), 0)
    put(ws, FAILED_SIZE, size)


@kernel("int64(int32[::1], int64, int32[::1])")
def _next_assumption(ws, w, assumptions):
    """The next assumption that does not hold yet (as a literal); -1 if all do, -2 if one failed."""
    while cell(ws, NEXT_ASSUMPTION) < assumptions.shape[0]:
        signed = np.int64(assumptions[cell(ws, NEXT_ASSUMPTION)])
        literal = 2 * (signed - 1) if signed > 0 else 2 * (-signed - 1) + 1
        truth = cell(ws, SCALARS + VALUE * w + literal)
        if truth < 0:
            _fail(ws, w, literal)
            return -2
        put(ws, NEXT_ASSUMPTION, cell(ws, NEXT_ASSUMPTION) + 1)
        if truth == 0:
            return literal
    return -1


@kernel("int64(int64)")
def _luby(index):
    """The Luby sequence 1 1 2 1 1 2 4 ... from index 0 on."""
    size, power = 1, 0
    while size < index + 1:
        power += 1
        size = 2 * size + 1
    while size - 1 != index:
        size = (size - 1) >> 1
        power -= 1
        index = index % size
    return 1 << power


@kernel("int64(int32[::1], int32[::1], int64)")
def _room(ws, log, n):
    """WS_FULL or LOG_FULL if the next conflict or reduction may not fit, else SATISFIABLE."""
    clause = n + HEADER + 1
    if cell(ws, USED) + clause > ws.shape[0]:
        return WS_FULL
    needed = 2 * clause
    if cell(ws, N_LEARNT) > cell(ws, KEEP_AT_MOST):
        needed += cell(ws, USED) - cell(ws, LEARNT_FROM)
    return LOG_FULL if cell(ws, LOGGED) + needed > log.shape[0] else SATISFIABLE


@kernel("int64(int32[::1], int32[::1], int32[::1], boolean[::1], int64)")
def search(ws, log, assumptions, model, budget):
    """Search for a model under assumptions.

    Args:
        ws: a loaded solver.
        log: the proof so far, with room for more.
        assumptions: DIMACS literals that are to hold.
        model: (n_vars,) filled if there is one.
        budget: most conflicts of this call.

    Returns:
        SATISFIABLE, UNSATISFIABLE (the failed assumptions, if any were
        needed, lie in the scratch row and their clause ends the proof), UNKNOWN when the budget
        is spent, WS_FULL or LOG_FULL when an array needs more room; then call again with copies
        that have it. The solver is at level 0 again except after SATISFIABLE.
    """
    n = np.int64(cell(ws, N_VARS))
    w = stride(n)
    until = cell(ws, CONFLICTS) + budget
    restart_at = cell(ws, CONFLICTS) + _LUBY_UNIT * _luby(np.int64(cell(ws, RESTARTS)))
    backtrack(ws, w, 0)
    put(ws, FAILED_SIZE, 0)
    put(ws, NEXT_ASSUMPTION, 0)
    while True:
        if cell(ws, REFUTED):
            return UNSATISFIABLE
        status = UNKNOWN if cell(ws, CONFLICTS) >= until else _room(ws, log, n)
        if status != SATISFIABLE:
            backtrack(ws, w, 0)
            return status
        conflict = propagate(ws, w)
        if conflict != 0:
            put(ws, CONFLICTS, cell(ws, CONFLICTS) + 1)
            if cell(ws, LEVEL_NOW) == 0:
                refute(ws, log)
            else:
                learn(ws, log, w, conflict)
            continue
        if cell(ws, CONFLICTS) >= restart_at:
            backtrack(ws, w, 0)
            put(ws, RESTARTS, cell(ws, RESTARTS) + 1)
            restart_at = cell(ws, CONFLICTS) + _LUBY_UNIT * _luby(np.int64(cell(ws, RESTARTS)))
        if cell(ws, N_LEARNT) > cell(ws, KEEP_AT_MOST):
            backtrack(ws, w, 0)
            reduce(ws, log, w)
        literal = _next_assumption(ws, w, assumptions)
        if literal == -2:
            return _give_up(ws, log, w)
        if literal == -1:
            literal = decide(ws, w)
            if literal < 0:
                for variable in range(n):
                    model[variable] = cell(ws, SCALARS + VALUE * w + 2 * variable) > 0
                return SATISFIABLE
        open_level(ws, w)
        assign(ws, w, literal, 0)


@kernel("int64(int32[::1], int32[::1], int64)")
def _give_up(ws, log, w):
    """Log the clause that says which assumptions fail together."""
    failed = SCALARS + SCRATCH * w
    size = np.int64(cell(ws, FAILED_SIZE))
    for i in range(size):
        put(ws, failed + i, cell(ws, failed + i) ^ 1)
    write_step(ws, log, failed, size, 1)
    for i in range(size):
        put(ws, failed + i, cell(ws, failed + i) ^ 1)
    backtrack(ws, w, 0)
    return UNSATISFIABLE


@kernel("int64(int32[::1], int32[::1], int32[::1], int32[::1], int32[::1], boolean[::1], int64)")
def solve(ws, log, offsets, literals, assumptions, model, budget):
    """Load a formula and search; seven arguments, to be one call. See `search`."""
    start(ws, model.shape[0])
    load(ws, log, offsets, literals)
    return search(ws, log, assumptions, model, budget)
