"""Rewriting: each gate with its cuts of at most four slots, against the optimal database.

A cut is a set of slots that determines a gate. The gate's function of its cut has an optimal
circuit in the database; where that circuit, less what of it is there already, is smaller than what
the gate alone needs, it takes the gate's place.

Source: Mishchenko, Chatterjee and Brayton 2006 (DAG-aware rewriting).
"""

from __future__ import annotations

import numpy as np

from bem_kernel.compiled import kernel
from bem_kernel.synthesis.compaction import COUNT, STAMP, compact, gate_literal, hash_of
from bem_kernel.synthesis.database import optimal_database
from bem_kernel.synthesis.network import Network
from bem_kernel.synthesis.npn import PERMUTATIONS
from bem_kernel.synthesis.observation import own_cone
from bem_kernel.synthesis.windows import rebuilt

MAX_CUTS = 12
_LEAVES = 4
_TOO_MANY = 1 << 20


@kernel("int64(int64[::1], int64[::1], int64[::1])")
def _merge(left, right, result):  # type: ignore[no-untyped-def]
    """Unite two cuts, ascending and filled up with -1; returns the size, or 5 if too large."""
    i = j = size = np.int64(0)
    while (i < 4 and left[i] >= 0) or (j < 4 and right[j] >= 0):
        x = left[i] if i < 4 and left[i] >= 0 else np.int64(1 << 60)
        y = right[j] if j < 4 and right[j] >= 0 else np.int64(1 << 60)
        if size == 4:
            return np.int64(5)
        result[size] = min(x, y)
        size += 1
        if x <= y:
            i += 1
        if y <= x:
            j += 1
    for k in range(size, 4):
        result[k] = -1
    return size


@kernel("void(int64, int64, int64[:, ::1], int64[:, :, ::1], int64[::1], int64[::1])")
def find_cuts(n_inputs, count, gates, cuts, n_cuts, scratch):  # type: ignore[no-untyped-def]
    """Cuts of every slot, smaller ones first as far as there is room; the last is the slot itself.

    Args:
        n_inputs: number of inputs.
        count: slots in use.
        gates: (slots, 3).
        cuts: (slots, 13, 4) out: ascending slots, filled up with -1.
        n_cuts: (slots,) out: how many.
        scratch: (4,).
    """
    for slot in range(count):
        n_cuts[slot] = 0
        if slot > n_inputs:
            a, b = gates[slot, 1], gates[slot, 2]
            for size in range(2, 5):
                for i in range(n_cuts[a]):
                    for j in range(n_cuts[b]):
                        if n_cuts[slot] == MAX_CUTS:
                            break
                        if _merge(cuts[a, i], cuts[b, j], scratch) != size:
                            continue
                        known = False
                        for k in range(n_cuts[slot]):
                            same = True
                            for leaf in range(4):
                                same = same and cuts[slot, k, leaf] == scratch[leaf]
                            known = known or same
                        if not known:
                            for leaf in range(4):
                                cuts[slot, n_cuts[slot], leaf] = scratch[leaf]
                            n_cuts[slot] += 1
        at = n_cuts[slot]
        cuts[slot, at, 0] = slot
        for leaf in range(1, 4):
            cuts[slot, at, leaf] = -1
        n_cuts[slot] = at + 1


@kernel("int64(int64, int64[::1], int64[:, ::1], int64[::1], int64[::1], int64[::1])")
def cut_table(node, cut, gates, values, seen, stack):  # type: ignore[no-untyped-def]
    """The function of a gate of its cut, as a table of 16 bits.

    Args:
        node: the gate.
        cut: (4,) slots.
        gates: (slots, 3).
        values: (slots,) scratch.
        seen: (slots,) scratch: zeros, as on return.
        stack: (4 * slots,) scratch.
    """
    leaves = (0xAAAA, 0xCCCC, 0xF0F0, 0xFF00)
    for i in range(4):
        if cut[i] >= 0:
            values[cut[i]], seen[cut[i]] = leaves[i], 1
    touched, depth = np.int64(0), np.int64(1)
    half = stack.shape[0] >> 1
    stack[0] = node
    while depth > 0:
        slot = stack[depth - 1]
        if seen[slot]:
            depth -= 1
            continue
        a, b = gates[slot, 1], gates[slot, 2]
        if seen[a] and seen[b]:
            table, value = gates[slot, 0], np.int64(0)
            for row in range(4):
                if table >> row & 1:
                    value |= (values[a] if row & 1 else ~values[a]) & (
                        values[b] if row & 2 else ~values[b]
                    )
            values[slot], seen[slot] = value & 0xFFFF, 1
            stack[half + touched] = slot
            touched += 1
            depth -= 1
        else:
            stack[depth] = b if seen[a] else a
            depth += 1
    result = values[node]
    for i in range(touched):
        seen[stack[half + i]] = 0
    for i in range(4):
        if cut[i] >= 0:
            seen[cut[i]] = 0
    return result


@kernel(
    "int64(int64, int64[::1], int64[:, ::1], int64[::1], int64[::1], int64[::1], int64[:, :, ::1],"
    " int64[:, ::1], int64[::1], int64[::1], int64[::1], int64[::1])"
)
def place_entry(  # type: ignore[no-untyped-def]
    table, cut, orders, class_of, transform_of, sizes, entries, gates, state, hashes, stamps, slots
):
    """Build the optimal circuit of a function on the slots of a cut; returns its literal.

    Args:
        table: the function, 16 bits.
        cut: (4,) slots, -1 where there is none.
        orders: permutations of the transforms.
        class_of: class of each function.
        transform_of: transform of each function.
        sizes: gates of each entry of the database.
        entries: its gates.
        gates: the network, as `compaction.gate_literal`, and so the three that follow.
        state: slots in use and stamp.
        hashes: hash table.
        stamps: its valid places.
        slots: (11,) scratch.
    """
    entry, transform = class_of[table], transform_of[table]
    for i in range(4):
        leaf = cut[orders[transform >> 5, i]]
        slots[i] = 2 * max(leaf, np.int64(0)) ^ (transform >> (1 + i) & 1)
    for k in range(sizes[entry]):
        slots[4 + k] = gate_literal(
            entries[entry, k, 0],
            slots[entries[entry, k, 1]],
            slots[entries[entry, k, 2]],
            gates,
            state,
            hashes,
            stamps,
        )
    if sizes[entry] > 0:
        return slots[3 + sizes[entry]] ^ (transform & 1)
    if table == 0 or table == 0xFFFF:
        return table & 1
    return slots[0] ^ (transform & 1)


@kernel("int64(int64, int64, int64, int64[:, ::1], uint8[::1], uint8[::1], uint8[::1], int64[::1])")
def _cost(literal, node, count, gates, is_own, gone, marked, stack):  # type: ignore[no-untyped-def]
    """Gates that a placed circuit adds or keeps; many where it is of no use.

    Gates in use after the one to replace are not taken, so that no order can lead in a circle, nor
    gates that an earlier replacement of this pass leaves without readers.
    """
    depth, at, cost = np.int64(1), np.int64(0), np.int64(0)
    stack[0] = literal >> 1
    marked[literal >> 1] = 1
    while at < depth:
        slot = stack[at]
        at += 1
        if (slot >= node and slot < count) or (slot < count and gone[slot]):
            cost += _TOO_MANY
        elif slot >= count or is_own[slot]:
            cost += 1
            for k in range(1, 3):
                below = gates[slot, k]
                if marked[below] == 0:
                    marked[below] = 1
                    stack[depth] = below
                    depth += 1
    for i in range(depth):
        marked[stack[i]] = 0
    return cost


@kernel("void(int64, int64[:, ::1], int64[::1], int64[::1], int64[::1])")
def _forget(first, gates, state, hashes, stamps):  # type: ignore[no-untyped-def]
    """Take the gates from a slot on out of the network again, the last one first."""
    mask = hashes.shape[0] - 1
    for slot in range(state[COUNT] - 1, first - 1, -1):
        at = hash_of(gates[slot, 0], gates[slot, 1], gates[slot, 2]) & mask
        while hashes[at] != slot or stamps[at] != state[STAMP]:
            at = (at + 1) & mask
        stamps[at] = 0
    state[COUNT] = first


@kernel(
    "int64(int64, int64, int64[:, ::1], int64[::1], int64[::1], int64[:, :, ::1], int64[::1],"
    " int64[::1], int64[::1], int64[::1], int64[:, ::1], int64[::1], int64[::1], int64[::1],"
    " int64[:, :, ::1], int64[:, ::1], uint8[:, ::1], int64[::1])"
)
def choose(  # type: ignore[no-untyped-def]
    n_inputs,
    count,
    gates,
    refs,
    instead,
    cuts,
    n_cuts,
    state,
    hashes,
    stamps,
    orders,
    class_of,
    transform_of,
    sizes,
    entries,
    numbers,
    marks,
    stack,
):
    """Find replacements that save gates and do not disturb one another.

    Args:
        n_inputs: number of inputs.
        count: slots in use.
        gates: (room, 3) the network; gates of replacements are added behind it.
        refs: (slots,) readers of each slot.
        instead: (room,) of -1; out: the literal to take for a slot.
        cuts: as `find_cuts`, and so the next.
        n_cuts: how many.
        state: slots in use and stamp, with the hash table that follows, of the network.
        hashes: slots.
        stamps: valid places.
        orders: as `place_entry`, and so the four that follow.
        class_of: of the database.
        transform_of: of the database.
        sizes: of the database.
        entries: of the database.
        numbers: (4, room) of zeros, scratch.
        marks: (3, room) of zeros, scratch.
        stack: (4 * room,) scratch.

    Returns:
        How many gates they save.
    """
    own, values, seen, slots = numbers[0], numbers[1], numbers[2], numbers[3]
    is_own, gone, marked = marks[0], marks[1], marks[2]
    saved = np.int64(0)
    for node in range(1 + n_inputs, count):
        if refs[node] == 0 or state[COUNT] + 8 * (MAX_CUTS + 1) > gates.shape[0]:
            continue
        n_own = own_cone(node, n_inputs, gates, refs, own, is_own)
        free = True
        for i in range(n_own):
            free = free and gone[own[i]] == 0
        first = state[COUNT]
        best, choice = np.int64(0), np.int64(-1)
        for k in range(n_cuts[node] - 1):
            if not free or n_own < 2:
                break
            table = cut_table(node, cuts[node, k], gates, values, seen, stack)
            before = state[COUNT]
            literal = place_entry(
                table,
                cuts[node, k],
                orders,
                class_of,
                transform_of,
                sizes,
                entries,
                gates,
                state,
                hashes,
                stamps,
                slots,
            )
            cost = _cost(literal, node, count, gates, is_own, gone, marked, stack)
            if n_own - cost > best:
                best, choice = n_own - cost, literal
                first = state[COUNT]
            else:
                _forget(before, gates, state, hashes, stamps)
        _forget(first, gates, state, hashes, stamps)
        for i in range(n_own):
            is_own[own[i]] = 0
            if choice >= 0:
                gone[own[i]] = 1
        if choice >= 0:
            instead[node] = choice
            saved += best
    return saved


def rewritten(network: Network) -> Network:
    """The network after one pass of rewriting, or as it is if the pass saves nothing."""
    database = optimal_database()
    classes = database.classes
    n, count = network.n_inputs, len(network.gates)
    room = 3 * count + 8 * (MAX_CUTS + 1)
    size = 1 << (2 * room).bit_length()
    gates = np.zeros((room, 3), dtype=np.int64)
    outs = network.outputs.copy()
    state = np.zeros(2, dtype=np.int64)
    hashes, stamps = np.zeros(size, dtype=np.int64), np.zeros(size, dtype=np.int64)
    literals, stack = np.zeros(room, dtype=np.int64), np.zeros(4 * room, dtype=np.int64)
    instead = np.full(room, -1, dtype=np.int64)
    compact(n, network.gates, outs, instead, gates, state, hashes, stamps, literals, stack)
    count = int(state[COUNT])
    refs = np.bincount(gates[1 + n : count, 1:].ravel(), minlength=room)
    refs = refs + np.bincount(outs >> 1, minlength=room)
    cuts = np.zeros((count, MAX_CUTS + 1, _LEAVES), dtype=np.int64)
    n_cuts = np.zeros(count, dtype=np.int64)
    find_cuts(n, count, gates, cuts, n_cuts, np.zeros(_LEAVES, dtype=np.int64))
    choose(
        n,
        count,
        gates,
        refs,
        instead,
        cuts,
        n_cuts,
        state,
        hashes,
        stamps,
        PERMUTATIONS,
        classes.class_of,
        classes.transform_of,
        database.sizes,
        database.gates,
        np.zeros((4, room), dtype=np.int64),
        np.zeros((3, room), dtype=np.uint8),
        stack,
    )
    smaller = rebuilt(
        Network(n, gates[: state[COUNT]].copy(), outs), instead[: state[COUNT]].copy()
    )
    return smaller if smaller.size < network.size else network
