"""Means and their 95% intervals, over examples and over seeds."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

_Z = 1.959963984540054  # 97.5% point of the normal distribution
# 97.5% points of Student's t for 1 to 10 degrees of freedom; beyond, the normal point is close.
_T = (12.7062, 4.3027, 3.1824, 2.7764, 2.5706, 2.4469, 2.3646, 2.3060, 2.2622, 2.2281)


@dataclass(frozen=True)
class Estimate:
    """A mean of `n` values with a 95% interval."""

    mean: float
    low: float
    high: float
    n: int


def proportion(successes: int, n: int) -> Estimate:
    """Share of successes with Wilson's score interval, which is sane at 0 and at n.

    Source: E. B. Wilson, JASA 22 (1927) 209-212.
    """
    if not 0 <= successes <= n or n == 0:
        raise ValueError(f"{successes} successes in {n} trials")
    share = successes / n
    scale = 1 + _Z**2 / n
    middle = (share + _Z**2 / (2 * n)) / scale
    half = _Z * math.sqrt(share * (1 - share) / n + _Z**2 / (4 * n**2)) / scale
    return Estimate(share, min(share, middle - half), max(share, middle + half), n)


def mean_estimate(values: Sequence[float]) -> Estimate:
    """Mean with Student's t interval; of a single value the interval is unbounded."""
    n = len(values)
    if n == 0:
        raise ValueError("no values")
    mean = math.fsum(values) / n
    if n == 1:
        return Estimate(mean, -math.inf, math.inf, 1)
    spread = math.sqrt(math.fsum((value - mean) ** 2 for value in values) / (n - 1))
    point = _T[n - 2] if n - 1 <= len(_T) else _Z
    half = point * spread / math.sqrt(n)
    return Estimate(mean, mean - half, mean + half, n)
