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
    """Watch the first two literals of a clause; shorter clauses have no watches."""
    if cells[c] < 2:
        return
    core = np.int64(cells[c + 1]) & CORE
    for watch in range(2):
        _link(cells, heads, c, watch, 2 * np.int64(cells[c + HEADER + watch]) + core)
    cells[c + 1] |= np.uint32(WATCHED)


@kernel("void(uint32[::1], uint32[::1], int64)")
def detach(cells, heads, c):
    """Stop watching; the literals stay in place, so `attach` brings back the same watches."""
    if not np.int64(cells[c + 1]) & WATCHED:
        return
    core = np.int64(cells[c + 1]) & CORE
    for watch in range(2):
        _unlink(cells, heads, c, watch, 2 * np.int64(cells[c + HEADER + watch]) + core)
    cells[c + 1] ^= np.uint32(WATCHED)


@kernel("void(uint32[::1], uint32[::1], int64)")
def move_to_core(cells, heads, c):
    """Make a clause one of the core."""
    if np.int64(cells[c + 1]) & CORE:
        return
    watched = np.int64(cells[c + 1]) & WATCHED
    if watched:
        detach(cells, heads, c)
    cells[c + 1] |= np.uint32(CORE)
    if watched:
        attach(cells, heads, c)


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
    core_at, rest_at = done, done
    pending = np.int64(0)  # where the list outside the core was left
    while True:
        core = np.int64(0)
        if core_at < state[TRAIL]:
            core = np.int64(1)
            link = np.int64(heads[2 * (np.int64(trail[core_at]) ^ 1) + 1])
            core_at += 1
        elif pending:
            link = pending
        elif rest_at < state[TRAIL]:
            link = np.int64(heads[2 * (np.int64(trail[rest_at]) ^ 1)])
            rest_at += 1
        else:
            return 0
        while link:
            c, watch = link >> 1, link & 1
            following = np.int64(cells[c + 2 + 2 * watch])
            other = np.int64(cells[c + HEADER + 1 - watch])
            if value[other] <= 0:
                end = c + HEADER + np.int64(cells[c])
                k = c + HEADER + 2
                while k < end and value[cells[k]] < 0:
                    k += 1
                if k < end:  # watch this one instead
                    false, literal = np.int64(cells[c + HEADER + watch]), np.int64(cells[k])
                    _unlink(cells, heads, c, watch, 2 * false + core)
                    cells[k] = false
                    cells[c + HEADER + watch] = literal
                    _link(cells, heads, c, watch, 2 * literal + core)
                elif value[other] < 0:
                    return c
                else:
                    assign(value, trail, reason, state, other, c)
                    if not core:
                        link = following
                        break
            link = following
        if not core:
            pending = link
