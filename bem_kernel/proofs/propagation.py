"""Unit propagation over records, clauses of the core first.

Each literal has two lists of watches: at 2 * literal those of clauses outside the core, at
2 * literal + 1 those of the core. Propagation goes through the core's lists first, and looks at
one more of the others only when the core has nothing left to say, so that few clauses become
needed. Lists are linked both ways: a clause leaves and returns in a few steps, wherever it is.

`state` holds the number of literals on the trail. Assigned literals stay on the trail in order;
value[literal] is 1 where true, -1 where false, 0 where open; reason[v - 1] is the record that
made the variable true or false, 0 for an assumption.

Source: Moskewicz et al. 2001 (watches); Wetzler, Heule and Hunt 2014 (core first).
"""

# The kernels share arrays whose cells are found by position, not by name.
# mypy: disable-error-code="no-untyped-def, no-any-return"

from __future__ import annotations

import numpy as np

from bem_kernel.compiled import kernel
from bem_kernel.proofs.records import CORE, HEADER, WATCHED

TRAIL = 0  # cell of `state`: literals on the trail


@kernel("void(uint32[::1], uint32[::1], int64, int64, int64)")
def _link(cells, heads, c, watch, which):
    """Put a watch in front of a list."""
    link = 2 * c + watch
    following = np.int64(heads[which])
    cells[c + 2 + 2 * watch] = following
    cells[c + 3 + 2 * watch] = 0
    heads[which] = link
    if following:
        cells[(following >> 1) + 3 + 2 * (following & 1)] = link


@kernel("void(uint32[::1], uint32[::1], int64, int64, int64)")
def _unlink(cells, heads, c, watch, which):
    """Take a watch off its list."""
    following = np.int64(cells[c + 2 + 2 * watch])
    before = np.int64(cells[c + 3 + 2 * watch])
    if before:
        cells[(before >> 1) + 2 + 2 * (before & 1)] = following
    else:
        heads[which] = following
    if following:
        cells[(following >> 1) + 3 + 2 * (following & 1)] = before


@kernel("void(uint32[::1], uint32[::1], int64)")
def attach(cells, heads, c):
    """Watch the first two literals of a clause, which must have two and not be watched."""
    core = np.int64(cells[c + 1]) & CORE
    _link(cells, heads, c, 0, 2 * np.int64(cells[c + HEADER]) + core)
    _link(cells, heads, c, 1, 2 * np.int64(cells[c + HEADER + 1]) + core)
    cells[c + 1] |= np.uint32(WATCHED)


@kernel("void(uint32[::1], uint32[::1], int64)")
def detach(cells, heads, c):
    """Stop watching a clause; its literals stay in place, so `attach` brings the watches back."""
    core = np.int64(cells[c + 1]) & CORE
    _unlink(cells, heads, c, 0, 2 * np.int64(cells[c + HEADER]) + core)
    _unlink(cells, heads, c, 1, 2 * np.int64(cells[c + HEADER + 1]) + core)
    cells[c + 1] ^= np.uint32(WATCHED)


@kernel("void(int8[::1], uint32[::1], uint32[::1], int64[::1], int64, int64)")
def assign(value, trail, reason, state, literal, why):
    """Make a literal true."""
    value[literal] = 1
    value[literal ^ 1] = -1
    reason[literal >> 1] = why
    trail[state[TRAIL]] = literal
    state[TRAIL] += 1


@kernel("void(int8[::1], uint32[::1], int64[::1], int64)")
def undo(value, trail, state, size):
    """Open again all literals but the first `size` of the trail."""
    for i in range(size, state[TRAIL]):
        literal = np.int64(trail[i])
        value[literal] = 0
        value[literal ^ 1] = 0
    state[TRAIL] = size


@kernel("int64(uint32[::1], uint32[::1], int8[::1], uint32[::1], uint32[::1], int64[::1], int64)")
def propagate(cells, heads, value, trail, reason, state, done):
    """Assign what follows from the trail.

    The list that is gone through is unlinked from by hand: all the time is spent here.

    Args:
        cells: records.
        heads: (2 * literals,) the first watch of each list.
        value: (literals,) as above, and so the next three.
        trail: (variables,).
        reason: (variables,).
        state: see above.
        done: the literals of the trail before this one have been propagated.

    Returns:
        The record whose literals are all false, or 0.
    """
    core_at, rest_at, size = done, done, state[TRAIL]
    pending, which_pending = np.int64(0), np.int64(0)  # where a list outside the core was left
    conflict = np.int64(0)
    while not conflict:
        core = np.int64(core_at < size)
        if core:
            which = 2 * (np.int64(trail[core_at]) ^ 1) + 1
            link = np.int64(heads[which])
            core_at += 1
        elif pending:
            which, link = which_pending, pending
        elif rest_at < size:
            which = 2 * (np.int64(trail[rest_at]) ^ 1)
            link = np.int64(heads[which])
            rest_at += 1
        else:
            break
        while link:
            c, watch = link >> 1, link & 1
            following = np.int64(cells[c + 2 + 2 * watch])
            other = np.int64(cells[c + HEADER + 1 - watch])
            if value[other] > 0:
                link = following
                continue
            end = c + HEADER + np.int64(cells[c])
            k = c + HEADER + 2
            while k < end and value[cells[k]] < 0:
                k += 1
            if k < end:  # watch this literal instead
                literal = np.int64(cells[k])
                cells[k] = cells[c + HEADER + watch]
                cells[c + HEADER + watch] = literal
                before = np.int64(cells[c + 3 + 2 * watch])
                if before:
                    cells[(before >> 1) + 2 + 2 * (before & 1)] = following
                else:
                    heads[which] = following
                if following:
                    cells[(following >> 1) + 3 + 2 * (following & 1)] = before
                _link(cells, heads, c, watch, 2 * literal + core)
            elif value[other] < 0:
                conflict = c
                break
            else:
                value[other] = 1
                value[other ^ 1] = -1
                reason[other >> 1] = c
                trail[size] = other
                size += 1
                if not core:
                    link = following
                    break
            link = following
        if not core:
            pending, which_pending = link, which
    state[TRAIL] = size
    return conflict
