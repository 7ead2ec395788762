"""The structure of a machine: what only patches change, and its hash.

It is which program there is and what is claimed of it, which invariants are kept, which experts
there are under which identifiers, in which order of slots, what each does, and whether the ANN unit
may find it. Statistics and the state change all the time and are no part of it; nor are places in
arenas, and which slots between two experts are free.

Source: BEM core spec 9.4; DESIGN 4.
"""

from __future__ import annotations

import hashlib
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bb_core.canonical import canonical_json
from bem_kernel.experts import descriptor as column
from bem_kernel.experts.regions import NAME
from bem_kernel.experts.table import ExpertTable
from bem_kernel.memory.memory import Memory
from bem_kernel.memory.segments import Segment
from bem_kernel.patches.invariant import invariant_bytes
from bem_kernel.patches.program import program_bytes

CHANGED = (Segment.SHARED, Segment.EXPERT, Segment.CODE, Segment.PROOF)
"""The segments in which a table, its invariants and the program lie."""

_OWN = [column.FIRST_GATE, column.FIRST_PLACE, column.FIRST_TERM]  # where in the arenas


def structure_hash(table: ExpertTable) -> str:
    """SHA-256 over the structure, hex; of what lies in memory now, nothing is remembered."""
    config = table.memory.config
    sizes = {"n_bits": config.n_bits, "n_shared_bits": config.n_shared_bits}
    digest = hashlib.sha256(b"bem-structure-2\0" + canonical_json(sizes) + b"\n")
    for record in (invariant_bytes(table.memory), program_bytes(table.memory)):
        digest.update(record + b"\n")
    slots = np.flatnonzero(table.slots.identifiers)
    descriptors = table.arrays[0][slots]
    arenas: tuple[NDArray[Any], ...] = table.arrays[1:4]  # gates, places, terms
    counts = (
        descriptors[:, column.N_GATES],
        descriptors[:, column.N_INPUTS] + descriptors[:, column.N_OUTPUTS],
        descriptors[:, column.N_TERMS],
    )
    runs = [
        _gathered(arena, descriptors[:, first], count)
        for arena, first, count in zip(arenas, _OWN, counts, strict=True)
    ]
    descriptors[:, _OWN] = 0
    names = table.memory.region(Segment.EXPERT, f"{NAME}.names")[slots]
    for array in (descriptors, names, (table.live[slots] != 0).astype(np.uint8), *runs):
        digest.update(len(array).to_bytes(8, "little"))
        digest.update(array.astype(array.dtype.newbyteorder("<"), copy=False).data)
    return digest.hexdigest()


def _gathered(
    arena: NDArray[Any], firsts: NDArray[np.int64], counts: NDArray[np.int64]
) -> NDArray[Any]:
    """Runs of rows, one run after the other."""
    ends = np.cumsum(counts)
    starts, total = ends - counts, int(ends[-1]) if len(ends) else 0
    if np.array_equal(firsts[counts > 0], starts[counts > 0]):  # as in a table that only grew
        return arena[:total]
    return arena[np.repeat(firsts - starts, counts) + np.arange(total)]


def copied_table(table: ExpertTable) -> ExpertTable:
    """The same table in another memory, on which a change can be tried."""
    memory = table.memory
    twin = Memory(memory.config)
    for region in memory.directory()[len(twin.directory()) :]:
        twin.allocate(
            region.segment, region.name, region.dtype, region.shape, protected=region.protected
        )
    for segment in CHANGED:
        used = memory.used_words(segment)
        twin.words(segment)[:used] = memory.words(segment)[:used]
    return table.copied(twin)
