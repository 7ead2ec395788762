"""Networks in kernels: building gates with sharing, and rebuilding what the outputs still need.

A network under construction is `gates` (room, 3) with `state[COUNT]` slots in use, and a hash table
of gates: `hashes` holds slots and is valid where `stamps` holds state[STAMP], so that emptying it
costs nothing. Both have a power of two of places, more than twice the slots.
"""

from __future__ import annotations

import numpy as np

from bem_kernel.compiled import kernel

COUNT, STAMP = 0, 1


@kernel("int64(int64, int64, int64)")
def hash_of(table, a, b):  # type: ignore[no-untyped-def]
    """Where to look for a gate first, before the size of the hash table is taken into account."""
    mixed = (table * 0x9E3779B1 + a * 0x85EBCA77 + b * 0xC2B2AE3D) & 0x7FFFFFFFFFFFFFFF
    return mixed ^ mixed >> 15


@kernel("int64(int64, int64, int64, int64[:, ::1], int64[::1], int64[::1], int64[::1])")
def gate_literal(table, x, y, gates, state, hashes, stamps):  # type: ignore[no-untyped-def]
    """The literal of a gate on two literals, as `network.NetworkBuilder.gate`."""
    if x & 1:
        table = (table & 5) << 1 | (table & 10) >> 1
    if y & 1:
        table = (table & 3) << 2 | table >> 2
    a, b = x >> 1, y >> 1
    if a > b:
        a, b = b, a
        table = table & 9 | (table & 2) << 1 | (table & 4) >> 1
    if a == b or a == 0:
        low = table & 1
        high = table >> 3 & 1 if a == b else table >> 2 & 1
        return low if low == high else 2 * b + low
    negated = table & 1
    table ^= 15 * negated
    if table == 0 or table == 10 or table == 12:
        literal = np.int64(0)
        if table == 10:
            literal = 2 * a
        elif table == 12:
            literal = 2 * b
        return literal ^ negated
    mask = hashes.shape[0] - 1
    at = hash_of(table, a, b) & mask
    while stamps[at] == state[STAMP]:
        slot = hashes[at]
        if gates[slot, 0] == table and gates[slot, 1] == a and gates[slot, 2] == b:
            return 2 * slot + negated
        at = (at + 1) & mask
    slot = state[COUNT]
    gates[slot, 0], gates[slot, 1], gates[slot, 2] = table, a, b
    hashes[at] = slot
    stamps[at] = state[STAMP]
    state[COUNT] = slot + 1
    return 2 * slot + negated


@kernel(
    "void(int64, int64[:, ::1], int64[::1], int64[::1], int64[:, ::1], int64[::1], int64[::1],"
    " int64[::1], int64[::1], int64[::1])"
)
def compact(n_inputs, gates, outs, instead, fresh, state, hashes, stamps, literals, stack):  # type: ignore[no-untyped-def]
    """Rebuild a network from its outputs, with other literals in place of some slots.

    Args:
        n_inputs: number of inputs.
        gates: (slots, 3) the network; rows need not be in order of evaluation, but have no cycle.
        outs: (outputs,) literals, in and out.
        instead: (slots,) the literal to take for a slot, which does not depend on it; -1: itself.
        fresh: (room, 3) out: the network rebuilt; state[COUNT] says how many slots.
        state: (2,) see above.
        hashes: (power of two,) scratch.
        stamps: as `hashes`.
        literals: (slots,) scratch: the new literal of each slot.
        stack: (2 * slots,) scratch.
    """
    state[COUNT] = 1 + n_inputs
    state[STAMP] += 1
    for slot in range(gates.shape[0]):
        literals[slot] = -1
    for slot in range(1 + n_inputs):
        literals[slot] = 2 * slot
        fresh[slot, 0], fresh[slot, 1], fresh[slot, 2] = 0, 0, 0
    for j in range(outs.shape[0]):
        depth = np.int64(1)
        stack[0] = outs[j] >> 1
        while depth > 0:
            slot = stack[depth - 1]
            if literals[slot] >= 0:
                depth -= 1
                continue
            new = instead[slot]
            if new >= 0:
                if literals[new >> 1] >= 0:
                    literals[slot] = literals[new >> 1] ^ (new & 1)
                    depth -= 1
                else:
                    stack[depth] = new >> 1
                    depth += 1
                continue
            a, b = gates[slot, 1], gates[slot, 2]
            if literals[a] >= 0 and literals[b] >= 0:
                literals[slot] = gate_literal(
                    gates[slot, 0], literals[a], literals[b], fresh, state, hashes, stamps
                )
                depth -= 1
            elif literals[a] < 0:
                stack[depth] = a
                depth += 1
            else:
                stack[depth] = b
                depth += 1
        outs[j] = literals[outs[j] >> 1] ^ (outs[j] & 1)
