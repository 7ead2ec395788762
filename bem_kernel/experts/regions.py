"""Where the expert table lies in memory: its regions and arenas, made or found.

Source: BEM core spec 2.1, 2.3.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import DTypeLike, NDArray

from bem_kernel.errors import ExpertError
from bem_kernel.experts import descriptor as column
from bem_kernel.experts.arena import Arena
from bem_kernel.memory.memory import Memory
from bem_kernel.memory.segments import Segment

NAME = "experts"
"""The table's regions begin with it."""

_ROUNDING_WORDS = 64  # regions begin and end at whole cache lines

_REGIONS: dict[str, tuple[Segment, DTypeLike, tuple[int, ...]]] = {
    "descriptors": (Segment.EXPERT, np.int64, (column.DESCRIPTOR_COLUMNS,)),
    "names": (Segment.EXPERT, np.uint8, (column.NAME_BYTES,)),
    "codes": (Segment.EXPERT, np.uint32, ()),
    "live": (Segment.EXPERT, np.uint8, ()),
    "duals_q16": (Segment.SHARED, np.int64, ()),
    "wins": (Segment.SHARED, np.int64, ()),
    "visits": (Segment.SHARED, np.int64, ()),
}


@dataclass(frozen=True)
class ArenaSizes:
    """Rows that a new table makes room for.

    Attributes:
        gates: of all circuits together.
        places: inputs and outputs of all experts together.
        terms: address terms of all experts together.
    """

    gates: int
    places: int
    terms: int


def table_regions(memory: Memory) -> dict[str, NDArray[Any]]:
    """The regions of the table that have a row per slot, made if memory has none.

    Raises:
        SegmentError: there is no room.
        ExpertError: the region in memory has another type or shape.
    """
    size, regions = memory.config.max_experts, {}
    for name, (segment, dtype, rest) in _REGIONS.items():
        regions[name] = _region(memory, segment, name, np.zeros((size, *rest), dtype))
    return regions


def table_seal(memory: Memory) -> NDArray[np.uint8]:
    """The (1,) region that is 1 once only patches change the table, made if memory has none.

    Raises:
        SegmentError: there is no room.
        ExpertError: the region in memory has another type or shape.
    """
    return _region(memory, Segment.SHARED, "sealed", np.zeros(1, dtype=np.uint8))


def _region(memory: Memory, segment: Segment, name: str, like: NDArray[Any]) -> NDArray[Any]:
    full = f"{NAME}.{name}"
    if not memory.has(segment, full):
        memory.allocate(segment, full, like.dtype, like.shape, protected=True)
    region = memory.region(segment, full)
    if region.shape != like.shape or region.dtype != like.dtype:
        raise ExpertError(
            f"{name} are {region.dtype} of shape {region.shape}",
            where="expert table",
            fix="load another image of the memory",
        )
    return region


def table_arenas(memory: Memory, sizes: ArenaSizes | None) -> tuple[Arena, Arena, Arena]:
    """Gates, places and terms, in that order, made if memory has none.

    Args:
        memory: where.
        sizes: of new arenas; None shares out what EXPERT has free.

    Raises:
        SegmentError: there is no room.
        ExpertError: an arena in memory has another type or shape.
    """
    used = _region(memory, Segment.EXPERT, "used", np.zeros(3, dtype=np.int64))
    free = max(0, memory.free_words(Segment.EXPERT) - _ROUNDING_WORDS)
    if sizes is None:  # three, four and one eighths of the words; a gate takes one and a half
        sizes = ArenaSizes(
            free // 4, free // 2 // column.PLACE_COLUMNS, free // 8 // column.TERM_COLUMNS
        )
    shapes = (
        (sizes.gates, 3),
        (sizes.places, column.PLACE_COLUMNS),
        (sizes.terms, column.TERM_COLUMNS),
    )
    i4, i8 = np.dtype(np.int32), np.dtype(np.int64)
    return (
        Arena(memory, f"{NAME}.gates", i4, shapes[0], used[:1]),
        Arena(memory, f"{NAME}.places", i8, shapes[1], used[1:2]),
        Arena(memory, f"{NAME}.terms", i8, shapes[2], used[2:]),
    )
