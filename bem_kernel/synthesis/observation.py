"""What a network computes, and where one of its gates matters."""

from __future__ import annotations

import numpy as np

from bem_kernel.compiled import kernel


@kernel("void(int64, uint64[::1], uint64[::1], uint64[::1])")
def apply_table(table, x, y, out):  # type: ignore[no-untyped-def]
    """A gate on rows of words."""
    n = out.shape[0]
    if table == 8:
        for w in range(n):
            out[w] = x[w] & y[w]
    elif table == 14:
        for w in range(n):
            out[w] = x[w] | y[w]
    elif table == 6:
        for w in range(n):
            out[w] = x[w] ^ y[w]
    elif table == 2:
        for w in range(n):
            out[w] = x[w] & ~y[w]
    else:
        for w in range(n):
            out[w] = y[w] & ~x[w]


@kernel("void(int64, int64, int64[:, ::1], uint64[:, ::1])")
def simulate(n_inputs, count, gates, sims):  # type: ignore[no-untyped-def]
    """Fill in the rows of all gates; rows of the constant and the inputs are there already."""
    for slot in range(1 + n_inputs, count):
        apply_table(gates[slot, 0], sims[gates[slot, 1]], sims[gates[slot, 2]], sims[slot])


@kernel(
    "void(int64, int64, int64[:, ::1], int64[::1], uint64[:, ::1], uint64[:, ::1], uint8[::1],"
    " uint64[::1], uint64[::1])"
)
def observe(node, count, gates, outs, sims, flips, behind, given, care):  # type: ignore[no-untyped-def]
    """Find where a gate matters, and the slots behind it.

    Args:
        node: the gate.
        count: slots in use.
        gates: the network.
        outs: its output literals.
        sims: (slots, words) all values.
        flips: (slots, words) scratch: values with the gate flipped.
        behind: (slots,) out: 1 for the gate and what depends on it.
        given: (words,) the inputs that count at all.
        care: (words,) out: the inputs of these on which some output sees the gate.
    """
    for slot in range(count):
        behind[slot] = 0
    behind[node] = 1
    words = care.shape[0]
    for w in range(words):
        flips[node, w] = ~sims[node, w]
        care[w] = 0
    for slot in range(node + 1, count):
        a, b = gates[slot, 1], gates[slot, 2]
        if behind[a] or behind[b]:
            behind[slot] = 1
            x = flips[a] if behind[a] else sims[a]
            y = flips[b] if behind[b] else sims[b]
            apply_table(gates[slot, 0], x, y, flips[slot])
    for j in range(outs.shape[0]):
        slot = outs[j] >> 1
        if behind[slot]:
            for w in range(words):
                care[w] |= flips[slot, w] ^ sims[slot, w]
    for w in range(words):
        care[w] &= given[w]


@kernel("int64(int64, int64, int64[:, ::1], int64[::1], int64[::1], uint8[::1])")
def own_cone(node, n_inputs, gates, refs, own, is_own):  # type: ignore[no-untyped-def]
    """Collect the gates that only this one needs, itself first; returns how many.

    Args:
        node: the gate.
        n_inputs: number of inputs.
        gates: the network.
        refs: (slots,) readers of each slot; as before on return.
        own: (slots,) out: the gates.
        is_own: (slots,) out: 1 for each of them; 0 before.
    """
    count = np.int64(1)
    own[0], is_own[node] = node, 1
    at = np.int64(0)
    while at < count:
        for k in range(1, 3):
            slot = gates[own[at], k]
            refs[slot] -= 1
            if refs[slot] == 0 and slot > n_inputs:
                own[count], is_own[slot] = slot, 1
                count += 1
        at += 1
    for i in range(count):
        for k in range(1, 3):
            refs[gates[own[i], k]] += 1
    return count
