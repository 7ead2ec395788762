"""The BIT-ALU's operations on rows of lanes, compiled.

A vector is a row of W lanes in words of 64; lanes past W are padding, read as 0 and left 0.

Source: BEM core spec 3.2.
"""

from __future__ import annotations

import numpy as np

from bem_kernel.compiled import kernel

AND, OR, XOR, NOT, SHL, SHR, ROL, ROR, BLEND, POPCOUNT = range(10)

_FULL = np.uint64(0xFFFF_FFFF_FFFF_FFFF)
_64 = np.int64(64)


@kernel("uint64(int64, int64)")
def padding_mask(lanes, word):  # type: ignore[no-untyped-def]
    """Ones at the lanes in use of one word."""
    left = lanes - word * _64
    if left >= _64:
        return _FULL
    if left <= 0:
        return np.uint64(0)
    return _FULL >> np.uint64(_64 - left)


@kernel("uint64(uint64[::1], int64, int64)")
def word_of(row, lanes, word):  # type: ignore[no-untyped-def]
    """One word of a vector without padding; 0 outside of it."""
    if word < 0 or word * _64 >= lanes:
        return np.uint64(0)
    return row[word] & padding_mask(lanes, word)


@kernel("uint64(uint64[::1], int64, int64, int64)")
def moved_word(row, lanes, word, amount):  # type: ignore[no-untyped-def]
    """One word of a vector whose lane j has moved to lane j + amount; zeros come in.

    Args:
        row: (words,) uint64, the vector.
        lanes: W.
        word: which word of the result.
        amount: from -W to W.
    """
    start = word * _64 - amount  # the lane that comes to bit 0
    first = start >> np.int64(6)
    offset = np.uint64(start & np.int64(63))
    value = word_of(row, lanes, first) >> offset
    if offset:
        value |= word_of(row, lanes, first + 1) << (np.uint64(64) - offset)
    return value


@kernel("int64(uint64)")
def count_bits(word):  # type: ignore[no-untyped-def]
    """Number of ones in a word (Wegner's sums by halves; Warren, Hacker's Delight 5-1)."""
    word = word - ((word >> np.uint64(1)) & np.uint64(0x5555555555555555))
    word = (word & np.uint64(0x3333333333333333)) + (
        (word >> np.uint64(2)) & np.uint64(0x3333333333333333)
    )
    word = (word + (word >> np.uint64(4))) & np.uint64(0x0F0F0F0F0F0F0F0F)
    return np.int64((word * np.uint64(0x0101010101010101)) >> np.uint64(56))


@kernel("uint64(uint64[:, ::1], int64[::1], int64, int64)")
def result_word(rows, command, lanes, word):  # type: ignore[no-untyped-def]
    """One word of what a command computes, before padding is cleared.

    Args:
        rows: (rows, pitch) uint64.
        command: (6,) int64: operation, target, a, b, mask, amount.
        lanes: W.
        word: which word.
    """
    op, amount = command[0], command[5]
    a = rows[command[2], word]
    if op == SHL:
        return moved_word(rows[command[2]], lanes, word, amount)
    if op == SHR:
        return moved_word(rows[command[2]], lanes, word, -amount)
    if op in (ROL, ROR):
        up = amount if op == ROL else lanes - amount
        around = moved_word(rows[command[2]], lanes, word, up - lanes)
        return moved_word(rows[command[2]], lanes, word, up) | around
    if op == NOT:
        return ~a
    b = rows[command[3], word]
    if op == AND:
        return a & b
    if op == OR:
        return a | b
    if op == XOR:
        return a ^ b
    mask = rows[command[4], word]
    return (a & mask) | (b & ~mask)


@kernel("void(uint64[:, ::1], int64[:, ::1], int64, int64, int64, uint64[::1], int64[::1])")
def run_commands(rows, queue, first, count, lanes, scratch, results):  # type: ignore[no-untyped-def]
    """Execute commands of a ring in order, each completely before the next.

    Seven arguments, because kernels take arrays rather than objects.

    Args:
        rows: (rows, pitch) uint64, changed in place.
        queue: (capacity, 6) int64 ring of checked commands.
        first: position of the first.
        count: how many.
        lanes: W.
        scratch: (words,) uint64; lets a target be one of the operands.
        results: (count,) int64, the number of ones for POPCOUNT, else 0.
    """
    words = (lanes + _64 - 1) >> np.int64(6)
    place = first
    for i in range(count):
        command = queue[place]
        results[i] = 0
        if command[0] == POPCOUNT:
            for word in range(words):
                results[i] += count_bits(word_of(rows[command[2]], lanes, np.int64(word)))
        else:
            for word in range(words):
                value = result_word(rows, command, lanes, np.int64(word))
                scratch[word] = value & padding_mask(lanes, np.int64(word))
            for word in range(words):
                rows[command[1], word] = scratch[word]
        place = place + 1 if place + 1 < len(queue) else np.int64(0)
