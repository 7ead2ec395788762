"""Conflict-driven clause learning for small formulas, compiled, in one array of 32-bit integers.

The whole solver lies in one array, so building it is one pass over the clauses, a call takes a
few microseconds, and a search can stop and go on (more room, another assumption, new clauses).
Watch lists are linked through the clauses themselves, so nothing is ever allocated:

    clause at c:  size | next of watch 0 | next of watch 1 | glue, 0 if given | literals ...

A literal inside is 2 * (v - 1) for v and 2 * (v - 1) + 1 for its negation; `ws` is the array, and
its first cells are the scalars named below. Learnt and deleted clauses go to a second array,
`log`, which is the proof: count (negative where deleted), then the literals.

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

# Scalars, by position in ws.
N_VARS = 0
TRAIL_SIZE = 1
HEAD_OF_QUEUE = 2
LEVEL_NOW = 3
USED = 4  # first free cell of ws
LEARNT_FROM = 5  # first learnt clause
N_LEARNT = 6
CONFLICTS = 7
BUMP = 8
HEAP_SIZE = 9
REFUTED = 10  # 1 once the clauses alone are false
LOGGED = 11  # first free cell of log
RESTARTS = 12
KEEP_AT_MOST = 13
NEXT_ASSUMPTION = 14
FAILED_SIZE = 15  # of the assumptions that cannot all hold, in the scratch row
SCALARS = 16

UNKNOWN, SATISFIABLE, UNSATISFIABLE, WS_FULL, LOG_FULL = 0, 1, 2, 3, 4

HEADER = 4  # cells of a clause before its literals
_LUBY_UNIT = 128
_KEPT_FIRST, _KEPT_MORE = (
    1000,
    500,
)  # learnt clauses before the first reduction, and from each to the next
_PAIRS_UP_TO = 4  # clauses up to this size are checked for repeated variables by pairs
_MAX_FIRST = 1 << 10  # activity that occurrences can give
_MAX_BUMP = 1 << 26
_RESCALE = 12

# Rows of ws after the scalars: 2n values, 2n list heads, then n cells each.
ROWS = 14  # as many times n as all rows take


def cells_for(n_vars: int, n_clauses: int, n_literals: int) -> int:
    """Cells of ws for a formula, without room for learnt clauses."""
    return SCALARS + ROWS * n_vars + 4 + HEADER * n_clauses + n_literals


@kernel("void(int32[::1], int64, int64)")
def _heap_up(ws, n, position):
    """Move the variable at a heap position up to where its activity belongs."""
    activity, heap, place = SCALARS + 8 * n, SCALARS + 9 * n, SCALARS + 10 * n
    variable = cell(ws, heap + position)
    key = cell(ws, activity + variable)
    while position > 0:
        parent = (position - 1) >> 1
        above = cell(ws, heap + parent)
        if cell(ws, activity + above) >= key:
            break
        put(ws, heap + position, above)
        put(ws, place + above, position)
        position = parent
    put(ws, heap + position, variable)
    put(ws, place + variable, position)


@kernel("void(int32[::1], int64, int64)")
def _heap_down(ws, n, position):
    """Move the variable at a heap position down to where its activity belongs."""
    activity, heap, place = SCALARS + 8 * n, SCALARS + 9 * n, SCALARS + 10 * n
    size = cell(ws, HEAP_SIZE)
    variable = cell(ws, heap + position)
    key = cell(ws, activity + variable)
    while True:
        child = 2 * position + 1
        if child >= size:
            break
        if child + 1 < size and (
            cell(ws, activity + cell(ws, heap + child + 1))
            > cell(ws, activity + cell(ws, heap + child))
        ):
            child += 1
        below = cell(ws, heap + child)
        if key >= cell(ws, activity + below):
            break
        put(ws, heap + position, below)
        put(ws, place + below, position)
        position = child
    put(ws, heap + position, variable)
    put(ws, place + variable, position)


@kernel("void(int32[::1], int64, int64, int64)")
def _assign(ws, n, literal, reason):
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
            _heap_up(ws, n, cell(ws, HEAP_SIZE) - 1)
    put(ws, TRAIL_SIZE, start)
    put(ws, HEAD_OF_QUEUE, start)
    put(ws, LEVEL_NOW, to_level)
    put(ws, NEXT_ASSUMPTION, 0)


@kernel("int64(int32[::1], int64)")
def _propagate(ws, n):
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
                _assign(ws, n, other, clause)
                link = clause + 2
            clause = following
    put(ws, HEAD_OF_QUEUE, queue)
    return 0


@kernel("void(int32[::1], int64, int64)")
def _bump(ws, n, variable):
    """Raise a variable's activity."""
    activity, place = SCALARS + 8 * n, SCALARS + 10 * n
    put(ws, activity + variable, cell(ws, activity + variable) + cell(ws, BUMP))
    if cell(ws, place + variable) >= 0:
        _heap_up(ws, n, cell(ws, place + variable))


@kernel("void(int32[::1], int64)")
def _decay(ws, n):
    """Let later bumps weigh more, and scale all down before they overflow."""
    activity = SCALARS + 8 * n
    put(ws, BUMP, cell(ws, BUMP) + (cell(ws, BUMP) >> 5))
    if cell(ws, BUMP) > _MAX_BUMP:
        put(ws, BUMP, cell(ws, BUMP) >> _RESCALE)
        for variable in range(n):
            put(ws, activity + variable, cell(ws, activity + variable) >> _RESCALE)
        for position in range(
            (cell(ws, HEAP_SIZE) >> 1) - 1, -1, -1
        ):  # equal keys may have changed
            _heap_down(ws, n, position)


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
            _bump(ws, n, variable)
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


@kernel("void(int32[::1], int64, int64)")
def _watch(ws, heads, clause):
    """Put a clause on the lists of its first two literals."""
    for watch in range(2):
        literal = cell(ws, clause + HEADER + watch)
        put(ws, clause + 1 + watch, cell(ws, heads + literal))
        put(ws, heads + literal, clause)


@kernel("int64(int32[::1], int64, int64, int64)")
def _store(ws, n, size, glue):
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
def _log(ws, log, first, size, sign):
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
def _refute(ws, log):
    """Note that the clauses alone are false, and end the proof with the empty clause."""
    if not cell(ws, REFUTED):
        put(ws, REFUTED, 1)
        _log(ws, log, 0, 0, 1)


@kernel("void(int32[::1], int32[::1], int64)")
def _add_scratch(ws, log, size):
    """Add the clause of the scratch row at level 0, its literals different and none decided."""
    n = np.int64(cell(ws, N_VARS))
    learnt = SCALARS + 12 * n
    if size == 0:
        _refute(ws, log)
    elif size == 1:
        _assign(ws, n, cell(ws, learnt), 0)
    else:
        _store(ws, n, size, 0)


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
        _heap_down(ws, n, position)


@kernel("int64(int32[::1], int64)")
def _decide(ws, n):
    """The unassigned variable of most activity, as a literal of its phase; -1 if none is left."""
    value, phase = SCALARS, SCALARS + 7 * n
    heap, place = SCALARS + 9 * n, SCALARS + 10 * n
    while cell(ws, HEAP_SIZE) > 0:
        variable = np.int64(cell(ws, heap))
        put(ws, HEAP_SIZE, cell(ws, HEAP_SIZE) - 1)
        put(ws, place + variable, -1)
        if cell(ws, HEAP_SIZE) > 0:
            put(ws, heap, cell(ws, heap + cell(ws, HEAP_SIZE)))
            put(ws, place + cell(ws, heap), 0)
            _heap_down(ws, n, 0)
        if cell(ws, value + 2 * variable) == 0:
            return 2 * variable + cell(ws, phase + variable)
    return -1


@kernel("void(int32[::1], int64, int64)")
def _fail(ws, n, literal):
    """Find the assumptions that make an assumption false; they go to the scratch row."""
    level, reason, trail = SCALARS + 4 * n, SCALARS + 5 * n, SCALARS + 6 * n
    seen, failed = SCALARS + 11 * n, SCALARS + 12 * n
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
        for k in range(clause + HEADER, clause + HEADER + cell(ws, clause)):
            put(ws, seen + (cell(ws, k) >> 1), 1)
        put(ws, seen + variable, 0)
    put(ws, seen + (literal >> 1), 0)
    put(ws, FAILED_SIZE, size)


@kernel("int64(int32[::1], int64, int32[::1])")
def _next_assumption(ws, n, assumptions):
    """The next assumption that does not hold yet (as a literal); -1 if all do, -2 if one failed."""
    value = SCALARS
    while cell(ws, NEXT_ASSUMPTION) < assumptions.shape[0]:
        signed = assumptions[cell(ws, NEXT_ASSUMPTION)]
        literal = 2 * (signed - 1) if signed > 0 else 2 * (-signed - 1) + 1
        if cell(ws, value + literal) < 0:
            _fail(ws, n, literal)
            return -2
        put(ws, NEXT_ASSUMPTION, cell(ws, NEXT_ASSUMPTION) + 1)
        if cell(ws, value + literal) == 0:
            return literal
    return -1


@kernel("void(int32[::1], int32[::1], int64)")
def _reduce(ws, log, n):
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
            _log(ws, log, source + HEADER, cell(ws, source), -1)
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


@kernel("void(int32[::1], int32[::1], int64)")
def _learn(ws, log, conflict):
    """Turn a conflict above level 0 into a clause, return to where it asserts, and assert."""
    n = np.int64(cell(ws, N_VARS))
    level, learnt = SCALARS + 4 * n, SCALARS + 12 * n
    size = _analyze(ws, n, conflict)
    glue = _glue(ws, n, size)
    _log(ws, log, learnt, size, 1)
    back = np.int64(cell(ws, level + (cell(ws, learnt + 1) >> 1))) if size > 1 else 0
    backtrack(ws, n, back)
    if size == 1:
        _assign(ws, n, cell(ws, learnt), 0)
    else:
        clause = _store(ws, n, size, max(1, glue))
        put(ws, N_LEARNT, cell(ws, N_LEARNT) + 1)
        _assign(ws, n, cell(ws, learnt), clause)
    _decay(ws, n)


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


@kernel("void(int32[::1], int64)")
def _open_level(ws, n):
    """Begin a decision level."""
    put(ws, SCALARS + 13 * n + 2 + cell(ws, LEVEL_NOW), cell(ws, TRAIL_SIZE))
    put(ws, LEVEL_NOW, cell(ws, LEVEL_NOW) + 1)


@kernel("int64(int32[::1], int32[::1], int32[::1], int64)")
def search(ws, log, assumptions, budget):
    """Search for a model under assumptions.

    Args:
        ws: a loaded solver.
        log: the proof so far, with room for more.
        assumptions: DIMACS literals that are to hold.
        budget: most conflicts of this call.

    Returns:
        SATISFIABLE (the values lie in ws), UNSATISFIABLE (the failed assumptions, if any were
        needed, lie in the scratch row and their clause ends the proof), UNKNOWN when the budget
        is spent, WS_FULL or LOG_FULL when an array needs more room; then call again with copies
        that have it. The solver is at level 0 again except after SATISFIABLE.
    """
    n = np.int64(cell(ws, N_VARS))
    until = cell(ws, CONFLICTS) + budget
    restart_at = cell(ws, CONFLICTS) + _LUBY_UNIT * _luby(np.int64(cell(ws, RESTARTS)))
    backtrack(ws, n, 0)
    put(ws, FAILED_SIZE, 0)
    put(ws, NEXT_ASSUMPTION, 0)
    while True:
        if cell(ws, REFUTED):
            return UNSATISFIABLE
        status = UNKNOWN if cell(ws, CONFLICTS) >= until else _room(ws, log, n)
        if status != SATISFIABLE:
            backtrack(ws, n, 0)
            return status
        conflict = _propagate(ws, n)
        if conflict != 0:
            put(ws, CONFLICTS, cell(ws, CONFLICTS) + 1)
            if cell(ws, LEVEL_NOW) == 0:
                _refute(ws, log)
            else:
                _learn(ws, log, conflict)
            continue
        if cell(ws, CONFLICTS) >= restart_at:
            backtrack(ws, n, 0)
            put(ws, RESTARTS, cell(ws, RESTARTS) + 1)
            restart_at = cell(ws, CONFLICTS) + _LUBY_UNIT * _luby(np.int64(cell(ws, RESTARTS)))
        if cell(ws, N_LEARNT) > cell(ws, KEEP_AT_MOST):
            backtrack(ws, n, 0)
            _reduce(ws, log, n)
        literal = _next_assumption(ws, n, assumptions)
        if literal == -2:
            return _give_up(ws, log, n)
        if literal == -1:
            literal = _decide(ws, n)
            if literal < 0:
                return SATISFIABLE
        _open_level(ws, n)
        _assign(ws, n, literal, 0)


@kernel("int64(int32[::1], int32[::1], int64)")
def _give_up(ws, log, n):
    """Log the clause that says which assumptions fail together."""
    failed = SCALARS + 12 * n
    size = np.int64(cell(ws, FAILED_SIZE))
    for i in range(size):
        put(ws, failed + i, cell(ws, failed + i) ^ 1)
    _log(ws, log, failed, size, 1)
    for i in range(size):
        put(ws, failed + i, cell(ws, failed + i) ^ 1)
    backtrack(ws, n, 0)
    return UNSATISFIABLE


@kernel("int64(int32[::1], int32[::1], int32[::1], int32[::1], int32[::1], int64, int64)")
def solve(ws, log, offsets, literals, assumptions, n, budget):
    """Load a formula and search; seven arguments, to be one call. See `search`."""
    start(ws, n)
    load(ws, log, offsets, literals)
    return search(ws, log, assumptions, budget)
