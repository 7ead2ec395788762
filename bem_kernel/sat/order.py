"""The order in which variables are decided: by activity, which conflicts raise.

There is no heap. The keys of the undecided variables lie in a row, and to decide is to find the
largest, a few instructions on vectors; so raising an activity is one addition, and undoing an
assignment one store. On a few hundred variables a heap costs several times as much, most of it in
branches that nothing can predict.

Source: Moskewicz et al. 2001 (activities that decay).
"""

# The kernels share one array: its cells are found by position, not by name.
# mypy: disable-error-code="no-untyped-def, no-any-return, assignment"

from __future__ import annotations

import numpy as np

from bem_kernel.compiled import kernel
from bem_kernel.sat.cells import cell, put, put_wide, wide
from bem_kernel.sat.layout import BUMP, KEY, LIVE, N_VARS, PHASE, SCALARS

VARIABLE_BITS = 13
_VARIABLE = (1 << VARIABLE_BITS) - 1
_MAX_BUMP = 1 << 26
_RESCALE = 18


@kernel("void(int32[::1], int64)")
def decay(ws, w):
    """Let later conflicts weigh more, and scale all activities down before they overflow."""
    bump = cell(ws, BUMP) + (cell(ws, BUMP) >> 5)
    if bump > _MAX_BUMP:
        bump >>= _RESCALE
        for variable in range(cell(ws, N_VARS)):
            key = wide(ws, SCALARS + KEY * w + 2 * variable)
            key = (key >> (VARIABLE_BITS + _RESCALE)) << VARIABLE_BITS | variable
            put_wide(ws, SCALARS + KEY * w + 2 * variable, key)
            if wide(ws, SCALARS + LIVE * w + 2 * variable) >= 0:
                put_wide(ws, SCALARS + LIVE * w + 2 * variable, key)
    put(ws, BUMP, bump)


@kernel("int64(int32[::1], int64)")
def decide(ws, w):
    """The undecided variable of most activity, as a literal of its phase; -1 if none is left."""
    live = SCALARS + LIVE * w
    best = np.int64(-1)
    for position in range(live, live + 2 * np.int64(cell(ws, N_VARS)), 2):
        best = max(best, wide(ws, position))
    if best < 0:
        return -1
    variable = best & _VARIABLE
    return 2 * variable + cell(ws, SCALARS + PHASE * w + variable)
