"""The one array of the small solver: scalars, rows, clauses.

A literal inside is 2 * (v - 1) for v and 2 * (v - 1) + 1 for its negation; `ws` is the array. After
the scalars come the rows, in units of `stride(n)` cells. Two variables beyond the last are there
for code without branches: NEVER's positive literal is always false, and nobody reads what is
written to NOWHERE.

Then the short clauses (two or three literals) of the formula, in SHORT cells each: last use, size,
literals. Each literal has a list of what else there is in its short clauses, in CLOSE cells for
each: the two other literals (one of them NEVER's in a clause of two) and where the clause is. All
other clauses follow, with a header before their first literal:

    glue, 0 if given | next of watch 0 | next of watch 1 | last use | size || literals ...

A clause is named by where its literals begin, so its size is in the cell before; its last use is
the number of the last conflict that it had a part in. Learnt and deleted clauses go to a second
array, `log`, which is the proof: count (negative where deleted), then the literals.
"""

from __future__ import annotations

from bem_kernel.compiled import kernel

# Scalars, by position in ws.
N_VARS = 0
TRAIL_SIZE = 1
HEAD_OF_QUEUE = 2
LEVEL_NOW = 3
USED = 4  # first free cell of ws
LONG_FROM = 5  # first clause with a header
LEARNT_FROM = 6  # first learnt clause
N_LEARNT = 7
CONFLICTS = 8
BUMP = 9
REFUTED = 10  # 1 once the clauses alone are false
LOGGED = 11  # first free cell of log
RESTARTS = 12
KEEP_AT_MOST = 13
NEXT_ASSUMPTION = 14
FAILED_SIZE = 15  # of the assumptions that cannot all hold, in the scratch row
FALSIFIED = 16  # the clause that propagation has just found false, or 0
REDUCED = 17  # conflicts at the last reduction
SCALARS = 18

# Rows, by how many strides come before.
VALUE = 0  # of literals: 1 true, -1 false, 0 neither
HEADS = 2  # of the watch lists of literals
CLOSE_FROM = 4  # where the list of a literal's short clauses begins; it ends with the next one's
LEVEL = 6
REASON = 7
TRAIL = 8
PHASE = 9
KEY = 10  # of a variable as it is ordered, 64 bits: activity, then the variable
LIVE = 12  # the same while the variable is undecided, else -1
SEEN = 14
SCRATCH = 15
LIMITS = 16  # where each level begins on the trail
STAMPS = 17  # of levels: the last conflict that counted one
ROWS = 18

UNKNOWN, SATISFIABLE, UNSATISFIABLE, WS_FULL, LOG_FULL = 0, 1, 2, 3, 4

SHORT = 5  # cells of a short clause
CLOSE = 3  # cells in the list of a literal for each of its short clauses
HEADER = 5  # cells of another clause before its literals
GLUE, NEXT, USE, SIZE = -5, -4, -2, -1  # cells of the header, from the first literal


@kernel("int64(int64)")
def stride(n_vars):  # type: ignore[no-untyped-def]
    """Cells of one row: even, since two of them make 64 bits, with room for NEVER and NOWHERE."""
    return (n_vars + 3) & -2


def cells_for(n_vars: int, n_clauses: int, n_literals: int) -> int:
    """Cells of ws for a formula, without room for learnt clauses."""
    rows = SCALARS + ROWS * (n_vars + 3)
    return rows + (SHORT + HEADER) * n_clauses + (CLOSE + 1) * n_literals
