"""Kernels that write truth tables: of circuits, and of decision diagrams."""

from __future__ import annotations

import numpy as np

from bem_kernel.circuits.circuit import ARITY, Op
from bem_kernel.compiled import kernel
from bem_kernel.engines.interpreter import run_gates

_ARITY = np.array([ARITY[op] for op in Op], dtype=np.int64)
_ALL = np.uint64(0xFFFF_FFFF_FFFF_FFFF)
# Row r of word 0 is bit i of r: what input i looks like within a word.
_IN_WORD = np.array(
    [sum(1 << r for r in range(64) if r >> i & 1) for i in range(6)], dtype=np.uint64
)
_BLOCK_WORDS = 64
_BLOCK_INPUTS = 12  # inputs that already vary within a block of 64 words


@kernel("int64(int32[:, ::1], int64, int64[::1], int32[::1])")
def live_gates(gates, n_inputs, outputs, new_slot):  # type: ignore[no-untyped-def]
    """Move the gates that an output depends on to the front, and renumber everything.

    Args:
        gates: (G, 3) int32, rows (operation, slot a, slot b); changed in place.
        n_inputs: number of inputs; they all stay.
        outputs: (m,) int64, slots; changed in place.
        new_slot: (n_inputs + G,) int32, scratch.

    Returns:
        The number of live gates, now rows 0 to that - 1.
    """
    n_gates = gates.shape[0]
    new_slot[:] = 0
    for j in range(outputs.shape[0]):
        new_slot[outputs[j]] = 1
    for g in range(n_gates - 1, -1, -1):
        if new_slot[n_inputs + g]:
            arity = _ARITY[gates[g, 0]]
            if arity > 0:
                new_slot[gates[g, 1]] = 1
            if arity > 1:
                new_slot[gates[g, 2]] = 1
    for i in range(n_inputs):
        new_slot[i] = np.int32(i)
    count = 0
    for g in range(n_gates):
        if new_slot[n_inputs + g]:
            arity = _ARITY[gates[g, 0]]
            gates[count, 0] = gates[g, 0]
            gates[count, 1] = new_slot[gates[g, 1]] if arity > 0 else np.int32(0)
            gates[count, 2] = new_slot[gates[g, 2]] if arity > 1 else np.int32(0)
            new_slot[n_inputs + g] = np.int32(n_inputs + count)
            count += 1
    for j in range(outputs.shape[0]):
        outputs[j] = np.int64(new_slot[outputs[j]])
    return count


@kernel("void(uint64[:, ::1], int64, int64)")
def _fill_inputs(slots, n_inputs, first):  # type: ignore[no-untyped-def]
    """The input words of one block that starts at word `first`, a multiple of 64."""
    start = np.int64(0) if first == 0 else np.int64(_BLOCK_INPUTS)
    for i in range(start, n_inputs):
        for w in range(_BLOCK_WORDS):
            if i < 6:
                slots[i, w] = _IN_WORD[i]
            else:
                ones = ((first + w) >> (i - 6)) & 1
                slots[i, w] = _ALL if ones else np.uint64(0)


@kernel("void(int32[:, ::1], int64, int64[::1], uint64[:, ::1], uint64[:, ::1])")
def tabulate(gates, n_inputs, outputs, slots, table):  # type: ignore[no-untyped-def]
    """The truth table of packed gates, 64 words at a time.

    Args:
        gates: (G, 3) int32, rows (operation, slot a, slot b).
        n_inputs: number of inputs.
        outputs: (m,) int64, slots.
        slots: (n_inputs + G, at least 64) uint64, scratch.
        table: (m, max(1, 2**n_inputs / 64)) uint64, written; rows past the last are 0.
    """
    words = table.shape[1]
    width = min(words, _BLOCK_WORDS)
    keep = _ALL
    if n_inputs < 6:
        keep = (np.uint64(1) << np.uint64(np.int64(1) << n_inputs)) - np.uint64(1)
    for first in range(0, words, _BLOCK_WORDS):
        _fill_inputs(slots, n_inputs, first)
        run_gates(gates, n_inputs, slots, width)
        for j in range(outputs.shape[0]):
            row = outputs[j]
            for w in range(width):
                table[j, first + w] = slots[row, w] & keep


@kernel("void(int32[:, ::1], int32[::1], int64, uint64[::1], uint64[:, ::1])")
def tabulate_diagram(nodes, roots, n_inputs, in_word, table):  # type: ignore[no-untyped-def]
    """The truth table of a shared decision diagram.

    Args:
        nodes: (k, 3) int32, rows (variable, low, high), children first; row i is node i + 2,
            node 0 is false and node 1 is true.
        roots: (m,) int32, nodes.
        n_inputs: number of inputs; variables are below it.
        in_word: (k + 2,) uint64, scratch.
        table: (m, max(1, 2**n_inputs / 64)) uint64, written; rows past the last are 0.
    """
    in_word[0] = np.uint64(0)
    in_word[1] = _ALL
    for i in range(nodes.shape[0]):
        if nodes[i, 0] < 6:
            ones = _IN_WORD[nodes[i, 0]]
            in_word[i + 2] = (in_word[nodes[i, 1]] & ~ones) | (in_word[nodes[i, 2]] & ones)
    keep = _ALL
    if n_inputs < 6:
        keep = (np.uint64(1) << np.uint64(np.int64(1) << n_inputs)) - np.uint64(1)
    for j in range(roots.shape[0]):
        for w in range(table.shape[1]):
            at = np.int64(roots[j])
            while at > 1 and nodes[at - 2, 0] >= 6:
                one = (w >> (np.int64(nodes[at - 2, 0]) - 6)) & 1
                at = np.int64(nodes[at - 2, 1 + one])
            table[j, w] = in_word[at] & keep
