"""The template on words of 64 cells: a whole row in one step, without a loop over its cells.

A cell maps the carry that comes in to the one that goes out: a function of one bit, given by what
it makes of 0 and of 1. Two words hold these functions of all cells; composing each with its lower
neighbours at distance 1, 2, 4, … gives every carry after six rounds, whatever the tables are
(Kogge and Stone 1973). The fold is one composition of all cells.
"""

from __future__ import annotations

import numpy as np

from bem_kernel.compiled import kernel

Q, ROW, ADDRESS, Z = range(4)
STATE_SIZE = 4

_ONE = np.uint64(1)
_ALL = np.uint64(0xFFFF_FFFF_FFFF_FFFF)


@kernel("uint64(uint64[::1], int64, int64, uint64, uint64, uint64, uint64)")
def _select(masks, first, inputs, a, b, c, d):  # type: ignore[no-untyped-def]
    """A table on words: masks[first + r] is all ones or zeros for row r of 2 to 4 inputs."""
    found = np.uint64(0)
    for row in range(1 << inputs):
        here = masks[first + row]
        if here != np.uint64(0):
            here &= a if row & 1 else ~a
            here &= b if row & 2 else ~b
            if inputs > 2:
                here &= c if row & 4 else ~c
            if inputs > 3:
                here &= d if row & 8 else ~d
            found |= here
    return found


@kernel("uint64(uint64[::1], int64, int64, uint64, uint64, uint64)")
def _rows(masks, first, inputs, a, b, c):  # type: ignore[no-untyped-def]
    """As `_select`, for tables of 1 to 3 inputs."""
    found = np.uint64(0)
    for row in range(1 << inputs):
        here = masks[first + row]
        if here != np.uint64(0):
            here &= a if row & 1 else ~a
            if inputs > 1:
                here &= b if row & 2 else ~b
            if inputs > 2:
                here &= c if row & 4 else ~c
            found |= here
    return found


@kernel("uint64(uint64, uint64, uint64)")
def _carries(on_zero, on_one, carry):  # type: ignore[no-untyped-def]
    """The carry out of every cell, from the lowest up."""
    shift = _ONE
    while shift < np.uint64(64):
        low_zero = on_zero << shift
        low_one = (on_one << shift) | ((_ONE << shift) - _ONE)  # below the row: as it comes
        on_zero, on_one = (
            (low_zero & on_one) | (~low_zero & on_zero),
            (low_one & on_one) | (~low_one & on_zero),
        )
        shift <<= _ONE
    return on_one if carry != np.uint64(0) else on_zero


@kernel("uint64(uint64, uint64)")
def _folded(on_zero, on_one):  # type: ignore[no-untyped-def]
    """What 0 becomes from the highest cell down to the lowest."""
    shift = _ONE
    while shift < np.uint64(64):
        high_zero = on_zero >> shift
        high_one = (on_one >> shift) | ~(_ALL >> shift)  # above the row: as it comes
        on_zero, on_one = (
            (high_zero & on_one) | (~high_zero & on_zero),
            (high_one & on_one) | (~high_one & on_zero),
        )
        shift <<= _ONE
    return on_zero & _ONE


@kernel("int64(uint64[::1], uint64[::1], int64[::1], int32[::1], uint64[::1], uint8[::1])")
def read_tokens(control, masks, shape, tokens, state, verdicts):  # type: ignore[no-untyped-def]
    """Read tokens until the end or a trap.

    Args:
        control: at ((s << flags | q) << 1 | z): q', then d, then c_0, then the verdicts on q' for
            z = 0 and 1, from the lowest bit up.
        masks: tables as words: for d = 0 and 1 the cell, the carry on 0, the carry on 1; the fold
            on 0 and on 1; 16 words each.
        shape: symbols, flags, whether there are addresses, whether cells see upward, the width.
        tokens: see `Alphabet`.
        state: Q, ROW, ADDRESS (plus one; 0: none), Z; changed in place.
        verdicts: (tokens,) filled with 0 and 1.

    Returns:
        How many tokens were read; fewer than there are if the next one traps.
    """
    n_symbols, n_flags, keyed, upward, width = shape[0], shape[1], shape[2], shape[3], shape[4]
    q, row, address, z = state[0], state[1], state[2], state[3]
    top = _ONE << np.uint64(width - 1)
    flags_mask = (_ONE << np.uint64(n_flags)) - _ONE
    read = 0
    for t in range(tokens.shape[0]):
        token = np.int64(tokens[t])
        symbol = token
        given = address
        if keyed != 0 and token >= n_symbols:
            above = token // n_symbols
            symbol = token - above * n_symbols
            given = np.uint64(above)
        index = ((symbol << n_flags | np.int64(q)) << 1) | np.int64(z)
        word = control[index]
        d = np.int64(word >> np.uint64(n_flags)) & 1
        carry = (word >> np.uint64(n_flags + 1)) & _ONE
        line = np.uint64(0)
        if given != np.uint64(0):
            if np.int64(given) > width:
                break
            line = _ONE << (given - _ONE)
        over = row >> _ONE
        extra = line if keyed != 0 else over
        first = 48 * d
        inputs = 1 + keyed + upward
        on_zero = _rows(masks, first + 16, inputs, row, extra, over)
        on_one = _rows(masks, first + 32, inputs, row, extra, over)
        out = _carries(on_zero, on_one, carry)
        if out & top != np.uint64(0):
            break
        into = (out << _ONE) | carry
        row = _select(masks, first, inputs + 1, row, into, extra, over)
        if width < 64:
            row &= (_ONE << np.uint64(width)) - _ONE
        z = _folded(
            _rows(masks, 96, 1 + keyed, row, line, line),
            _rows(masks, 112, 1 + keyed, row, line, line),
        )
        q = word & flags_mask
        address = given
        verdicts[t] = np.uint8((word >> (np.uint64(n_flags + 2) + z)) & _ONE)
        read += 1
    state[0], state[1], state[2], state[3] = q, row, address, z
    return read
