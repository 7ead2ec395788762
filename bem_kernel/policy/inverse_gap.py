"""Inverse-gap sampling: explore an arm the less, the further its score lies behind the best.

With K arms and an exploration constant gamma, an arm whose score lies `gap` behind the best is
chosen with probability 1 / (K + gamma * gap); the best takes what is left, at least 1 / K.

Source: Abe and Long 1999; Foster and Rakhlin, "Beyond UCB" (2020), algorithm SquareCB.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from bem_kernel.compiled import kernel
from bem_kernel.policy.exp2 import ONE_Q30
from bem_kernel.policy.sampling import draw

MAX_ARMS = 1 << 16
MAX_GAMMA_Q16 = 1 << 31
MAX_GAP_Q16 = 1 << 31  # wider gaps count as this one
_ONE = np.int64(1)
_NUMERATOR = np.int64(1 << 62)  # Q30 of the result plus Q32 of the denominator


@kernel("int64(int64[::1], int64, int64, int64[::1])")
def inverse_gap(
    scores_q16: NDArray[np.int64],
    count: np.int64,
    gamma_q16: np.int64,
    probabilities_q30: NDArray[np.int64],
) -> np.int64:
    """Write the probability of each arm.

    Args:
        scores_q16: (>= count,) int64, Q16, within ±2**61; more is better.
        count: number of arms, 1 to 65536.
        gamma_q16: exploration constant, Q16, 0 to 2**31; 0 chooses uniformly.
        probabilities_q30: (>= count,) int64, written: Q30, each at least 1, sum exactly 2**30.

    Returns:
        The best arm; of equals, the first.
    """
    best = np.int64(0)
    for k in range(1, count):
        if scores_q16[k] > scores_q16[best]:
            best = np.int64(k)
    left = np.int64(ONE_Q30)
    arms_q32 = np.int64(count) << np.int64(32)
    for k in range(count):
        if k == best:
            continue
        gap_q16 = min(scores_q16[best] - scores_q16[k], np.int64(MAX_GAP_Q16))
        share = max(_NUMERATOR // (arms_q32 + gamma_q16 * gap_q16), _ONE)
        probabilities_q30[k] = share
        left -= share
    probabilities_q30[best] = left
    return best


@kernel("int64(int64[::1], int64, int64, int64[::1], uint64)")
def sample_inverse_gap(
    scores_q16: NDArray[np.int64],
    count: np.int64,
    gamma_q16: np.int64,
    probabilities_q30: NDArray[np.int64],
    ticket: np.uint64,
) -> np.int64:
    """Write the probabilities as `inverse_gap` does and choose an arm by them."""
    inverse_gap(scores_q16, count, gamma_q16, probabilities_q30)
    return draw(probabilities_q30, count, np.int64(ONE_Q30), ticket)  # type: ignore[no-any-return]
