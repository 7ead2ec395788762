"""Nearest neighbours among identifiers, exact, by counting bits over the whole table.

Brute force is the fastest exact way up to about 10^5 identifiers; it is also the oracle for any
index built later.

Source: BEM core spec 3.3, 6.3.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from bem_kernel.errors import ShapeError
from bem_kernel.identifiers.gray import sim


@dataclass(frozen=True)
class Neighbours:
    """The nearest slots to one query, best first.

    Attributes:
        slots: (k,) int64 indices into the table.
        similarities: (k,) uint8, sim of each with the query, not increasing.
    """

    slots: NDArray[np.int64]
    similarities: NDArray[np.uint8]


def nearest(query: int, table: NDArray[np.uint32], k: int) -> Neighbours:
    """The k most similar identifiers; of equals, the lower slot comes first.

    Args:
        query: a 32-bit identifier.
        table: (n,) uint32, the identifier in each slot.
        k: how many, 0 or more; fewer come back if the table is smaller.

    Raises:
        ShapeError: `table` is not (n,) uint32, the query is not 32 bits, or k is negative.
    """
    if table.ndim != 1 or table.dtype != np.uint32:
        raise ShapeError(
            f"table is {table.dtype} of shape {table.shape}",
            where="ann.nearest",
            fix="give (n,) uint32",
        )
    if k < 0 or not 0 <= query < 1 << 32:
        raise ShapeError(
            f"query {query}, k {k}", where="ann.nearest", fix="use a 32-bit query and k >= 0"
        )
    count = min(k, len(table))
    similarities = sim(np.array([query], dtype=np.uint32), table)
    # One integer key per slot makes ties exact: distance first, then the slot.
    distance = 32 - similarities.astype(np.int64)
    keys = distance * len(table) + np.arange(len(table), dtype=np.int64)
    best = np.partition(keys, count - 1)[:count] if 0 < count < len(table) else keys[:count]
    slots = np.sort(best) % max(1, len(table))
    return Neighbours(slots, similarities[slots])
