"""Does a process keep growing? Its resident memory over time, and the line through it."""

from __future__ import annotations

import statistics
import time
from dataclasses import dataclass, field

import psutil

LIMIT_MB = 32.0
"""How much a process may grow in ten minutes under load once it is warm."""
LEAST = 6


@dataclass
class Resident:
    """A process that is weighed now and then.

    Attributes:
        pid: of the process.
        weights: (seconds, MB), in the order of time.
    """

    pid: int
    weights: list[tuple[float, float]] = field(default_factory=list)

    def weigh(self) -> None:
        """Note its memory."""
        size = psutil.Process(self.pid).memory_info().rss / 1e6
        self.weights.append((time.monotonic(), size))

    def trend(self, warm: float = 1 / 3) -> float:
        """MB a minute, by least squares, once the first `warm` of the time is over.

        A line through all weights is not led astray by the one at the end, which may find the
        memory full or just given back.

        Raises:
            ValueError: too few weights.
        """
        if not self.weights:
            raise ValueError("was never weighed")
        first_s, last_s = self.weights[0][0], self.weights[-1][0]
        later = [w for w in self.weights if w[0] >= first_s + warm * (last_s - first_s)]
        if len(later) < LEAST:
            raise ValueError(f"weighed {len(later)} times when warm; a trend takes {LEAST}")
        times, sizes = zip(*later, strict=True)
        return 60.0 * statistics.linear_regression(times, sizes).slope

    def growth(self) -> float:
        """MB in ten minutes at this pace; 0 if it shrinks."""
        return max(10.0 * self.trend(), 0.0)

    def story(self) -> str:
        """Its size now, and how it goes on."""
        try:
            trend = f"{self.trend():+.2f} MB/min"
        except ValueError:
            trend = "no trend yet"
        return f"{self.weights[-1][1]:.0f} MB, {trend}" if self.weights else trend
