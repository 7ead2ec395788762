"""Gray codes, and the similarity of identifiers counted on them.

Numbers that follow each other have Gray codes that differ in one bit, so neighbours in the number
line are neighbours in the metric.

Source: BEM core spec 1.2; F. Gray, US 2632058 (1953).
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray


def gray(words: NDArray[np.uint32]) -> NDArray[np.uint32]:
    """Gray code g(u) = u ^ (u >> 1), elementwise on uint32."""
    return words ^ (words >> np.uint32(1))


def gray_inverse(codes: NDArray[np.uint32]) -> NDArray[np.uint32]:
    """Inverse of `gray`, elementwise on uint32."""
    words = codes.copy()
    for shift in (1, 2, 4, 8, 16):  # prefix XOR by doubling
        words ^= words >> np.uint32(shift)
    return words


def sim(u: NDArray[np.uint32], v: NDArray[np.uint32]) -> NDArray[np.uint8]:
    """Similarity 32 - popcount(g(u) ^ g(v)), elementwise with broadcasting; 0 to 32."""
    distance = np.bitwise_count(gray(u) ^ gray(v))
    similarity: NDArray[np.uint8] = np.uint8(32) - distance
    return similarity
