"""Ways to have a gate from other gates, where it matters: one as it is, or two through a new gate.

Everything that a search for ways works on comes in few arrays:

- `job`: numbers, by the names below.
- `choice`: the best way so far; its last cell counts equally good ones, of which one is drawn.
- `numbers`: (rows, length) int64, rows by the names below; the length is a power of two and at
  least four times the room for gates.
- `planes`: (rows, words) uint64: what is wanted, and on which inputs.

Source: Mishchenko, Brayton, Jiang and Jang 2011 (resubstitution with don't-cares).
"""

from __future__ import annotations

import numpy as np

from bem_kernel.compiled import kernel
from bem_kernel.policy.counter import ticket
from bem_kernel.synthesis.network import AND, OR, XOR

MAX_PAIRS = 2000  # looked at for one gate, of each kind

# Cells of `job`: the gate, how many gates only it needs, a literal that a second new gate takes (or
# 0), number of inputs, of divisors, of covering literals, of literals inside, a literal that is
# both (or -1), random numbers drawn.
NODE, N_OWN, OUTER, N_INPUTS, N_DIVISORS, N_COVERS, N_INSIDE, EXACT, DRAWN = range(9)
# Cells of `choice`; the kind is 0 for nothing found, 1 for a literal, 2 for a gate of two.
GAIN, KIND, TABLE, FIRST, SECOND, SEEN = range(6)
# Rows of `numbers`.
OWN, REFS, LITERALS, DIVISORS, INSTEAD, COVERS, INSIDE, OUTERS, PLACES, STACK = range(10)
# Rows of `planes`.
TARGET, CARE, OBSERVED = range(3)


@kernel("int64(uint64, int64[::1], int64)")
def draw(key, job, below):  # type: ignore[no-untyped-def]
    """A random number from 0 to below - 1."""
    job[DRAWN] += 1
    high = ticket(np.uint64(key), np.uint64(job[DRAWN])) >> np.uint64(32)
    return np.int64(high * np.uint64(below) >> np.uint64(32))


@kernel("int64(int64, int64, int64, int64[:, ::1], uint8[::1], int64[::1])")
def _kept(x, y, z, gates, is_own, stack):  # type: ignore[no-untyped-def]
    """How many of a gate's own gates are still needed if slots x, y, z are."""
    depth = at = np.int64(0)
    for slot in (x, y, z):
        if is_own[slot] == 1:
            is_own[slot] = 2
            stack[depth] = slot
            depth += 1
    while at < depth:
        for k in range(1, 3):
            slot = gates[stack[at], k]
            if is_own[slot] == 1:
                is_own[slot] = 2
                stack[depth] = slot
                depth += 1
        at += 1
    for i in range(depth):
        is_own[stack[i]] = 1
    return depth


@kernel(
    "void(int64, int64, int64, int64, int64[:, ::1], uint8[::1], int64[:, ::1], uint64, int64[::1],"
    " int64[::1])"
)
def _offer(kind, table, x, y, gates, is_own, numbers, key, job, choice):  # type: ignore[no-untyped-def]
    """Keep a way if it saves more than the best so far, or as much and by lot."""
    a, b = gates[job[NODE], 1], gates[job[NODE], 2]
    p, q, outer = x >> 1, y >> 1, job[OUTER]
    if kind == 2 and outer == 0 and ((p == a and q == b) or (p == b and q == a)):
        return  # the gate itself
    added = (kind == 2) + (outer > 0)
    gain = job[N_OWN] - added - _kept(p, q, outer >> 1, gates, is_own, numbers[STACK])
    if gain > choice[GAIN]:
        choice[SEEN] = 0
    if gain >= choice[GAIN]:
        choice[SEEN] += 1
        if draw(key, job, choice[SEEN]) == 0:
            choice[GAIN], choice[KIND], choice[TABLE] = gain, kind, table
            choice[FIRST], choice[SECOND] = x, y


@kernel("void(uint64[:, ::1], uint64[:, ::1], int64[:, ::1], int64[::1])")
def _one_sided(sims, planes, numbers, job):  # type: ignore[no-untyped-def]
    """List the literals that are 1 wherever the target is, and those that are 1 only there."""
    job[N_COVERS], job[N_INSIDE], job[EXACT] = 0, 0, -1
    for i in range(job[N_DIVISORS]):
        d = numbers[DIVISORS, i]
        misses_on = misses_off = hits_on = hits_off = np.uint64(0)
        for w in range(sims.shape[1]):
            on, off = planes[TARGET, w] & planes[CARE, w], ~planes[TARGET, w] & planes[CARE, w]
            value = sims[d, w]
            misses_on |= on & ~value
            hits_on |= on & value
            misses_off |= off & ~value
            hits_off |= off & value
            if (misses_on != 0) & (hits_on != 0) & (misses_off != 0) & (hits_off != 0):
                break
        for negated in range(2):
            misses, wrong = (misses_on, hits_off) if negated == 0 else (hits_on, misses_off)
            if misses == 0:
                numbers[COVERS, job[N_COVERS]] = 2 * d + negated
                job[N_COVERS] += 1
            if wrong == 0:
                numbers[INSIDE, job[N_INSIDE]] = 2 * d + negated
                job[N_INSIDE] += 1
            if misses == 0 and wrong == 0:
                job[EXACT] = 2 * d + negated


@kernel("boolean(int64, int64, int64, uint64[:, ::1], uint64[:, ::1])")
def _fits(table, x, y, sims, planes):  # type: ignore[no-untyped-def]
    """Whether AND, OR or XOR of two literals is the target wherever it matters."""
    invert_x, invert_y = np.uint64(0) - np.uint64(x & 1), np.uint64(0) - np.uint64(y & 1)
    for w in range(sims.shape[1]):
        p, q = sims[x >> 1, w] ^ invert_x, sims[y >> 1, w] ^ invert_y
        value = p ^ q
        if table == AND:
            value = p & q
        elif table == OR:
            value = p | q
        if (value ^ planes[TARGET, w]) & planes[CARE, w] != 0:
            return False
    return True


@kernel(
    "void(int64, int64, int64, int64[:, ::1], uint64[:, ::1], uint64[:, ::1], uint8[::1],"
    " int64[:, ::1], uint64, int64[::1], int64[::1])"
)
def _pair_ways(table, row, size, gates, sims, planes, is_own, numbers, key, job, choice):  # type: ignore[no-untyped-def]
    """Offer the pairs from a list of literals whose AND, or OR, is the target."""
    if size < 2:
        return
    start, tried = draw(key, job, size), np.int64(0)
    for k in range(size):
        i = k + start if k + start < size else k + start - size
        x = numbers[row, i]
        for j in range(i):
            y = numbers[row, j]
            if _fits(table, x, y, sims, planes):
                _offer(2, table, x, y, gates, is_own, numbers, key, job, choice)
        tried += i
        if tried > MAX_PAIRS:
            break


@kernel("uint64(uint64[::1], uint64[::1])")
def _print(values, care):  # type: ignore[no-untyped-def]
    """A fingerprint of a row where it matters; that of a sum is the sum of the fingerprints."""
    result = np.uint64(0)
    for w in range(values.shape[0]):
        value = values[w] & care[w]
        result = (result << np.uint64(7) | result >> np.uint64(57)) ^ value ^ value >> np.uint64(29)
    return result


@kernel("int64(uint64, int64)")
def _place(mark, mask):  # type: ignore[no-untyped-def]
    return np.int64((mark ^ mark >> np.uint64(32)) & np.uint64(mask))


@kernel(
    "void(int64[:, ::1], uint64[:, ::1], uint64[:, ::1], uint8[::1], uint64[::1], int64[:, ::1],"
    " uint64, int64[::1], int64[::1])"
)
def _xor_ways(gates, sims, planes, is_own, prints, numbers, key, job, choice):  # type: ignore[no-untyped-def]
    """Offer the pairs of divisors whose sum is the target, or its negation."""
    places, divisors, count = numbers[PLACES], numbers[DIVISORS], job[N_DIVISORS]
    size = np.int64(16)
    while size < 2 * count:
        size *= 2
    mask = size - 1
    for at in range(size):
        places[at] = -1
    wanted = _print(planes[TARGET], planes[CARE])
    every = _print(planes[CARE], planes[CARE])
    for i in range(count):
        mark = _print(sims[divisors[i]], planes[CARE])
        prints[i] = mark
        for negated in range(2):
            look = mark ^ wanted ^ (every if negated else np.uint64(0))
            at = _place(look, mask)
            while places[at] >= 0:
                if prints[places[at]] == look:
                    x, y = 2 * divisors[i], 2 * divisors[places[at]] + negated
                    if _fits(XOR, x, y, sims, planes):
                        _offer(2, XOR, x, y, gates, is_own, numbers, key, job, choice)
                at = (at + 1) & mask
        at = _place(mark, mask)
        while places[at] >= 0:
            at = (at + 1) & mask
        places[at] = i


@kernel(
    "void(int64[:, ::1], uint64[:, ::1], uint64[:, ::1], uint8[::1], uint64[::1], int64[:, ::1],"
    " uint64, int64[::1], int64[::1])"
)
def find_ways(gates, sims, planes, is_own, prints, numbers, key, job, choice):  # type: ignore[no-untyped-def]
    """Offer the ways to have the target where it matters, from one divisor or two.

    Args:
        gates: (room, 3) the network.
        sims: (room, words) its values.
        planes: see the head of this file, as for the arrays that follow.
        is_own: (room,) 1 for gates that only the gate in question needs.
        prints: (room,) scratch.
        numbers: rows of numbers.
        key: of the random numbers.
        job: what is looked for.
        choice: the best way so far, in and out.
    """
    _one_sided(sims, planes, numbers, job)
    if job[EXACT] >= 0:
        x = job[EXACT]
        _offer(1, 0, x, x, gates, is_own, numbers, key, job, choice)
    elif job[N_OWN] - 1 - (job[OUTER] > 0) >= choice[GAIN]:
        n = job[N_COVERS]
        _pair_ways(AND, COVERS, n, gates, sims, planes, is_own, numbers, key, job, choice)
        n = job[N_INSIDE]
        _pair_ways(OR, INSIDE, n, gates, sims, planes, is_own, numbers, key, job, choice)
        _xor_ways(gates, sims, planes, is_own, prints, numbers, key, job, choice)
