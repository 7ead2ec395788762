"""Clauses of a formula and of its proof as records in one array, and what each step means.

A literal inside is 2 * (v - 1) for v and 2 * (v - 1) + 1 for its negation. The clause with number
i (those of the formula first, then the added ones in order) lies at c = at[i]:

    size | 4 * i + flags | next 0 | before 0 | next 1 | before 1 | literals ...

Repeated literals are left out. A clause of two literals or more watches its first two; watch w of
the clause at c is the link 2 * c + w, and `next` and `before` hold the links of its neighbours in
the list of the watched literal (0 is no link, and no record lies at 0). Positions are unsigned
in memory, which spares numba's test for negative ones.

Source: Wetzler, Heule and Hunt 2014 (DRAT-trim: a deletion means any one clause of these literals).
"""

# The kernels share arrays whose cells are found by position, not by name.
# mypy: disable-error-code="no-untyped-def, no-any-return"

from __future__ import annotations

import numpy as np

from bem_kernel.compiled import kernel

HEADER = 6  # cells of a record before its literals
CORE = 1  # flag: a later step needs this clause
WATCHED = 2  # flag: the clause is in the lists of its watches
NUMBER = 2  # bits of a flags cell below the clause's number
NOTHING = -1  # what a deletion without effect means


@kernel("int64(int32[::1])")
def largest(literals):
    """The largest variable of DIMACS literals, 0 if there are none."""
    result = np.int64(0)
    for k in range(literals.shape[0]):
        result = max(result, abs(np.int64(literals[k])))
    return result


@kernel("int64(uint32[::1], uint32[::1], int64, int64, int32[::1], int64, int64)")
def _write(cells, stamp, c, mark, literals, first, end):
    """Write the clause literals[first:end] (DIMACS) at c, each literal once; the cell after it.

    `mark` is a number that no other call has used; the clause's literals are stamped with it.
    """
    last = c + HEADER
    for k in range(first, end):
        negative = np.int64(literals[k] < 0)
        literal = 2 * (abs(np.int64(literals[k])) - 1) + negative
        if np.int64(stamp[literal]) != mark:
            stamp[literal] = mark
            cells[last] = literal
            last += 1
    cells[c] = last - c - HEADER
    return last


@kernel("int64(uint32[::1], int64, int64)")
def _bucket(cells, c, buckets):
    """The bucket, of a power of two, for clauses of these literals in any order."""
    total = np.int64(0)
    for k in range(c + HEADER, c + HEADER + np.int64(cells[c])):
        mixed = (np.int64(cells[k]) + 1) * 0x9E3779B1
        total += (mixed ^ (mixed >> 15)) * 0x85EBCA77
    return (total ^ (total >> 17)) & (buckets - 1)


@kernel("int64(uint32[::1], uint32[::1], uint32[::1], uint32[::1], int32[::1], int64, int64)")
def _take(cells, stamp, at, heads, chain, c, mark):
    """Take a clause of the literals at c, stamped with `mark`, off its bucket; its number."""
    bucket = _bucket(cells, c, heads.shape[0])
    before = np.int64(0)
    entry = np.int64(heads[bucket])  # a clause's number + 1
    while entry != 0:
        other = np.int64(at[entry - 1])
        same = cells[other] == cells[c]
        for k in range(other + HEADER, other + HEADER + np.int64(cells[other])):
            same &= np.int64(stamp[cells[k]]) == mark
        if same:
            if before == 0:
                heads[bucket] = np.uint32(chain[entry - 1])
            else:
                chain[before - 1] = chain[entry - 1]
            return entry - 1
        before = entry
        entry = np.int64(chain[entry - 1])
    return NOTHING


@kernel("void(uint32[::1], uint32[::1], int32[::1], int64, int64)")
def _offer(cells, heads, chain, c, number):
    """Put a clause where deletions will find it."""
    bucket = _bucket(cells, c, heads.shape[0])
    chain[number] = np.int32(heads[bucket])
    heads[bucket] = np.uint32(number + 1)


@kernel(
    "void(uint32[::1], uint32[::1], uint32[::1], int32[::1], int32[::1], int32[::1], int32[::1], "
    "boolean[::1], int32[::1], uint32[::1], int32[::1])"
)
def load(
    cells, at, stamp, offsets, literals, step_offsets, step_literals, deletes, means, heads, chain
):
    """Write all clauses as records, and find the clause that each step adds or deletes.

    Args:
        cells: (1 + HEADER + ...) room for one record per clause, and one more.
        at: (clauses,) filled with where each lies.
        stamp: (literals,) zeros.
        offsets: the formula's clauses, by their ends in `literals`.
        literals: DIMACS.
        step_offsets: the proof's steps, likewise.
        step_literals: DIMACS.
        deletes: whether a step deletes.
        means: (steps,) filled with the number of the clause that a step adds or deletes; NOTHING
            for a deletion of a clause that is not there.
        heads: zeros, a power of two of them; empty if no step deletes.
        chain: (clauses,) int32; empty if no step deletes.
    """
    matching = heads.shape[0] > 0
    number, used, mark = np.int64(0), np.int64(1), np.int64(0)
    for i in range(offsets.shape[0] - 1):
        mark += 1
        at[number] = used
        end = _write(cells, stamp, used, mark, literals, offsets[i], offsets[i + 1])
        cells[used + 1] = number << NUMBER
        if matching:
            _offer(cells, heads, chain, used, number)
        used = end
        number += 1
    for step in range(deletes.shape[0]):
        mark += 1
        end = _write(
            cells, stamp, used, mark, step_literals, step_offsets[step], step_offsets[step + 1]
        )
        if deletes[step]:
            means[step] = _take(cells, stamp, at, heads, chain, used, mark)
            continue
        at[number] = used
        cells[used + 1] = number << NUMBER
        means[step] = number
        if matching:
            _offer(cells, heads, chain, used, number)
        used = end
        number += 1
