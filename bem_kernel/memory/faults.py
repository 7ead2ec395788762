"""Faults of checked access: negative numbers that kernels return, and their words."""

from __future__ import annotations

from bem_kernel.memory.segments import INDEX_MASK, SEGMENT_SHIFT, Segment

FAULT_SEGMENT = -1
"""The address is in no segment."""

FAULT_BOUNDS = -2
"""The word belongs to no region."""

FAULT_RIGHTS = -3
"""The word may not be read, or not be written, by programs."""


def fault_text(fault: int, address: int) -> str:
    """What a fault at a program address means, in words."""
    number, index = address >> SEGMENT_SHIFT, address & INDEX_MASK
    if fault == FAULT_SEGMENT:
        return f"address {address:#x} is in segment {number}, the last is {len(Segment) - 1}"
    place = f"word {index} of {Segment(number).name}"
    return f"{place} is {'not allocated' if fault == FAULT_BOUNDS else 'read-only'}"
