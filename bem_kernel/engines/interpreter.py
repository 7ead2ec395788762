"""The interpreter: any circuit at once, by compiled loops over its gates.

Nothing is compiled per circuit, so it suits fresh experts. The words of a row go through in
blocks of 64, gate after gate, so that decoding a gate is hidden behind eight vectors; a gate has
no branch (see `masks`).

`run_gates` is for kernels that keep gates and slots in arrays of their own. `interpret` runs a
scheduled program, whose rows are few enough for the first-level cache: half as fast again.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from bem_kernel.circuits.circuit import Circuit
from bem_kernel.compiled import kernel
from bem_kernel.engines.masks import MASKS
from bem_kernel.engines.schedule import schedule
from bem_kernel.engines.vectors import (
    BLOCK_WORDS,
    WORDS,
    copy_block,
    copy_vector,
    copy_word,
    gate_block,
    gate_vector,
    gate_words,
)
from bem_kernel.lanes import Planes, check_planes

_WORD = np.dtype(np.uint64)
_WORD_BYTES = 8
_LINE_BYTES = 64
_LINE_WORDS = 8
_KEPT = 1024  # programs that `evaluate` keeps

PackedProgram = NDArray[np.int32]
"""(1 + steps + outputs, 4) int32: a row (inputs, rows, steps, outputs), then the steps (operation,
row a, row b, target row), then (row, 0, 0, 0) for each output."""


@kernel("void(int32[:, ::1], int64, uint64[:, ::1])")
def _run_word(gates, n_inputs, slots):  # type: ignore[no-untyped-def]
    """All gates on the first word of each row."""
    target = np.uint64(n_inputs)
    for g in range(gates.shape[0]):
        op = np.uint64(gates[g, 0])
        a = slots[np.uint64(gates[g, 1]), 0]
        b = slots[np.uint64(gates[g, 2]), 0]
        inner = MASKS[op, 1] ^ (MASKS[op, 3] & b)
        slots[target, 0] = MASKS[op, 0] ^ (MASKS[op, 2] & b) ^ (a & inner)
        target += np.uint64(1)


@kernel("void(int32[:, ::1], int64, uint64[:, ::1], int64, int64)")
def _run_tail(gates, n_inputs, slots, first, last):  # type: ignore[no-untyped-def]
    """All gates on words first to last-1: whole vectors, then a part of one."""
    pitch = np.uint64(slots.shape[1] * _WORD_BYTES)
    start = np.uint64(slots.ctypes.data) + np.uint64(first * _WORD_BYTES)
    vectors = (last - first) // WORDS
    rest = np.uint64((last - first) % WORDS)
    for g in range(gates.shape[0]):
        op = np.uint64(gates[g, 0])
        a, b = np.uint64(gates[g, 1]), np.uint64(gates[g, 2])
        slot = np.uint64(n_inputs + g)
        c0, ca, cb, cab = MASKS[op, 0], MASKS[op, 1], MASKS[op, 2], MASKS[op, 3]
        target, left, right = start + slot * pitch, start + a * pitch, start + b * pitch
        for _ in range(vectors):
            gate_vector(c0, ca, cb, cab, target, left, right)
            target += np.uint64(WORDS * _WORD_BYTES)
            left += np.uint64(WORDS * _WORD_BYTES)
            right += np.uint64(WORDS * _WORD_BYTES)
        if rest > np.uint64(0):
            gate_words(c0, ca, cb, cab, target, left, right, rest)


@kernel("void(int32[:, ::1], int64, uint64[:, ::1], int64)")
def run_gates(gates, n_inputs, slots, words):  # type: ignore[no-untyped-def]
    """Evaluate packed gates on rows of words.

    Nothing is checked: gates come from `packed.pack_gates`, hence read earlier slots only.

    Args:
        gates: (G, 3) int32, rows (operation, slot a, slot b).
        n_inputs: rows 0 .. n_inputs-1 of `slots` hold the inputs.
        slots: (at least n_inputs + G, pitch) uint64; row n_inputs + i gets the result of gate i.
            Rows that start at a multiple of 64 bytes and a pitch that is no power of two are
            quickest.
        words: columns 0 .. words-1 take part, 0 to pitch; the others stay as they are.
    """
    if words == 1:
        _run_word(gates, n_inputs, slots)
        return
    pitch = np.uint64(slots.shape[1] * _WORD_BYTES)
    blocks = words // BLOCK_WORDS
    for block in range(blocks):
        start = np.uint64(slots.ctypes.data) + np.uint64(block * BLOCK_WORDS * _WORD_BYTES)
        target = start + np.uint64(n_inputs) * pitch
        for g in range(gates.shape[0]):
            op = np.uint64(gates[g, 0])
            gate_block(
                MASKS[op, 0],
                MASKS[op, 1],
                MASKS[op, 2],
                MASKS[op, 3],
                target,
                start + np.uint64(gates[g, 1]) * pitch,
                start + np.uint64(gates[g, 2]) * pitch,
            )
            target += pitch
    if blocks * BLOCK_WORDS < words:
        _run_tail(gates, n_inputs, slots, blocks * BLOCK_WORDS, words)


@kernel("void(int32[:, ::1], uint64[::1])")
def run_word(program, rows):  # type: ignore[no-untyped-def]
    """The steps of a packed program on one word per row; rows hold the inputs first."""
    for step in range(1, 1 + program[0, 2]):
        op = np.uint64(program[step, 0])
        a = rows[np.uint64(program[step, 1])]
        b = rows[np.uint64(program[step, 2])]
        inner = MASKS[op, 1] ^ (MASKS[op, 3] & b)
        rows[np.uint64(program[step, 3])] = MASKS[op, 0] ^ (MASKS[op, 2] & b) ^ (a & inner)


@kernel("void(int32[:, ::1], uint64, int64)")
def run_block(program, start, vectors):  # type: ignore[no-untyped-def]
    """The steps of a packed program on rows of a block.

    Args:
        program: as `pack_program` makes.
        start: address of the first row; rows are BLOCK_WORDS words apart.
        vectors: how many vectors of a row take part.
    """
    pitch = np.uint64(BLOCK_WORDS * _WORD_BYTES)
    for step in range(1, 1 + program[0, 2]):
        op = np.uint64(program[step, 0])
        c0, ca, cb, cab = MASKS[op, 0], MASKS[op, 1], MASKS[op, 2], MASKS[op, 3]
        a = start + np.uint64(program[step, 1]) * pitch
        b = start + np.uint64(program[step, 2]) * pitch
        target = start + np.uint64(program[step, 3]) * pitch
        if vectors * WORDS == BLOCK_WORDS:
            gate_block(c0, ca, cb, cab, target, a, b)
        else:
            for _ in range(vectors):
                gate_vector(c0, ca, cb, cab, target, a, b)
                target += np.uint64(WORDS * _WORD_BYTES)
                a += np.uint64(WORDS * _WORD_BYTES)
                b += np.uint64(WORDS * _WORD_BYTES)


@kernel("uint64(uint64)")
def line_start(address):  # type: ignore[no-untyped-def]
    """The first multiple of 64, the bytes of a cache line, at or after an address."""
    return (address + np.uint64(_LINE_BYTES - 1)) & ~np.uint64(_LINE_BYTES - 1)


@kernel("void(uint64, uint64, int64)")
def copy_words(target, source, count):  # type: ignore[no-untyped-def]
    """Copy up to a block of words between addresses."""
    if count == BLOCK_WORDS:
        copy_block(target, source)
        return
    for _ in range(count // WORDS):
        copy_vector(target, source)
        target += np.uint64(WORDS * _WORD_BYTES)
        source += np.uint64(WORDS * _WORD_BYTES)
    for _ in range(count % WORDS):
        copy_word(target, source)
        target += np.uint64(_WORD_BYTES)
        source += np.uint64(_WORD_BYTES)


@kernel("int64(int32[:, ::1], uint64[:, :], uint64[:, ::1])", allocates=True)
def interpret(program, planes, results):  # type: ignore[no-untyped-def]
    """Run a packed program on all words.

    Args:
        program: as `pack_program` makes.
        planes: (n_inputs, words) uint64; the words of a row lie together, rows anywhere.
        results: (n_outputs, words) uint64, overwritten; not the same memory as `planes`.

    Returns:
        1, or 0 without doing anything where the words of a row of `planes` do not lie together.
    """
    n_inputs, n_rows, n_outputs = program[0, 0], program[0, 1], program[0, 3]
    first_output = 1 + program[0, 2]
    words = planes.shape[1]
    if words == 1:
        column = np.empty(n_rows, dtype=np.uint64)
        for i in range(n_inputs):
            column[i] = planes[i, 0]
        run_word(program, column)
        for i in range(n_outputs):
            results[i, 0] = column[program[first_output + i, 0]]
        return 1
    if n_inputs > 0 and planes.strides[1] != _WORD_BYTES:
        return 0
    rows = np.empty(n_rows * BLOCK_WORDS + _LINE_WORDS, dtype=np.uint64)
    start = line_start(np.uint64(rows.ctypes.data))
    in_start, out_start = np.uint64(planes.ctypes.data), np.uint64(results.ctypes.data)
    in_pitch, out_pitch = np.uint64(planes.strides[0]), np.uint64(words * _WORD_BYTES)
    for first in range(0, words, BLOCK_WORDS):
        count = min(BLOCK_WORDS, words - first)
        offset = np.uint64(first * _WORD_BYTES)
        for i in range(n_inputs):
            source = in_start + np.uint64(i) * in_pitch + offset
            copy_words(start + np.uint64(i * BLOCK_WORDS * _WORD_BYTES), source, count)
        run_block(program, start, (count + WORDS - 1) // WORDS)
        for i in range(n_outputs):
            row = np.uint64(program[first_output + i, 0])
            target = out_start + np.uint64(i) * out_pitch + offset
            copy_words(target, start + row * np.uint64(BLOCK_WORDS * _WORD_BYTES), count)
    return 1


def pack_program(circuit: Circuit) -> PackedProgram:
    """Schedule a circuit and pack it for `interpret`.

    Returns:
        A new array, laid out as `PackedProgram` says.
    """
    plan = schedule(circuit)
    header = (circuit.n_inputs, plan.n_rows, len(plan.steps), len(plan.outputs))
    rows = [header, *plan.steps, *((row, 0, 0, 0) for row in plan.outputs)]
    return np.array(rows, dtype=np.int32)


@lru_cache(maxsize=_KEPT)
def packed_program(circuit: Circuit) -> PackedProgram:
    """As `pack_program`, kept for the circuits used last; not to be changed."""
    return pack_program(circuit)


def evaluate(circuit: Circuit, planes: Planes) -> Planes:
    """Evaluate `circuit` in every lane.

    Args:
        circuit: the gates.
        planes: (n_inputs, words) uint64; not changed.

    Returns:
        (n_outputs, words) uint64, a new array.

    Raises:
        ShapeError: `planes` does not have one plane per input.
    """
    check_planes(planes, where="interpreter.evaluate", n_bits=circuit.n_inputs)
    return runner(packed_program(circuit), circuit.n_outputs)(planes)


def runner(program: PackedProgram, n_outputs: int) -> Callable[[Planes], Planes]:
    """A function that runs a packed program on planes that have been checked.

    Returns:
        (n_inputs, words) uint64 to (n_outputs, words) uint64, a new array.
    """

    def run(planes: Planes) -> Planes:
        results = np.empty((n_outputs, planes.shape[1]), _WORD)
        try:
            done = interpret(program, planes, results)
        except TypeError:  # read-only or not aligned: kernels take neither
            done = 0
        if not done:
            interpret(program, np.array(planes, order="C"), results)
        return results

    return run
