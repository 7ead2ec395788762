"""Sequential machines in one compiled loop, interpreted or through compiled code."""

from __future__ import annotations

import numpy as np

from bem_kernel.compiled import kernel
from bem_kernel.engines.interpreter import copy_words, line_start, run_block, run_word
from bem_kernel.engines.native import call_address
from bem_kernel.engines.vectors import BLOCK_WORDS, WORDS

_WORD_BYTES = 8
_ROW_BYTES = BLOCK_WORDS * _WORD_BYTES
_SLACK = 8  # words, so that rows can start at a cache line


@kernel("void(int32[:, ::1], uint64[:, ::1], uint64[:, :, ::1], uint64[:, :, ::1])", allocates=True)
def _scan_word(program, state, inputs, outputs):  # type: ignore[no-untyped-def]
    """All steps on one word; `state` is updated in place."""
    n_state, n_in, n_out = state.shape[0], inputs.shape[1], outputs.shape[1]
    first_output = 1 + program[0, 2]
    rows = np.empty(program[0, 1] + 1, dtype=np.uint64)
    for t in range(inputs.shape[0]):
        for i in range(n_state):
            rows[i] = state[i, 0]
        for i in range(n_in):
            rows[n_state + i] = inputs[t, i, 0]
        run_word(program, rows)
        for i in range(n_state):
            state[i, 0] = rows[program[first_output + i, 0]]
        for i in range(n_out):
            outputs[t, i, 0] = rows[program[first_output + n_state + i, 0]]


@kernel(
    "void(int32[:, ::1], uint64, uint64[:, ::1], uint64[:, :, ::1], uint64[:, :, ::1], int64)",
    allocates=True,
)
def _scan_block(program, address, state, inputs, outputs, first):  # type: ignore[no-untyped-def]
    """All steps on the block of words that starts at word `first`; as `scan_steps` otherwise."""
    n_state, n_in, n_out = state.shape[0], inputs.shape[1], outputs.shape[1]
    n_results = n_state + n_out
    words = state.shape[1]
    count = min(BLOCK_WORDS, words - first)
    first_output = 1 + program[0, 2]
    rows = np.empty(program[0, 1] * BLOCK_WORDS + _SLACK, dtype=np.uint64)
    results = np.empty(n_results * BLOCK_WORDS + _SLACK, dtype=np.uint64)
    row_start = line_start(np.uint64(rows.ctypes.data))
    result_start = line_start(np.uint64(results.ctypes.data))
    pitch, offset = np.uint64(words * _WORD_BYTES), np.uint64(first * _WORD_BYTES)
    state_start = np.uint64(state.ctypes.data) + offset
    in_start = np.uint64(inputs.ctypes.data) + offset
    out_start = np.uint64(outputs.ctypes.data) + offset
    for i in range(n_state):
        target = result_start + np.uint64(i * _ROW_BYTES)
        copy_words(target, state_start + np.uint64(i) * pitch, count)
    for t in range(inputs.shape[0]):
        for i in range(n_state):
            at = np.uint64(i * _ROW_BYTES)
            copy_words(row_start + at, result_start + at, count)
        for i in range(n_in):
            source = in_start + np.uint64(t * n_in + i) * pitch
            copy_words(row_start + np.uint64((n_state + i) * _ROW_BYTES), source, count)
        if address != np.uint64(0):
            call_address(address, row_start, result_start, BLOCK_WORDS, BLOCK_WORDS, count)
        else:
            run_block(program, row_start, (count + WORDS - 1) // WORDS)
            for i in range(n_results):
                source = row_start + np.uint64(program[first_output + i, 0]) * np.uint64(_ROW_BYTES)
                copy_words(result_start + np.uint64(i * _ROW_BYTES), source, count)
        for i in range(n_out):
            target = out_start + np.uint64(t * n_out + i) * pitch
            copy_words(target, result_start + np.uint64((n_state + i) * _ROW_BYTES), count)
    for i in range(n_state):
        source = result_start + np.uint64(i * _ROW_BYTES)
        copy_words(state_start + np.uint64(i) * pitch, source, count)


@kernel(
    "void(int32[:, ::1], uint64, uint64[:, ::1], uint64[:, :, ::1], uint64[:, :, ::1])",
    allocates=True,
)
def scan_steps(program, address, state, inputs, outputs):  # type: ignore[no-untyped-def]
    """Step a sequential machine over all words, a block of words after the other.

    Args:
        program: the circuit as `interpreter.pack_program` makes it.
        address: of its machine code, 0 to interpret.
        state: (n_state, words) uint64, updated in place.
        inputs: (T, n_in, words) uint64.
        outputs: (T, n_out, words) uint64, overwritten.
    """
    if state.shape[1] == 1 and address == np.uint64(0):
        _scan_word(program, state, inputs, outputs)
        return
    for first in range(0, state.shape[1], BLOCK_WORDS):
        _scan_block(program, address, state, inputs, outputs, first)
