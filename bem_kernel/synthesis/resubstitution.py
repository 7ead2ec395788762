"""A random walk over circuits of equal function, through gates that can be had from others.

A move takes a gate at random and finds on which inputs it matters, by simulating the network with
the gate flipped. Then it looks for other gates, not behind it, from which the same can be had
there: one as it is, two through a new gate, three through two new gates. Of the ways found, one
that saves most is taken, also when it saves nothing: such steps lead to circuits where others save.
What only the gate itself needed falls away.

Everything is simulated on all inputs, so a move is right by construction; a proof by SAT is made of
the end result all the same.

Source: Mishchenko, Brayton, Jiang and Jang 2011 (resubstitution with don't-cares);
Lee et al. 2021 (simulation-guided).
"""

from __future__ import annotations

import numpy as np

from bem_kernel.compiled import kernel
from bem_kernel.synthesis import ways
from bem_kernel.synthesis.compaction import COUNT, compact
from bem_kernel.synthesis.network import AND, OR, XOR
from bem_kernel.synthesis.observation import observe, own_cone, simulate
from bem_kernel.synthesis.ways import (
    CARE,
    COVERS,
    DIVISORS,
    FIRST,
    GAIN,
    INSIDE,
    INSTEAD,
    KIND,
    LITERALS,
    N_COVERS,
    N_DIVISORS,
    N_INPUTS,
    N_INSIDE,
    N_OWN,
    NODE,
    OBSERVED,
    OUTER,
    OUTERS,
    OWN,
    REFS,
    SECOND,
    SEEN,
    STACK,
    TABLE,
    TARGET,
    draw,
    find_ways,
)

MAX_INPUTS = 14
N_ROWS = 12  # of `numbers`: those of `ways`, and the hash table of compaction
_HASHES, _STAMPS = 10, 11
_OUTER_TRIES = 6


@kernel("int64(int64, int64, int64, int64[:, ::1], int64)")
def _append(table, x, y, gates, slot):  # type: ignore[no-untyped-def]
    """Write a gate on two literals to a free slot, negations in its table; returns its literal."""
    if x & 1:
        table = (table & 5) << 1 | (table & 10) >> 1
    if y & 1:
        table = (table & 3) << 2 | table >> 2
    gates[slot, 0], gates[slot, 1], gates[slot, 2] = table, x >> 1, y >> 1
    return 2 * slot


@kernel("void(int64, int64, int64[:, ::1], int64[::1], uint64[:, ::1], int64[:, ::1])")
def _refresh(n_inputs, count, gates, outs, sims, numbers):  # type: ignore[no-untyped-def]
    """Values and readers of all slots."""
    simulate(n_inputs, count, gates, sims)
    refs = numbers[REFS]
    for slot in range(count):
        refs[slot] = 0
    for slot in range(1 + n_inputs, count):
        refs[gates[slot, 1]] += 1
        refs[gates[slot, 2]] += 1
    for j in range(outs.shape[0]):
        refs[outs[j] >> 1] += 1


@kernel("void(int64[::1], int64[:, ::1], int64[:, ::1], int64[::1], int64[:, ::1])")
def _copy(outs, gates, gates_to, outs_to, counts):  # type: ignore[no-untyped-def]
    for slot in range(counts[0, COUNT]):
        for k in range(3):
            gates_to[slot, k] = gates[slot, k]
    for j in range(outs.shape[0]):
        outs_to[j] = outs[j]


@kernel("int64(uint64[:, ::1], uint64[::1], int64[::1])")
def _constant(planes, values, job):  # type: ignore[no-untyped-def]
    """Set the target to the gate's values; 0 or 1 if it is that where it matters, else -1."""
    on = off = np.uint64(0)
    for w in range(planes.shape[1]):
        planes[TARGET, w], planes[CARE, w] = values[w], planes[OBSERVED, w]
        on |= values[w] & planes[CARE, w]
        off |= ~values[w] & planes[CARE, w]
    job[OUTER] = 0
    if on == 0:
        return np.int64(0)
    return np.int64(1 if off == 0 else -1)


@kernel("void(int64, int64, uint64[::1], uint64[::1], uint64[:, ::1])")
def _narrow(table, x, values, other, planes):  # type: ignore[no-untyped-def]
    """What an inner gate must be, and where, if the outer one takes literal x."""
    invert = np.uint64(0) - np.uint64(x & 1)
    for w in range(planes.shape[1]):
        value = other[w] ^ invert
        planes[TARGET, w], planes[CARE, w] = values[w], planes[OBSERVED, w]
        if table == AND:
            planes[CARE, w] &= value
        elif table == OR:
            planes[CARE, w] &= ~value
        else:
            planes[TARGET, w] ^= value


@kernel(
    "UniTuple(int64, 2)(int64[:, ::1], uint64[:, ::1], uint64[:, ::1], uint8[::1], uint64[::1],"
    " int64[:, ::1], uint64, int64[::1], int64[::1])"
)
def _choose(gates, sims, planes, is_own, prints, numbers, key, job, choice):  # type: ignore[no-untyped-def]
    """Find a way to have the gate; returns table and literal of an outer gate, or zeros."""
    values = sims[job[NODE]]
    constant = _constant(planes, values, job)
    outer_table = outer = np.int64(0)
    if constant >= 0:
        choice[GAIN], choice[KIND], choice[FIRST] = job[N_OWN], 1, constant
        return outer_table, outer
    find_ways(gates, sims, planes, is_own, prints, numbers, key, job, choice)
    if job[ways.EXACT] >= 0 or job[N_OWN] - 2 < choice[GAIN]:
        return outer_table, outer
    n_covers, n_outers = job[N_COVERS], job[N_COVERS] + job[N_INSIDE]
    for i in range(n_covers):
        numbers[OUTERS, i] = numbers[COVERS, i]
    for i in range(n_covers, n_outers):
        numbers[OUTERS, i] = numbers[INSIDE, i - n_covers]
    for _ in range(_OUTER_TRIES):
        i = draw(key, job, n_outers + 2)
        table = np.int64(AND if i < n_covers else OR if i < n_outers else XOR)
        if table == XOR:
            x = 2 * numbers[DIVISORS, draw(key, job, job[N_DIVISORS])]
        else:
            x = numbers[OUTERS, i]
        _narrow(table, x, values, sims[x >> 1], planes)
        before = choice[SEEN]
        choice[SEEN], job[OUTER] = 0, x
        find_ways(gates, sims, planes, is_own, prints, numbers, key, job, choice)
        if choice[SEEN] > 0:
            outer_table, outer = table, x
        else:
            choice[SEEN] = before
    return outer_table, outer


@kernel("void(int64, uint8[::1], int64[:, ::1], int64[::1])")
def _list_divisors(count, behind, numbers, job):  # type: ignore[no-untyped-def]
    n = np.int64(0)
    for slot in range(1, count):
        if behind[slot] == 0:
            numbers[DIVISORS, n] = slot
            n += 1
    job[N_DIVISORS] = n


@kernel(
    "int64(int64, int64, int64, int64[:, ::1], int64[:, ::1], int64[::1], int64[:, ::1],"
    " int64[::1], int64[::1], int64[::1])"
)
def _rebuild(count, outer_table, outer, gates, fresh, outs, numbers, state, job, choice):  # type: ignore[no-untyped-def]
    """Put the chosen way into the gate's place; returns slots in use of `fresh`."""
    new, extra = choice[FIRST], count
    if choice[KIND] == 2:
        new = _append(choice[TABLE], choice[FIRST], choice[SECOND], gates, extra)
        extra += 1
    if outer > 0:
        new = _append(outer_table, outer, new, gates, extra)
        extra += 1
    node = job[NODE]
    numbers[INSTEAD, node] = new
    compact(
        job[N_INPUTS],
        gates[:extra],
        outs,
        numbers[INSTEAD],
        fresh,
        state,
        numbers[_HASHES],
        numbers[_STAMPS],
        numbers[LITERALS],
        numbers[STACK],
    )
    numbers[INSTEAD, node] = -1
    return state[COUNT]


@kernel(
    "int64(int64, int64, int64[:, ::1], int64[::1], uint64[:, ::1], uint64[::1], uint64, int64,"
    " int64[:, :, ::1], int64[:, ::1], int64[:, ::1], int64[:, ::1], uint8[:, ::1],"
    " uint64[:, ::1], uint64[::1], uint64[:, ::1])"
)
def walk(  # type: ignore[no-untyped-def]
    n_inputs,
    count,
    gates,
    outs,
    sims,
    given,
    key,
    moves,
    spare,
    outputs,
    few,
    numbers,
    marks,
    flips,
    prints,
    planes,
):
    """Walk over equal circuits, and keep the last that is smallest.

    Args:
        n_inputs: number of inputs.
        count: slots in use.
        gates: (room, 3) the network, in and out; room for two gates more.
        outs: (outputs,) literals, in and out.
        sims: (room, words) rows 0 to n_inputs hold the values on all inputs.
        given: (words,) the inputs that count.
        key: of the random numbers.
        moves: how many gates to try.
        spare: (2, room, 3) scratch, as all that follow.
        outputs: (2, outputs).
        few: (3, 16) of zeros.
        numbers: (12, a power of two, at least 4 * room) of zeros.
        marks: (2, room) of zeros.
        flips: (room, words).
        prints: (room,).
        planes: (3, words).

    Returns:
        Slots in use in the smallest network found, which is in `gates` and `outs`.
    """
    current, fresh, now, other = spare[0], spare[1], outputs[0], outputs[1]
    state, job, choice = few[0], few[1], few[2]
    behind, is_own, own = marks[0], marks[1], numbers[OWN]
    for slot in range(gates.shape[0]):
        numbers[INSTEAD, slot] = -1
    state[COUNT], job[N_INPUTS] = count, n_inputs
    _copy(outs, gates, current, now, few)
    best, changed = count, True
    for _ in range(moves):
        if count <= 1 + n_inputs:
            break
        if changed:
            _refresh(n_inputs, count, current, now, sims, numbers)
        changed = False
        node = 1 + n_inputs + draw(key, job, count - 1 - n_inputs)
        observe(node, count, current, now, sims, flips, behind, given, planes[OBSERVED])
        n_own = own_cone(node, n_inputs, current, numbers[REFS], own, is_own)
        _list_divisors(count, behind, numbers, job)
        job[NODE], job[N_OWN] = node, n_own
        choice[GAIN], choice[KIND], choice[SEEN] = 0, 0, 0
        outer_table, outer = _choose(
            current, sims, planes, is_own, prints, numbers, key, job, choice
        )
        for i in range(n_own):
            is_own[own[i]] = 0
        if choice[KIND] == 0:
            continue
        for j in range(outs.shape[0]):
            other[j] = now[j]
        left = _rebuild(
            count, outer_table, outer, current, fresh, other, numbers, state, job, choice
        )
        if left <= count:
            current, fresh, now, other = fresh, current, other, now
            count, changed = left, True
            if count <= best:
                best = count
                _copy(now, current, gates, outs, few)
    return best
