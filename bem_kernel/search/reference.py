"""Nearest neighbours by sorting the whole table, in plain numpy: what the kernels must equal.

Source: BEM core spec 3.3, 6.3.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from bem_kernel.errors import ShapeError
from bem_kernel.identifiers.gray import sim
from bem_kernel.search.neighbours import Neighbours


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
            where="search.nearest",
            fix="give (n,) uint32",
        )
    if k < 0 or not 0 <= query < 1 << 32:
        raise ShapeError(
            f"query {query}, k {k}", where="search.nearest", fix="use a 32-bit query and k >= 0"
        )
    similarities = sim(np.array([query], dtype=np.uint32), table)
    distances = 32 - similarities.astype(np.int64)
    slots = np.argsort(distances, kind="stable")[:k]
    return Neighbours(slots, similarities[slots])
