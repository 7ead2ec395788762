"""The seven segments of memory, and what a program may do in each.

Rights bind programs, that is loads and stores by address. The machine's own units write where
programs may not: EXPERT and CODE change through patches, TRACE through the log unit.

Source: BEM core spec 2.1; BEM TEACH 2.1.
"""

from __future__ import annotations

from enum import IntEnum, IntFlag


class Segment(IntEnum):
    """A part of memory; the number is the upper 16 bits of a program address."""

    STATE = 0
    SHARED = 1
    EXPERT = 2
    CODE = 3
    TRACE = 4
    PROOF = 5
    TEACH = 6


class Rights(IntFlag):
    """What a program may do with a word."""

    NONE = 0
    READ = 1
    WRITE = 2


PROGRAM_RIGHTS: dict[Segment, Rights] = {
    Segment.STATE: Rights.READ | Rights.WRITE,
    Segment.SHARED: Rights.READ | Rights.WRITE,
    Segment.EXPERT: Rights.READ,
    Segment.CODE: Rights.READ,
    Segment.TRACE: Rights.READ,
    Segment.PROOF: Rights.READ | Rights.WRITE,
    Segment.TEACH: Rights.READ | Rights.WRITE,
}
"""The most a program may do in a segment; a protected region is read-only in any."""

SEGMENT_SHIFT = 48
INDEX_MASK = (1 << SEGMENT_SHIFT) - 1


def address_of(segment: Segment, word: int) -> int:
    """The program address `segment << 48 | word` of a word of a segment."""
    return int(segment) << SEGMENT_SHIFT | word
