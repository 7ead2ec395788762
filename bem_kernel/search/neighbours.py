"""What a search for neighbours returns."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class Neighbours:
    """The nearest slots to one query, best first.

    Attributes:
        slots: (k,) int64 indices into the table; of equal similarity the lower first.
        similarities: (k,) uint8, sim of each with the query, not increasing.
    """

    slots: NDArray[np.int64]
    similarities: NDArray[np.uint8]


@dataclass(frozen=True)
class NeighbourBatch:
    """The nearest slots to each of many queries, a row for each, best first.

    Attributes:
        slots: (queries, k) int64; of equal similarity the lower first.
        similarities: (queries, k) uint8, not increasing along a row.
    """

    slots: NDArray[np.int64]
    similarities: NDArray[np.uint8]
