"""The one array of the small solver: scalars, rows of n cells, clauses.

    clause at c:  size | next of watch 0 | next of watch 1 | glue, 0 if given | literals ...

A literal inside is 2 * (v - 1) for v and 2 * (v - 1) + 1 for its negation; `ws` is the array. After
the scalars come the rows, in units of n cells: values of literals (2), heads of watch lists (2),
level, reason, trail, phase, activity, heap, place in the heap, marks, scratch (1 each and one cell
more), and where each level begins on the trail. Learnt and deleted clauses go to a second array,
`log`, which is the proof: count (negative where deleted), then the literals.
"""

from __future__ import annotations

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
ROWS = 14  # as many times n as all rows take


def cells_for(n_vars: int, n_clauses: int, n_literals: int) -> int:
    """Cells of ws for a formula, without room for learnt clauses."""
    return SCALARS + ROWS * n_vars + 4 + HEADER * n_clauses + n_literals
