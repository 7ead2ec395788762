"""DRAT proofs, checked from the first step to the last, or from the last one back.

Forward, every added clause is checked. Backward, all are taken on trust until unit propagation
finds a conflict; then, from there back, those that the conflict needs are checked, and those that
these checks need, and so on. What is left over at the start is a core of the formula.

Literals that the clauses of one time imply stay true ever after, even when the clause that made
one true is deleted: it counts as if it were not (DRAT-trim's way; CaDiCaL deletes such clauses and
means no harm). So the trail only grows forward, and going back it is cut where the clause that made
the first literal of the cut true was added.

Source: Wetzler, Heule and Hunt 2014 (DRAT-trim); Goldberg and Novikov 2003.
"""

# The kernels share arrays whose cells are found by position, not by name.
# mypy: disable-error-code="no-untyped-def, no-any-return"

from __future__ import annotations

import numpy as np

from bem_kernel.compiled import kernel
from bem_kernel.proofs.propagation import TRAIL, assign, attach, detach, propagate, undo
from bem_kernel.proofs.records import CORE, HEADER, NOTHING, WATCHED
from bem_kernel.proofs.redundancy import BY_RAT, FAILED, HINTS, check_clause, explain

ACCEPTED, NOT_REDUNDANT, NO_CONFLICT = 0, 1, 2

# Cells of `result`.
STATUS, STEP, CHECKED, RATS = 0, 1, 2, 3


@kernel(
    "int64(uint32[::1], uint32[::1], int8[::1], uint32[::1], uint32[::1], int64[::1], "
    "uint32[::1], int64)"
)
def _begin(cells, heads, value, trail, reason, state, at, count):
    """Attach the clauses of the formula and propagate; the record that is false, or 0."""
    for i in range(count):
        if cells[at[i]] > 1:
            attach(cells, heads, np.int64(at[i]))
    for i in range(count):
        c = np.int64(at[i])
        if cells[c] == 0:
            return c
        if cells[c] == 1:
            literal = np.int64(cells[c + HEADER])
            if value[literal] < 0:
                return c
            if value[literal] == 0:
                assign(value, trail, reason, state, literal, c)
    return propagate(cells, heads, value, trail, reason, state, 0)


@kernel("int64(uint32[::1], uint32[::1], int8[::1], uint32[::1], uint32[::1], int64[::1], int64)")
def _add(cells, heads, value, trail, reason, state, c):
    """Attach a clause and propagate; the record that is false, or 0.

    The first two literals, which are watched, become ones that are not false, if there are any.
    A clause of which all literals are false is returned itself; it cannot pass its own check.
    """
    possible = np.int64(0)
    for k in range(c + HEADER, c + HEADER + np.int64(cells[c])):
        literal = cells[k]
        if value[literal] >= 0:
            cells[k] = cells[c + HEADER + possible]
            cells[c + HEADER + possible] = literal
            possible += 1
            if possible == 2:
                break
    if cells[c] > 1:
        attach(cells, heads, c)
    if possible == 0:
        return c
    first = np.int64(cells[c + HEADER])
    if possible == 2 or value[first] > 0:
        return 0
    done = state[TRAIL]
    assign(value, trail, reason, state, first, c)
    return propagate(cells, heads, value, trail, reason, state, done)


@kernel("int64(uint32[::1], int8[::1], uint32[::1], int64)")
def _implied_by(cells, value, reason, c):
    """The literal that a clause made true, or -1; it is one of the first two."""
    for k in range(c + HEADER, c + HEADER + min(2, np.int64(cells[c]))):
        literal = np.int64(cells[k])
        if value[literal] > 0 and np.int64(reason[literal >> 1]) == c:
            return literal
    return -1


@kernel("int64(int32[::1], int32[::1], int64)")
def _pivot_of(offsets, literals, step):
    """The first literal of a step, -1 if it has none."""
    if offsets[step] == offsets[step + 1]:
        return -1
    signed = np.int64(literals[offsets[step]])
    return 2 * (abs(signed) - 1) + np.int64(signed < 0)


@kernel(
    "void(uint32[::1], uint32[::1], int8[::1], uint32[::1], uint32[::1], uint8[::1], int64[::1], "
    "uint32[::1], uint32[::1], int64, int32[::1], int32[::1], boolean[::1], int32[::1], "
    "boolean, uint32[::1], int64[::1])"
)
def check(
    cells, heads, value, trail, reason, seen, state, hints, at, count,
    offsets, literals, deletes, means, backward, hint_ends, result,
):  # fmt: skip
    """Check a proof that has been loaded; the first nine are those of `check_clause`.

    Args:
        cells: records.
        heads: (2 * literals,) zeros.
        value: (literals,) zeros.
        trail: (variables,).
        reason: (variables,) zeros.
        seen: (variables,) zeros.
        state: (2,) zeros.
        hints: room for hints, or empty.
        at: where each clause lies.
        count: clauses of the formula.
        offsets: steps of the proof, by their ends in `literals`.
        literals: DIMACS.
        deletes: which steps delete.
        means: the clause of each step, or NOTHING.
        backward: from the last step back; else from the first on.
        hint_ends: (clauses + 1,) where the hints are: filled, for each clause checked, with
            where its hints end in `hints`; those of the conflict end at the last place.
        result: STATUS, the STEP at which it was decided, clauses CHECKED, of those RATS.
    """
    conflict = _begin(cells, heads, value, trail, reason, state, at, count)
    step = np.int64(0)
    while not conflict and step < deletes.shape[0]:
        number = np.int64(means[step])
        result[STEP] = step
        if number == NOTHING:
            step += 1
            continue
        c = np.int64(at[number])
        if deletes[step]:
            if np.int64(cells[c + 1]) & WATCHED:
                detach(cells, heads, c)
            step += 1
            continue
        if not backward:
            found = check_clause(
                cells, heads, value, trail, reason, seen, state, hints, at, number,
                _pivot_of(offsets, literals, step), False,
            )  # fmt: skip
            if found == FAILED:
                result[STATUS] = NOT_REDUNDANT
                return
            result[CHECKED] += 1
            result[RATS] += found == BY_RAT
        conflict = _add(cells, heads, value, trail, reason, state, c)
        step += 1
    if not conflict:
        result[STATUS] = NO_CONFLICT
    elif backward:
        explain(cells, heads, trail, reason, seen, state, hints, conflict, -1)
        hint_ends[-1] = state[HINTS]
        _back(
            cells, heads, value, trail, reason, seen, state, hints, at,
            offsets, literals, deletes, means, step, hint_ends, result,
        )  # fmt: skip


@kernel(
    "void(uint32[::1], uint32[::1], int8[::1], uint32[::1], uint32[::1], uint8[::1], int64[::1], "
    "uint32[::1], uint32[::1], int32[::1], int32[::1], boolean[::1], int32[::1], int64, "
    "uint32[::1], int64[::1])"
)
def _back(
    cells, heads, value, trail, reason, seen, state, hints, at,
    offsets, literals, deletes, means, steps, hint_ends, result,
):  # fmt: skip
    """Check what the conflict after `steps` steps needs; arguments as those of `check`."""
    for step in range(steps - 1, -1, -1):
        number = np.int64(means[step])
        if number == NOTHING:
            continue
        c = np.int64(at[number])
        if deletes[step]:
            if cells[c] > 1:
                attach(cells, heads, c)
            continue
        if np.int64(cells[c + 1]) & WATCHED:
            detach(cells, heads, c)
        implied = _implied_by(cells, value, reason, c)
        if implied >= 0:
            size = state[TRAIL] - 1
            while np.int64(trail[size]) != implied:
                size -= 1
            undo(value, trail, state, size)
        if not np.int64(cells[c + 1]) & CORE:
            continue
        found = check_clause(
            cells, heads, value, trail, reason, seen, state, hints, at, number,
            _pivot_of(offsets, literals, step), True,
        )  # fmt: skip
        if found == FAILED:
            result[STATUS] = NOT_REDUNDANT
            result[STEP] = step
            return
        result[CHECKED] += 1
        result[RATS] += found == BY_RAT
        if hints.shape[0]:
            hint_ends[number] = state[HINTS]
