"""Kernels that write truth tables: of circuits, and of decision diagrams."""

from __future__ import annotations

import numpy as np

from bem_kernel.circuits.circuit import ARITY, Op
from bem_kernel.compiled import kernel
from bem_kernel.engines.interpreter import line_start, run_block
from bem_kernel.engines.vectors import BLOCK_WORDS, WORDS
from bem_kernel.forms.packed_table import IN_WORD

_ARITY = np.array([ARITY[op] for op in Op], dtype=np.int64)
_ALL = np.uint64(0xFFFF_FFFF_FFFF_FFFF)
_IN_WORD = np.array(IN_WORD, dtype=np.uint64)
_WORD_INPUTS = len(IN_WORD)
_LINE_WORDS = 8
_SAME_IN_BLOCKS = _WORD_INPUTS + BLOCK_WORDS.bit_length() - 1  # inputs below it repeat every block


@kernel("void(int32[:, ::1], int64, int64[::1], int32[::1])")
def _find_last_uses(gates, n_inputs, outputs, last_use):  # type: ignore[no-untyped-def]
    """For each slot the gate that reads it last; G for outputs, -1 for what nothing needs."""
    last_use[:] = -1
    for j in range(outputs.shape[0]):
        last_use[outputs[j]] = np.int32(gates.shape[0])
    for g in range(gates.shape[0] - 1, -1, -1):
        if last_use[n_inputs + g] >= 0:
            for k in range(_ARITY[gates[g, 0]]):
                if last_use[gates[g, 1 + k]] < 0:
                    last_use[gates[g, 1 + k]] = np.int32(g)


@kernel("int64(int32[:, ::1], int64, int64[::1], int32[:, ::1])", allocates=True)
def _assign_rows(gates, n_inputs, outputs, program):  # type: ignore[no-untyped-def]
    """Write the program of the gates that an output needs, in their order, rows shared.

    Args:
        gates: (G, 3) int32, rows (operation, slot a, slot b).
        n_inputs: number of inputs; rows 0 to n_inputs - 1 hold them at the start. Those that are
            the same in every block keep their rows.
        outputs: (m,) int64, slots; changed to the rows that hold them at the end.
        program: (1 + G, 4) int32, laid out for `interpreter.run_block`; written.

    Returns:
        The number of rows.
    """
    n_slots = n_inputs + gates.shape[0]
    last_use = np.empty(n_slots, dtype=np.int32)
    _find_last_uses(gates, n_inputs, outputs, last_use)
    for i in range(min(n_inputs, _SAME_IN_BLOCKS)):
        last_use[i] = np.int32(gates.shape[0])
    row_of = np.empty(n_slots, dtype=np.int32)
    free = np.empty(n_slots, dtype=np.int32)
    n_free, n_rows, steps = 0, n_inputs, 0
    for i in range(n_inputs):
        row_of[i] = np.int32(i)
        if last_use[i] < 0:
            free[n_free] = np.int32(i)
            n_free += 1
    for g in range(gates.shape[0]):
        if last_use[n_inputs + g] < 0:
            continue
        steps += 1
        program[steps, 0] = gates[g, 0]
        program[steps, 1] = 0
        program[steps, 2] = 0
        for k in range(_ARITY[gates[g, 0]]):
            slot = gates[g, 1 + k]
            program[steps, 1 + k] = row_of[slot]
            if last_use[slot] == g:
                last_use[slot] = np.int32(-1)  # both operands may be this slot
                free[n_free] = row_of[slot]
                n_free += 1
        if n_free == 0:
            free[0] = np.int32(n_rows)
            n_free = 1
            n_rows += 1
        n_free -= 1
        row_of[n_inputs + g] = free[n_free]
        program[steps, 3] = free[n_free]
    program[0, 0], program[0, 1] = np.int32(n_inputs), np.int32(n_rows)
    program[0, 2], program[0, 3] = np.int32(steps), np.int32(outputs.shape[0])
    for j in range(outputs.shape[0]):
        outputs[j] = np.int64(row_of[outputs[j]])
    return n_rows


@kernel("void(uint64[::1], int64, int64)")
def _fill_inputs(rows, n_inputs, first):  # type: ignore[no-untyped-def]
    """The input words of the block that starts at word `first`, a row of 64 words each.

    After the first block only those that differ from block to block are written.
    """
    for i in range(_SAME_IN_BLOCKS if first else 0, n_inputs):
        row = rows[i * BLOCK_WORDS : (i + 1) * BLOCK_WORDS]
        if i < _WORD_INPUTS:
            row[:] = _IN_WORD[i]
        elif (np.int64(1) << (i - _WORD_INPUTS)) >= BLOCK_WORDS:
            row[:] = _ALL * np.uint64((first >> (i - _WORD_INPUTS)) & 1)
        else:
            for w in range(BLOCK_WORDS):
                row[w] = _ALL * np.uint64((w >> (i - _WORD_INPUTS)) & 1)


@kernel("uint64(int64)")
def _rows_mask(n_inputs):  # type: ignore[no-untyped-def]
    """The bits of a word that are rows of a function."""
    if n_inputs >= _WORD_INPUTS:
        return _ALL
    return (np.uint64(1) << np.uint64(np.int64(1) << n_inputs)) - np.uint64(1)


@kernel("int64(int64)")
def words_for_inputs(n_inputs):  # type: ignore[no-untyped-def]
    """Number of words of a function."""
    return np.int64(1) << max(n_inputs - _WORD_INPUTS, 0)


@kernel("void(int32[:, ::1], int64, int64[::1], uint64[::1])", allocates=True)
def tabulate(gates, n_inputs, outputs, words):  # type: ignore[no-untyped-def]
    """The truth table of packed gates, 64 words at a time.

    Args:
        gates: (G, 3) int32, rows (operation, slot a, slot b).
        n_inputs: number of inputs.
        outputs: (m,) int64, slots; used up as scratch.
        words: (m * words_for_inputs(n_inputs),) uint64, written, function after function; rows
            past the last are 0.
    """
    program = np.empty((1 + gates.shape[0], 4), dtype=np.int32)
    n_rows = _assign_rows(gates, n_inputs, outputs, program)
    memory = np.empty(n_rows * BLOCK_WORDS + _LINE_WORDS, dtype=np.uint64)
    start = line_start(np.uint64(memory.ctypes.data))
    skipped = np.int64(start - np.uint64(memory.ctypes.data)) >> 3
    rows = memory[skipped : skipped + n_rows * BLOCK_WORDS]
    per_function = words_for_inputs(n_inputs)
    width = min(per_function, BLOCK_WORDS)
    keep = _rows_mask(n_inputs)
    for first in range(0, per_function, BLOCK_WORDS):
        _fill_inputs(rows, n_inputs, first)
        run_block(program, start, (width + WORDS - 1) // WORDS)
        for j in range(outputs.shape[0]):
            row, target = outputs[j] * BLOCK_WORDS, j * per_function + first
            for w in range(width):
                words[target + w] = rows[row + w] & keep


@kernel("void(int32[:, ::1], int32[::1], int64, uint64[:, ::1])", allocates=True)
def tabulate_diagram(nodes, roots, n_inputs, table):  # type: ignore[no-untyped-def]
    """The truth table of a shared decision diagram.

    Args:
        nodes: (k, 3) int32, rows (variable, low, high), children first; row i is node i + 2,
            node 0 is false and node 1 is true.
        roots: (m,) int32, nodes.
        n_inputs: number of inputs; variables are below it.
        table: (m, max(1, 2**n_inputs / 64)) uint64, written; rows past the last are 0.
    """
    in_word = np.empty(nodes.shape[0] + 2, dtype=np.uint64)
    in_word[0] = np.uint64(0)
    in_word[1] = _ALL
    for i in range(nodes.shape[0]):
        if nodes[i, 0] < _WORD_INPUTS:
            ones = _IN_WORD[nodes[i, 0]]
            in_word[i + 2] = (in_word[nodes[i, 1]] & ~ones) | (in_word[nodes[i, 2]] & ones)
    keep = _rows_mask(n_inputs)
    for j in range(roots.shape[0]):
        for w in range(table.shape[1]):
            at = np.int64(roots[j])
            while at > 1 and nodes[at - 2, 0] >= _WORD_INPUTS:
                one = (w >> (np.int64(nodes[at - 2, 0]) - _WORD_INPUTS)) & 1
                at = np.int64(nodes[at - 2, 1 + one])
            table[j, w] = in_word[at] & keep
