"""Checked access by program address, for kernels: a fault is a negative number, never a raise.

Memory is one array of words; `spans[segment]` is where a segment begins in it and how many of its
words are allocated, `rights[i]` what programs may do with words 8*i to 8*i + 7.

Source: BEM core spec 2.1, 4.1.
"""

from __future__ import annotations

import numpy as np

from bem_kernel.compiled import kernel
from bem_kernel.memory.faults import FAULT_BOUNDS, FAULT_RIGHTS, FAULT_SEGMENT
from bem_kernel.memory.segments import INDEX_MASK, SEGMENT_SHIFT, Rights

READ = int(Rights.READ)
WRITE = int(Rights.WRITE)

_SHIFT = np.uint64(SEGMENT_SHIFT)
_MASK = np.uint64(INDEX_MASK)


@kernel("int64(int64[:, ::1], uint8[::1], uint64, int64)")
def locate(spans, rights, address, needed):  # type: ignore[no-untyped-def]
    """Index into the words of memory of one program address, or a fault.

    Args:
        spans: (segments, 2) int64, base and allocated words of each segment; rows after the
            seventh are windows of the caller's own.
        rights: (lines,) uint8, rights of each line of 8 words.
        address: uint64 program address.
        needed: READ, WRITE or both.

    Returns:
        The index, or FAULT_SEGMENT, FAULT_BOUNDS or FAULT_RIGHTS.
    """
    row = np.int64(address >> _SHIFT)
    if row >= len(spans):
        return np.int64(FAULT_SEGMENT)
    index = np.int64(address & _MASK)
    if index >= spans[row, 1]:
        return np.int64(FAULT_BOUNDS)
    place = spans[row, 0] + index
    if np.int64(rights[place >> 3]) & needed != needed:
        return np.int64(FAULT_RIGHTS)
    return place


@kernel("int64(int64[:, ::1], uint8[::1], uint64, int64, int64)")
def locate_block(spans, rights, address, count, needed):  # type: ignore[no-untyped-def]
    """Like `locate` for `count` words from `address`, all in one segment.

    Args:
        spans: as in `locate`.
        rights: as in `locate`.
        address: uint64 program address of the first word.
        count: number of words; 0 is allowed at and before the end, less than 0 is out of bounds.
        needed: READ, WRITE or both, for every word.

    Returns:
        Index of the first word, or a fault.
    """
    row = np.int64(address >> _SHIFT)
    if row >= len(spans):
        return np.int64(FAULT_SEGMENT)
    index = np.int64(address & _MASK)
    if index > spans[row, 1] or count < 0 or count > spans[row, 1] - index:
        return np.int64(FAULT_BOUNDS)
    place = spans[row, 0] + index
    if count > 0:
        for line in range(place >> 3, ((place + count - 1) >> 3) + 1):
            if np.int64(rights[line]) & needed != needed:
                return np.int64(FAULT_RIGHTS)
    return place
