"""Is a clause redundant: by unit propagation (RUP), or by resolution on a pivot (RAT)?

RUP: assuming all its literals false, unit propagation finds a clause that is false; so the formula
implies it. RAT on a pivot p: for each clause D with the negation of p, the clause together with
the rest of D is RUP; then the formula with it is satisfiable if it was without it.

What a conflict needs is marked as core: the false clause, then the reasons of its literals, theirs
and so on. Candidates D outside the core are passed over where only the core counts: at that time
nothing later in the proof needs them, so the proof may be read as if they were deleted just before.
The check itself cannot need them either, since the negation of p makes them true.

DRAT-trim goes on to other pivots where the first literal is none, and warns; that is not done here.

Source: Goldberg and Novikov 2003 (RUP backwards); Jarvisalo, Heule and Biere 2012 (RAT); Wetzler,
Heule and Hunt 2014.
"""

# The kernels share arrays whose cells are found by position, not by name.
# mypy: disable-error-code="no-untyped-def, no-any-return"

from __future__ import annotations

import numpy as np

from bem_kernel.compiled import kernel
from bem_kernel.proofs.propagation import TRAIL, assign, attach, detach, propagate, undo
from bem_kernel.proofs.records import CORE, HEADER, NUMBER, WATCHED

FAILED, BY_RUP, BY_RAT = 0, 1, 2

HINTS = 1  # cell of `state`: hints written so far; -1 once there was no room


@kernel(
    "void(uint32[::1], uint32[::1], uint32[::1], uint32[::1], uint8[::1], int64[::1], "
    "uint32[::1], int64, int64)"
)
def explain(cells, heads, trail, reason, seen, state, hints, conflict, true):
    """Mark as core what makes all literals of a clause false, the clause included.

    The hints are the clauses of a resolution: each resolves with the result of those before it.

    Args:
        cells: records; for this and the next six see `check_clause`.
        heads: lists.
        trail: literals.
        reason: of variables.
        seen: of variables.
        state: of trail and hints.
        hints: room for numbers of clauses.
        conflict: the clause, or 0 to explain a literal instead.
        true: the literal, which has a reason.
    """
    at, left, c, implied = state[TRAIL], np.int64(0), conflict, np.int64(-1)
    if conflict == 0:
        c, implied = np.int64(reason[true >> 1]), true
    while True:
        if c:
            if not np.int64(cells[c + 1]) & CORE:
                if np.int64(cells[c + 1]) & WATCHED:
                    detach(cells, heads, c)
                    cells[c + 1] |= np.uint32(CORE)
                    attach(cells, heads, c)
                cells[c + 1] |= np.uint32(CORE)
            for k in range(c + HEADER, c + HEADER + np.int64(cells[c])):
                literal = np.int64(cells[k])
                if literal != implied and not seen[literal >> 1]:
                    seen[literal >> 1] = 1
                    left += 1
            if hints.shape[0]:
                if 0 <= state[HINTS] < hints.shape[0]:
                    hints[state[HINTS]] = np.int64(cells[c + 1]) >> NUMBER
                    state[HINTS] += 1
                else:
                    state[HINTS] = -1
        if left == 0:
            break
        at -= 1  # back to the last literal that is wanted
        while not seen[np.int64(trail[at]) >> 1]:
            at -= 1
        implied = np.int64(trail[at])
        seen[implied >> 1] = 0
        left -= 1
        c = np.int64(reason[implied >> 1])


@kernel(
    "boolean(uint32[::1], uint32[::1], int8[::1], uint32[::1], uint32[::1], uint8[::1], "
    "int64[::1], uint32[::1], int64, int64, boolean)"
)
def _resolvent_follows(cells, heads, value, trail, reason, seen, state, hints, c, negated, marking):
    """Whether the clause assumed false so far, resolved with the one at c, is RUP.

    The trail is left as it was.
    """
    base = state[TRAIL]
    true = np.int64(-1)  # a literal of c that is true, of those an assumption if there is one
    for k in range(c + HEADER, c + HEADER + np.int64(cells[c])):
        literal = np.int64(cells[k])
        if literal != negated and value[literal] > 0 and (true < 0 or not reason[literal >> 1]):
            true = literal
    if true >= 0:
        if marking and reason[true >> 1]:
            explain(cells, heads, trail, reason, seen, state, hints, 0, true)
        return True
    for k in range(c + HEADER, c + HEADER + np.int64(cells[c])):
        literal = np.int64(cells[k])
        if literal != negated and value[literal] == 0:
            assign(value, trail, reason, state, literal ^ 1, 0)
    conflict = propagate(cells, heads, value, trail, reason, state, base)
    if conflict and marking:
        explain(cells, heads, trail, reason, seen, state, hints, conflict, -1)
    undo(value, trail, state, base)
    return conflict != 0


@kernel(
    "boolean(uint32[::1], uint32[::1], int8[::1], uint32[::1], uint32[::1], uint8[::1], "
    "int64[::1], uint32[::1], uint32[::1], int64, int64, boolean)"
)
def _has_rat(cells, heads, value, trail, reason, seen, state, hints, at, number, pivot, core_only):
    """Whether the clause assumed false on the trail, which has the given number, is RAT."""
    wanted = WATCHED | CORE if core_only else WATCHED
    for i in range(number):
        c = np.int64(at[i])
        if np.int64(cells[c + 1]) & wanted != wanted:
            continue
        occurs = False
        for k in range(c + HEADER, c + HEADER + np.int64(cells[c])):
            occurs |= np.int64(cells[k]) == pivot ^ 1
        if occurs and not _resolvent_follows(
            cells, heads, value, trail, reason, seen, state, hints, c, pivot ^ 1, core_only
        ):
            return False
    return True


@kernel(
    "int64(uint32[::1], uint32[::1], int8[::1], uint32[::1], uint32[::1], uint8[::1], "
    "int64[::1], uint32[::1], uint32[::1], int64, int64, boolean)"
)
def check_clause(
    cells, heads, value, trail, reason, seen, state, hints, at, number, pivot, backward
):
    """Check a clause that is not attached against those that are; the trail is left as it was.

    Args:
        cells: records; and so the next four, see `propagation`.
        heads: lists.
        value: of literals.
        trail: assigned and propagated literals.
        reason: of variables.
        seen: (variables,) zeros, and again so on return.
        state: of the trail and the hints.
        hints: room for the numbers of clauses that the check needs, or empty.
        at: where each clause lies.
        number: the clause.
        pivot: its first literal in the proof, -1 for the empty clause.
        backward: mark what is needed as core, and let RAT look at the core only.

    Returns:
        FAILED, BY_RUP or BY_RAT; never BY_RAT if the pivot is false already.
    """
    base = state[TRAIL]
    c = np.int64(at[number])
    open_pivot = pivot >= 0 and value[pivot] == 0
    for k in range(c + HEADER, c + HEADER + np.int64(cells[c])):
        literal = np.int64(cells[k])
        if value[literal] > 0:  # true already, or a tautology
            if backward and reason[literal >> 1]:
                explain(cells, heads, trail, reason, seen, state, hints, 0, literal)
            undo(value, trail, state, base)
            return BY_RUP
        if value[literal] == 0:
            assign(value, trail, reason, state, literal ^ 1, 0)
    conflict = propagate(cells, heads, value, trail, reason, state, base)
    found = FAILED
    if conflict:
        if backward:
            explain(cells, heads, trail, reason, seen, state, hints, conflict, -1)
        found = BY_RUP
    elif open_pivot and _has_rat(
        cells, heads, value, trail, reason, seen, state, hints, at, number, pivot, backward
    ):
        found = BY_RAT
    undo(value, trail, state, base)
    return found
