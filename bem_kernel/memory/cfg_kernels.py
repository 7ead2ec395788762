"""The node of an instruction, compiled: for units that follow a program as it runs."""

from __future__ import annotations

import numpy as np

from bem_kernel.compiled import kernel

NO_NODE = -1


@kernel("int64(int64[::1], int64[::1], int64, int64)")
def row_at(starts, ends, count, pc):  # type: ignore[no-untyped-def]
    """The row of the node that an instruction belongs to, or NO_NODE.

    Args:
        starts: (capacity,) int64, rising in the first `count` rows.
        ends: (capacity,) int64.
        count: number of nodes.
        pc: the instruction.
    """
    low, high = np.int64(0), count
    while low < high:  # the first row that starts after pc
        middle = (low + high) >> np.int64(1)
        if starts[middle] <= pc:
            low = middle + np.int64(1)
        else:
            high = middle
    if low == 0 or pc >= ends[low - 1]:
        return np.int64(NO_NODE)
    return low - 1
