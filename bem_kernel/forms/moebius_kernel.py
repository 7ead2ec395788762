"""The Möbius transform over GF(2) on packed truth tables, as a kernel."""

from __future__ import annotations

import numpy as np

from bem_kernel.compiled import kernel
from bem_kernel.forms.packed_table import IN_WORD

_CLEAR = ~np.array(IN_WORD, dtype=np.uint64)  # the rows in which input i is 0
_BLOCK = 8


@kernel("uint64(uint64, int64)")
def _transform_word(word, inputs):  # type: ignore[no-untyped-def]
    """The steps of inputs 0 to `inputs` - 1, at most 6, by shifts within the word."""
    for i in range(inputs):
        word ^= (word & _CLEAR[i]) << np.uint64(np.int64(1) << i)
    return word


@kernel("void(uint64[::1])")
def _transform_words(row):  # type: ignore[no-untyped-def]
    """The steps of inputs 0 to 8, three of them between the 8 words of a block."""
    c0, c1, c2 = _CLEAR[0], _CLEAR[1], _CLEAR[2]
    c3, c4, c5 = _CLEAR[3], _CLEAR[4], _CLEAR[5]
    for w in range(row.shape[0]):
        x = row[w]
        x ^= (x & c0) << np.uint64(1)
        x ^= (x & c1) << np.uint64(2)
        x ^= (x & c2) << np.uint64(4)
        x ^= (x & c3) << np.uint64(8)
        x ^= (x & c4) << np.uint64(16)
        x ^= (x & c5) << np.uint64(32)
        row[w] = x
    for w in range(0, row.shape[0], _BLOCK):
        a, b, c, d = row[w], row[w + 1], row[w + 2], row[w + 3]
        e, f, g, h = row[w + 4], row[w + 5], row[w + 6], row[w + 7]
        b ^= a
        d ^= c
        f ^= e
        h ^= g
        c ^= a
        d ^= b
        g ^= e
        h ^= f
        row[w + 1], row[w + 2], row[w + 3] = b, c, d
        row[w + 4], row[w + 5], row[w + 6], row[w + 7] = e ^ a, f ^ b, g ^ c, h ^ d


@kernel("void(uint64[::1], uint64[::1])")
def _add(high, low):  # type: ignore[no-untyped-def]
    for w in range(high.shape[0]):
        high[w] ^= low[w]


@kernel("void(uint64[:, ::1], int64)")
def transform(words, n_inputs):  # type: ignore[no-untyped-def]
    """Truth tables to coefficients or back, in place.

    Args:
        words: (m, max(1, 2**n_inputs / 64)) uint64.
        n_inputs: number of inputs.
    """
    width = words.shape[1]
    for j in range(words.shape[0]):
        row = words[j]
        stride = 1
        if width >= _BLOCK:
            _transform_words(row)
            stride = _BLOCK
        else:
            for w in range(width):
                row[w] = _transform_word(row[w], min(n_inputs, 6))
        while stride < width:
            for base in range(0, width, 2 * stride):
                _add(row[base + stride : base + 2 * stride], row[base : base + stride])
            stride *= 2
