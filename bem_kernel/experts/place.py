"""Places: bits of the state or of shared memory, at addresses known when an expert runs.

A place is ``base + sum of stride * field``, where a field is an unsigned integer that lies in the
bits of shared memory M. M is the same for all lanes, so a place is one bit for all lanes. An
address outside its space is refused before anything is changed.

Source: BEM core spec 2.3, 5.1 (R_spec, W_spec).
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum

from bem_kernel.errors import ExpertError
from bem_kernel.lanes import WORD_BITS, Word

MAX_FIELD_BITS = 32
MAX_STRIDE = 1 << 24
MAX_BASE = 1 << 48
MAX_TERMS = 32
"""With these limits an address stays within 2**62, so no integer ever wraps."""


class Space(IntEnum):
    """Where a bit lies; the values are part of the stored form and never change."""

    STATE = 0
    SHARED = 1


@dataclass(frozen=True, slots=True)
class Field:
    """An unsigned integer in shared memory: bits offset .. offset+width-1, the lowest first.

    Raises:
        ExpertError: the offset is negative, or the width is not 1 to 32.
    """

    offset: int
    width: int

    def __post_init__(self) -> None:
        if not 0 <= self.offset < MAX_BASE or not 1 <= self.width <= MAX_FIELD_BITS:
            raise ExpertError(
                f"offset {self.offset}, width {self.width}",
                where="field",
                fix=f"use an offset of 0 or more and 1 to {MAX_FIELD_BITS} bits",
            )


@dataclass(frozen=True, slots=True)
class Place:
    """One bit: base + sum of stride * field.

    Attributes:
        space: the state s or shared memory M.
        base: the bit when every field is 0.
        terms: (field, stride) pairs; a stride may be negative.

    Raises:
        ExpertError: a number is out of range.
    """

    space: Space
    base: int
    terms: tuple[tuple[Field, int], ...] = ()

    def __post_init__(self) -> None:
        strides = [stride for _, stride in self.terms]
        if (
            not -MAX_BASE < self.base < MAX_BASE
            or len(self.terms) > MAX_TERMS
            or max(map(abs, strides), default=0) > MAX_STRIDE
        ):
            raise ExpertError(
                f"base {self.base}, strides {strides}",
                where="place",
                fix="keep the base within 2**48, strides within 2**24 and terms to 32",
            )
        if not self.terms and self.base < 0:
            raise ExpertError(f"bit {self.base}", where="place", fix="use bits from 0 up")


@dataclass(frozen=True, slots=True)
class Scatter:
    """Where one output of an expert goes, and in which lanes.

    Attributes:
        place: the destination.
        enable: the circuit output that must be 1 in a lane for the write to happen there; None
            writes in every active lane.
    """

    place: Place
    enable: int | None = None


def state_bit(bit: int) -> Place:
    """The place of a fixed state bit."""
    return Place(Space.STATE, bit)


def shared_bit(bit: int) -> Place:
    """The place of a fixed bit of shared memory."""
    return Place(Space.SHARED, bit)


def read_field(shared: Word, field: Field) -> int:
    """The integer in a field.

    Args:
        shared: (K / 64,) uint64, shared memory M; bit b is bit b % 64 of word b // 64.
        field: where it lies.

    Raises:
        ExpertError: the field ends beyond M.
    """
    if field.offset + field.width > WORD_BITS * len(shared):
        raise ExpertError(
            f"bits {field.offset} to {field.offset + field.width - 1} are not all in shared memory",
            where="field",
            fix=f"use bits 0 to {WORD_BITS * len(shared) - 1}",
        )
    word, shift = divmod(field.offset, WORD_BITS)
    pair = int.from_bytes(shared[word : word + 2].astype("<u8").tobytes(), "little")
    return pair >> shift & (1 << field.width) - 1


def write_field(shared: Word, field: Field, value: int) -> None:
    """Put an integer into a field of M, in place.

    Raises:
        ExpertError: the value does not fit, or the field ends beyond M.
    """
    old = read_field(shared, field)
    if not 0 <= value < 1 << field.width:
        raise ExpertError(
            f"{value} does not fit in {field.width} bits", where="field", fix="widen the field"
        )
    changed = old ^ value
    for i in range(field.width):
        if changed >> i & 1:
            word, bit = divmod(field.offset + i, WORD_BITS)
            shared[word] ^= shared.dtype.type(1 << bit)


def locate(place: Place, n_bits: int, shared: Word, where: str) -> int:
    """The bit that a place means now.

    Args:
        place: the address.
        n_bits: N, the number of state bits.
        shared: (K / 64,) uint64, M.
        where: for messages.

    Raises:
        ExpertError: the address or one of its fields is out of range.
    """
    bit = place.base + sum(stride * read_field(shared, field) for field, stride in place.terms)
    limit = n_bits if place.space is Space.STATE else WORD_BITS * len(shared)
    if not 0 <= bit < limit:
        raise ExpertError(
            f"{place.space.name.lower()} bit {bit} does not exist",
            where=where,
            fix=f"keep the address within 0 to {limit - 1}",
        )
    return bit
