"""Room for the kernels that run experts: values of slots, resolved addresses, pending writes.

Nothing here outlives a batch, so none of it lies in the machine's memory. One scratch serves one
thread of execution.
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

BLOCK = 64
"""Words that go through an expert together."""

_PITCH = BLOCK + 8  # words from one slot to the next; powers of two would share cache sets
_LINE_WORDS = 8
N_COUNTS = 8
# Cells of `Scratch.counts`.
N_PROPOSALS = 0
FAULT_SLOT = 1
PROPOSAL_COLUMNS = 4


@dataclass(frozen=True)
class Scratch:
    """What `batch.apply_expert` and its like need beside the table.

    Attributes:
        slots: (slots, 72) uint64, values of circuit slots for a block of words.
        rows: (places,) int64, the bit of each place of the expert that runs.
        active: (BLOCK,) uint64, the lanes in which it runs.
        proposals: (bits, 4) int64, pending writes to shared memory.
        index: (cells,) int64, where to find the proposal of a bit; a power of two.
        counts: (N_COUNTS,) int64, number of proposals, slot of the last fault.
        fingerprint: (2,) uint64, fingerprint of the state, and whether it is kept up to date.
        head: (max_experts,) int64, first lane of each expert's list, -1 for none.
        following: (lanes,) int64, next lane of the list.
        groups: (lanes,) int64, the experts that have lanes.
        group_mask: (words,) uint64, lanes of one group.
    """

    slots: NDArray[np.uint64]
    rows: NDArray[np.int64]
    active: NDArray[np.uint64]
    proposals: NDArray[np.int64]
    index: NDArray[np.int64]
    counts: NDArray[np.int64]
    fingerprint: NDArray[np.uint64]
    head: NDArray[np.int64]
    following: NDArray[np.int64]
    groups: NDArray[np.int64]
    group_mask: NDArray[np.uint64]

    @cached_property
    def arrays(self) -> tuple[NDArray[np.int64] | NDArray[np.uint64], ...]:
        """What kernels take as `scratch`: the fields, in order."""
        return tuple(getattr(self, field.name) for field in fields(self))

    @property
    def fault_slot(self) -> int:
        """The slot of the expert that the last fault was about."""
        return int(self.counts[FAULT_SLOT])


def make_scratch(
    n_slots: int, n_places: int, n_pending: int, *, max_experts: int, words: int
) -> Scratch:
    """Fresh scratch.

    Args:
        n_slots: most circuit slots of any expert.
        n_places: most inputs and targets of any expert.
        n_pending: most bits of shared memory that one batch writes.
        max_experts: slots of the table.
        words: words of a plane.
    """
    lanes = 64 * words
    cells = 1 << (2 * max(1, n_pending) - 1).bit_length()  # at most half full
    return Scratch(
        slots=_aligned_rows(max(1, n_slots)),
        rows=np.zeros(max(1, n_places), dtype=np.int64),
        active=np.zeros(BLOCK, dtype=np.uint64),
        proposals=np.zeros((max(1, n_pending), PROPOSAL_COLUMNS), dtype=np.int64),
        index=np.zeros(cells, dtype=np.int64),
        counts=np.zeros(N_COUNTS, dtype=np.int64),
        fingerprint=np.zeros(2, dtype=np.uint64),
        head=np.full(max_experts, -1, dtype=np.int64),
        following=np.zeros(lanes, dtype=np.int64),
        groups=np.zeros(lanes, dtype=np.int64),
        group_mask=np.zeros(words, dtype=np.uint64),
    )


def _aligned_rows(n_rows: int) -> NDArray[np.uint64]:
    """(n_rows, _PITCH) uint64 of zeros whose rows start at multiples of 64 bytes."""
    raw = np.zeros(n_rows * _PITCH + _LINE_WORDS, dtype=np.uint64)
    skip = -raw.ctypes.data % (8 * _LINE_WORDS) // 8
    return raw[skip : skip + n_rows * _PITCH].reshape(n_rows, _PITCH)
