"""The smallest circuits of all functions of four inputs, by going through all circuits.

All circuits here are normal: every slot is 0 where all inputs are 0, so that four operations (AND,
OR, XOR and ANDN either way round) stand for all ten that depend on both operands, and a negation
is needed at the output at most. Any circuit has a normal one of its size.

Circuits of r gates are gone through gate by gate, for r = 1, 2, ... A function met for the first
time at r gates has no smaller circuit. Three facts keep the search short: the first gate is
AND(0, 1) or XOR(0, 1) up to a transform of the inputs; gates that do not read the gate before them
can be ordered by their tables; a gate that nothing reads yet must still find a reader, and each
further gate leaves at most one less of these.

Source: Knuth, TAOCP 7.1.2 (normal Boolean chains).
"""

from __future__ import annotations

import numpy as np

from bem_kernel.compiled import kernel

MAX_GATES = 7
AND, OR, XOR, ANDN = 0, 1, 2, 4  # as circuits.Op
_SWAPPED = 3  # ANDN with its operands the other way round; stored as ANDN


@kernel("int64(int64, int64, int64)", inline=True)
def _apply(op, a, b):  # type: ignore[no-untyped-def]
    result = a & b
    if op == OR:
        result = a | b
    elif op == XOR:
        result = a ^ b
    elif op == ANDN:
        result = a & ~b
    elif op == _SWAPPED:
        result = b & ~a
    return result


@kernel("void(int64, int64, int64[:, ::1], int64[:, :, ::1])")
def _note(name, size, gates, found):  # type: ignore[no-untyped-def]
    """Store the gates of the first circuit of a class, ANDN in one order."""
    for k in range(size):
        op, a, b = gates[k, 0], gates[k, 1], gates[k, 2]
        if op == _SWAPPED:
            op, a, b = np.int64(ANDN), b, a
        found[name, k, 0], found[name, k, 1], found[name, k, 2] = op, a, b


@kernel(
    "int64(int64, int64[::1], int64[::1], int64[::1], int64[::1], int64[:, ::1], int64[:, :, ::1])"
)
def _last_gate(size, tables, uses, class_of, sizes, gates, found):  # type: ignore[no-untyped-def]
    """Try every last gate; returns how many classes were met for the first time."""
    new = np.int64(0)
    last = 4 + size - 2
    unread = np.int64(0)
    other = np.int64(-1)
    for slot in range(4, last):
        if uses[slot] == 0:
            unread += 1
            other = np.int64(slot)
    for a in range(last):
        if unread == 0 or (unread == 1 and a == other):
            for op in range(5):
                table = _apply(np.int64(op), tables[a], tables[last])
                name = class_of[table & 0xFFFF]
                if sizes[name] < 0:
                    gates[size - 1, 0], gates[size - 1, 1], gates[size - 1, 2] = op, a, last
                    sizes[name] = size
                    _note(name, np.int64(size), gates, found)
                    new += 1
    return new


@kernel(
    "int64(int64, int64, int64[::1], int64[::1], int64[:, :, ::1], int64, int64[:, ::1],"
    " int64[:, ::1])"
)
def search_size(size, first, class_of, sizes, found, missing, scratch, gates):  # type: ignore[no-untyped-def]
    """Go through all circuits of `size` gates, at least 2, that begin with one gate.

    Args:
        size: number of gates.
        first: the operation of gate 0 on inputs 0 and 1, AND or XOR.
        class_of: (65536,) the class of each table.
        sizes: (classes,) in and out: fewest gates of each class; -1 where none is known.
        found: (classes, 7, 3) out: rows (operation, slot a, slot b) of classes found.
        missing: classes without a circuit; the search ends when there are none.
        scratch: (3, 11) scratch.
        gates: (7, 3) scratch.

    Returns:
        How many classes were found.
    """
    tables, uses, unread = scratch[0], scratch[1], scratch[2]
    tables[0], tables[1], tables[2], tables[3] = 0xAAAA, 0xCCCC, 0xF0F0, 0xFF00
    gates[0, 0], gates[0, 1], gates[0, 2] = first, 0, 1
    tables[4] = _apply(np.int64(first), tables[0], tables[1])
    uses[4], unread[1] = 0, 1
    new = np.int64(0)
    depth = np.int64(1)  # gates placed; gate `depth` is being chosen
    gates[1, 0], gates[1, 1], gates[1, 2] = -1, 0, 1
    while depth > 0:
        if depth == size - 1:
            new += _last_gate(size, tables, uses, class_of, sizes, gates, found)
            if new == missing:
                break
            depth -= 1
            if depth > 0:
                uses[gates[depth, 1]] -= 1
                uses[gates[depth, 2]] -= 1
            continue
        slots = 4 + depth
        op, a, b = gates[depth, 0] + 1, gates[depth, 1], gates[depth, 2]
        placed = False
        while b < slots and not placed:
            if op == 5:
                op = np.int64(0)
                a += 1
                if a == b:
                    a = np.int64(0)
                    b += 1
                continue
            table = _apply(op, tables[a], tables[b])
            left = unread[depth] + 1 - (a > 3 and uses[a] == 0) - (b > 3 and uses[b] == 0)
            fits = table != 0 and left <= size - depth
            fits = fits and (depth == 1 or b == slots - 1 or table > tables[slots - 1])
            if fits:
                for slot in range(slots):
                    fits = fits and tables[slot] != table
            if fits:
                placed = True
                gates[depth, 0], gates[depth, 1], gates[depth, 2] = op, a, b
                tables[slots] = table
                unread[depth + 1] = left
            else:
                op += 1
        if placed:
            uses[a] += 1
            uses[b] += 1
            uses[slots] = 0
            depth += 1
            if depth < size - 1:
                gates[depth, 0], gates[depth, 1], gates[depth, 2] = -1, 0, 1
        else:
            depth -= 1
            if depth > 0:
                uses[gates[depth, 1]] -= 1
                uses[gates[depth, 2]] -= 1
    return new
