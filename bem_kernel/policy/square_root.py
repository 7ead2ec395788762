"""Integer square roots, digit by digit, in constant time."""

from __future__ import annotations

import numpy as np

from bem_kernel.compiled import kernel


@kernel("uint64(uint64)")
def isqrt(value: np.uint64) -> np.uint64:
    """floor(sqrt(value)) of an unsigned 64-bit integer: 32 steps, one binary digit each."""
    rest = np.uint64(value)
    root = np.uint64(0)
    bit = np.uint64(1) << np.uint64(62)
    while bit != 0:
        trial = root + bit
        root >>= np.uint64(1)
        if rest >= trial:
            rest -= trial
            root += bit
        bit >>= np.uint64(2)
    return root
