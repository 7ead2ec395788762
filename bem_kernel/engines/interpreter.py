"""The interpreter: any circuit at once, one compiled loop over its gates.

Nothing is compiled per circuit, so it suits fresh experts. The words of a plane go through in
blocks of 64, gate after gate, so that decoding a gate is hidden behind eight vectors; a gate has
no branch (see `vectors`).
"""

from __future__ import annotations

import numpy as np

from bem_kernel.circuits.circuit import Op
from bem_kernel.compiled import kernel
from bem_kernel.engines.vectors import BLOCK_WORDS, WORDS, gate_block, gate_vector

_ALL = 0xFFFF_FFFF_FFFF_FFFF
# Operation -> masks of its algebraic normal form: constant, a, b, a & b.
_NORMAL_FORMS = {
    Op.AND: (0, 0, 0, 1),
    Op.OR: (0, 1, 1, 1),
    Op.XOR: (0, 1, 1, 0),
    Op.NOT: (1, 1, 0, 0),
    Op.ANDN: (0, 1, 0, 1),
    Op.CONST0: (0, 0, 0, 0),
    Op.CONST1: (1, 0, 0, 0),
}
_MASKS = np.array([[_ALL * bit for bit in _NORMAL_FORMS[op]] for op in Op], dtype=np.uint64)
_WORD_BYTES = 8


@kernel("void(int32[:, ::1], int64, uint64[:, ::1])")
def _run_word(gates, n_inputs, slots):  # type: ignore[no-untyped-def]
    """All gates on the first word of each row."""
    target = np.uint64(n_inputs)
    for g in range(gates.shape[0]):
        op = np.uint64(gates[g, 0])
        a = slots[np.uint64(gates[g, 1]), 0]
        b = slots[np.uint64(gates[g, 2]), 0]
        inner = _MASKS[op, 1] ^ (_MASKS[op, 3] & b)
        slots[target, 0] = _MASKS[op, 0] ^ (_MASKS[op, 2] & b) ^ (a & inner)
        target += np.uint64(1)


@kernel("void(int32[:, ::1], int64, uint64[:, ::1], int64, int64)")
def _run_tail(gates, n_inputs, slots, first, last):  # type: ignore[no-untyped-def]
    """All gates on words first to last-1: whole vectors, then single words."""
    pitch = np.uint64(slots.shape[1] * _WORD_BYTES)
    start = np.uint64(slots.ctypes.data) + np.uint64(first * _WORD_BYTES)
    vectors = (last - first) // WORDS
    rest = first + vectors * WORDS
    for g in range(gates.shape[0]):
        op = np.uint64(gates[g, 0])
        a, b = np.uint64(gates[g, 1]), np.uint64(gates[g, 2])
        slot = np.uint64(n_inputs + g)
        c0, ca, cb, cab = _MASKS[op, 0], _MASKS[op, 1], _MASKS[op, 2], _MASKS[op, 3]
        target, left, right = start + slot * pitch, start + a * pitch, start + b * pitch
        for _ in range(vectors):
            gate_vector(c0, ca, cb, cab, target, left, right)
            target += np.uint64(WORDS * _WORD_BYTES)
            left += np.uint64(WORDS * _WORD_BYTES)
            right += np.uint64(WORDS * _WORD_BYTES)
        for w in range(rest, last):
            word = slots[b, w]
            slots[slot, w] = c0 ^ (cb & word) ^ (slots[a, w] & (ca ^ (cab & word)))


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
                _MASKS[op, 0],
                _MASKS[op, 1],
                _MASKS[op, 2],
                _MASKS[op, 3],
                target,
                start + np.uint64(gates[g, 1]) * pitch,
                start + np.uint64(gates[g, 2]) * pitch,
            )
            target += pitch
    if blocks * BLOCK_WORDS < words:
        _run_tail(gates, n_inputs, slots, blocks * BLOCK_WORDS, words)
