"""Windows: parts of a network with few inputs, to be made smaller by themselves.

A window is a set of gates such that nothing outside lies between two of them, so that its inputs
do not depend on its outputs and any network of equal function can take its place.

Source: Mishchenko and Brayton 2005 (reconvergence-driven windows).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from bem_kernel.compiled import kernel
from bem_kernel.policy.counter import ticket
from bem_kernel.synthesis.compaction import COUNT, compact
from bem_kernel.synthesis.network import Network

IN, LEAF, AFTER = 1, 2, 4


@kernel("int64(uint64, int64[::1], int64)")
def _random(key, counter, below):  # type: ignore[no-untyped-def]
    counter[0] += 1
    high = ticket(np.uint64(key), np.uint64(counter[0])) >> np.uint64(32)
    return np.int64(high * np.uint64(below) >> np.uint64(32))


@kernel("int64(int64, int64[:, ::1], uint8[::1])")
def _take(slot, gates, marks):  # type: ignore[no-untyped-def]
    """Put a slot into the window; returns by how much the number of leaves grows."""
    growth = np.int64(-1 if marks[slot] & LEAF else 0)
    marks[slot] = IN
    for k in range(1, 3):
        below = gates[slot, k]
        if marks[below] & (IN | LEAF) == 0:
            marks[below] |= LEAF
            growth += 1
    return growth


@kernel("int64(int64, int64[:, ::1], uint8[::1])")
def _growth(slot, gates, marks):  # type: ignore[no-untyped-def]
    """What `_take` would return."""
    growth = np.int64(-1 if marks[slot] & LEAF else 0)
    for k in range(1, 3):
        if marks[gates[slot, k]] & (IN | LEAF) == 0:
            growth += 1
    return growth


@kernel("int64(int64, int64, int64[:, ::1], uint8[::1])")
def _leaf_behind(n_inputs, count, gates, marks):  # type: ignore[no-untyped-def]
    """The last leaf that depends on the window through gates outside, or -1."""
    found = np.int64(-1)
    for slot in range(1 + n_inputs, count):
        marks[slot] &= IN | LEAF
        if marks[slot] & IN == 0:
            for k in range(1, 3):
                if marks[gates[slot, k]] & (IN | AFTER):
                    marks[slot] |= AFTER
            if marks[slot] & LEAF and marks[slot] & AFTER:
                found = np.int64(slot)
    return found


@kernel("int64(int64, int64, int64[:, ::1], uint8[::1], uint64, int64[::1], int64, int64)")
def grow(n_inputs, count, gates, marks, key, counter, max_leaves, max_gates):  # type: ignore[no-untyped-def]
    """Grow a window around a random gate.

    Args:
        n_inputs: number of inputs of the network.
        count: its slots.
        gates: (slots, 3).
        marks: (slots,) out: IN for gates of the window, LEAF for its inputs.
        key: of the random numbers.
        counter: (1,) how many random numbers were drawn, in and out.
        max_leaves: most inputs.
        max_gates: most gates, or a few more.

    Returns:
        Number of gates; 0 if no window was found.
    """
    for slot in range(count):
        marks[slot] = 0
    size = np.int64(1)
    root = 1 + n_inputs + _random(key, counter, count - 1 - n_inputs)
    leaves = _take(root, gates, marks)
    while size < max_gates:
        best, seen, choice = np.int64(3), np.int64(0), np.int64(-1)
        for slot in range(1 + n_inputs, count):
            if marks[slot] & IN:
                continue
            touches = marks[slot] & LEAF
            for k in range(1, 3):
                touches |= marks[gates[slot, k]] & IN
            if touches == 0:
                continue
            growth = _growth(slot, gates, marks)
            if growth < best:
                best, seen = growth, np.int64(0)
            if growth == best:
                seen += 1
                if _random(key, counter, seen) == 0:
                    choice = np.int64(slot)
        if choice < 0 or leaves + best > max_leaves:
            break
        leaves += _take(choice, gates, marks)
        size += 1
    behind = _leaf_behind(n_inputs, count, gates, marks)
    while behind >= 0:
        leaves += _take(behind, gates, marks)
        size += 1
        if leaves > max_leaves or size > 2 * max_gates:
            return np.int64(0)
        behind = _leaf_behind(n_inputs, count, gates, marks)
    return size


@dataclass(frozen=True, eq=False)
class Window:
    """A part of a network.

    Attributes:
        network: the part by itself.
        leaves: (its inputs,) int64 slots of the whole.
        roots: (its outputs,) int64 slots of the whole that something outside reads.
    """

    network: Network
    leaves: NDArray[np.int64]
    roots: NDArray[np.int64]


def window_at_random(
    network: Network, key: int, *, max_leaves: int, max_gates: int
) -> Window | None:
    """A window around a random gate, or None if it would be too large.

    Args:
        network: the whole, with at least one gate.
        key: of the random numbers.
        max_leaves: most inputs of the window, at least 2.
        max_gates: most gates of the window, or a few more.
    """
    n, count = network.n_inputs, len(network.gates)
    marks = np.zeros(count, dtype=np.uint8)
    counter = np.zeros(1, dtype=np.int64)
    if not grow(n, count, network.gates, marks, key, counter, max_leaves, max_gates):
        return None
    inside = (marks & IN).astype(np.bool_)
    leaves = np.flatnonzero(marks & LEAF)
    members = np.flatnonzero(inside)
    read = np.zeros(count, dtype=np.bool_)
    read[network.gates[1 + n :][~inside[1 + n :]][:, 1:].ravel()] = True
    read[network.outputs >> 1] = True
    roots = members[read[members]]
    local = np.zeros(count, dtype=np.int64)
    local[leaves] = np.arange(1, len(leaves) + 1)
    local[members] = np.arange(len(leaves) + 1, len(leaves) + 1 + len(members))
    rows = np.zeros((1 + len(leaves) + len(members), 3), dtype=np.int64)
    rows[1 + len(leaves) :, 0] = network.gates[members, 0]
    rows[1 + len(leaves) :, 1:] = local[network.gates[members, 1:]]
    return Window(Network(len(leaves), rows, 2 * local[roots]), leaves, roots)


def put_back(network: Network, window: Window, part: Network) -> Network:
    """The whole with another network of equal function in a window's place; gates are shared.

    Args:
        network: the whole from which the window was taken.
        window: the window.
        part: with its inputs and outputs.
    """
    n, count = network.n_inputs, len(network.gates)
    new = part.gates[1 + part.n_inputs :]
    place = np.zeros(len(part.gates), dtype=np.int64)
    place[1 : 1 + part.n_inputs] = window.leaves
    place[1 + part.n_inputs :] = np.arange(count, count + len(new))
    gates = np.zeros((count + len(new), 3), dtype=np.int64)
    gates[:count] = network.gates
    gates[count:, 0] = new[:, 0]
    gates[count:, 1:] = place[new[:, 1:]]
    instead = np.full(len(gates), -1, dtype=np.int64)
    instead[window.roots] = 2 * place[part.outputs >> 1] + (part.outputs & 1)
    return rebuilt(Network(n, gates, network.outputs), instead)


def rebuilt(network: Network, instead: NDArray[np.int64]) -> Network:
    """A network rebuilt from its outputs, as `compaction.compact`."""
    room = len(network.gates) + 1
    size = 1 << (2 * room).bit_length()
    fresh = np.zeros((room, 3), dtype=np.int64)
    outs = network.outputs.copy()
    state = np.zeros(2, dtype=np.int64)
    compact(
        network.n_inputs,
        network.gates,
        outs,
        instead,
        fresh,
        state,
        np.zeros(size, dtype=np.int64),
        np.zeros(size, dtype=np.int64),
        np.zeros(room, dtype=np.int64),
        np.zeros(2 * room, dtype=np.int64),
    )
    return Network(network.n_inputs, fresh[: state[COUNT]].copy(), outs)
