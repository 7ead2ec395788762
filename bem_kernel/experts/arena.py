"""Arenas: tables of rows in memory, of which each expert has one run.

Rows are handed out from the front. What a retired expert leaves behind is not reused until
`close_gaps` moves the runs in use together.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from bem_kernel.errors import ExpertError
from bem_kernel.memory.memory import Memory
from bem_kernel.memory.segments import Segment


class Arena:
    """A table of rows in EXPERT, made in memory or found there.

    Attributes:
        rows: (capacity, width), all of them.

    Args:
        memory: where.
        name: of the region.
        dtype: of the rows.
        shape: (capacity, width) to make if memory has no such region yet.
        used: (1,) int64 in memory, the number of rows handed out.

    Raises:
        SegmentError: EXPERT is full.
        ExpertError: the region in memory has another type or width, or not the rows handed out.
    """

    def __init__(
        self,
        memory: Memory,
        name: str,
        dtype: np.dtype[Any],
        shape: tuple[int, int],
        used: NDArray[np.int64],
    ) -> None:
        self._name = name.rpartition(".")[2]
        self._used = used
        if not memory.has(Segment.EXPERT, name):
            memory.allocate(Segment.EXPERT, name, dtype, shape, protected=True)
        self.rows: NDArray[Any] = memory.region(Segment.EXPERT, name)
        fits = self.rows.dtype == dtype and self.rows.shape[1:] == shape[1:]
        if not fits or not 0 <= self.used <= len(self.rows):
            raise ExpertError(
                f"{self._name} are {self.rows.dtype} of shape {self.rows.shape}, {self.used} used",
                where="expert table",
                fix="load another image of the memory",
            )

    @property
    def used(self) -> int:
        """Rows handed out, gaps included."""
        return int(self._used[0])

    @property
    def free(self) -> int:
        """Rows not handed out."""
        return len(self.rows) - self.used

    def check_room(self, count: int) -> None:
        """Refuse to hand out more rows than are free.

        Raises:
            ExpertError: `count` is more.
        """
        if count > self.free:
            raise ExpertError(
                f"no room for {count} {self._name}, {self.free} of {len(self.rows)} are free",
                where="expert table",
                fix="retire experts, or use a machine configuration with a larger expert_words",
            )

    def append(self, rows: NDArray[Any]) -> int:
        """Copy rows in behind the last, and return the index of the first.

        Raises:
            ExpertError: there is no room.
        """
        self.check_room(len(rows))
        first = self.used
        self.rows[first : first + len(rows)] = rows
        self._used[0] = first + len(rows)
        return first

    def run(self, first: int, length: int) -> NDArray[Any]:
        """Rows first .. first+length-1, a view.

        Raises:
            ExpertError: they have not been handed out.
        """
        if not 0 <= first <= first + length <= self.used:
            raise ExpertError(
                f"{self._name} {first} to {first + length - 1}, {self.used} are in use",
                where="expert table",
                fix="load another image of the memory",
            )
        return self.rows[first : first + length]

    def check_apart(self, runs: NDArray[np.int64]) -> None:
        """Refuse runs that share rows.

        Args:
            runs: (n, 2) int64, first row and length of each run in use.

        Raises:
            ExpertError: two overlap.
        """
        order = np.lexsort((runs[:, 1] > 0, runs[:, 0]))  # by first row, empty ones before
        ends = (runs[:, 0] + runs[:, 1])[order]
        if (runs[order[1:], 0] < ends[:-1]).any():
            raise ExpertError(
                f"two experts share {self._name}",
                where="expert table",
                fix="load another image of the memory",
            )

    def close_gaps(self, runs: NDArray[np.int64]) -> NDArray[np.int64]:
        """Move runs together, to the front.

        Args:
            runs: (n, 2) int64, first row and length of each run in use; they do not overlap.

        Returns:
            (n,) int64, the first row of each run now.
        """
        firsts = np.zeros(len(runs), dtype=np.int64)
        end = 0
        for i in np.lexsort((runs[:, 1] > 0, runs[:, 0])):
            first, length = int(runs[i, 0]), int(runs[i, 1])
            self.rows[end : end + length] = self.rows[first : first + length].copy()
            firsts[i] = end
            end += length
        self._used[0] = end
        return firsts
