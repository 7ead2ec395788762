"""The order in which variables are decided: a heap by activity, which conflicts raise.

Source: Moskewicz et al. 2001 (activities that decay).
"""

# The kernels share one array: its cells are found by position, not by name.
# mypy: disable-error-code="no-untyped-def, no-any-return, assignment"

from __future__ import annotations

import numpy as np

from bem_kernel.compiled import kernel
from bem_kernel.sat.cells import cell, put
from bem_kernel.sat.layout import BUMP, HEAP_SIZE, SCALARS

_MAX_BUMP = 1 << 26
_RESCALE = 12


@kernel("void(int32[::1], int64, int64)")
def heap_up(ws, n, position):
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
def heap_down(ws, n, position):
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


@kernel("void(int32[::1], int64, int64)")
def bump(ws, n, variable):
    """Raise a variable's activity."""
    activity, place = SCALARS + 8 * n, SCALARS + 10 * n
    put(ws, activity + variable, cell(ws, activity + variable) + cell(ws, BUMP))
    if cell(ws, place + variable) >= 0:
        heap_up(ws, n, cell(ws, place + variable))


@kernel("void(int32[::1], int64)")
def decay(ws, n):
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
            heap_down(ws, n, position)


@kernel("int64(int32[::1], int64)")
def decide(ws, n):
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
            heap_down(ws, n, 0)
        if cell(ws, value + 2 * variable) == 0:
            return 2 * variable + cell(ws, phase + variable)
    return -1
