"""Observations: what the policy sees, obs = O(s, M), at most 64 bits.

An observation is a tuple of taps, each of which gives one or more bits: a state bit of a lane, or
of all lanes together, or integer arithmetic on fields of shared memory. The first tap gives the
lowest bits.

Source: BEM core spec 6.1.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import IntEnum

import numpy as np
from numpy.typing import NDArray

from bem_kernel.errors import RunnerError
from bem_kernel.experts.place import MAX_BASE, MAX_STRIDE, MAX_TERMS, Field, read_field
from bem_kernel.lanes import WORD_BITS, Planes, Word

MAX_OBSERVATION_BITS = 64


class Over(IntEnum):
    """Which lanes a state bit is read from."""

    LANE = 0
    """The lane that observes: the first, where one expert is chosen for all."""
    ANY = 1
    """1 if the bit is 1 in any lane."""
    ALL = 2
    """1 if the bit is 1 in all lanes."""


@dataclass(frozen=True, slots=True)
class StateTap:
    """One bit: a state bit."""

    bit: int
    over: Over = Over.LANE

    @property
    def width(self) -> int:
        """Bits of the observation that it gives."""
        return 1


@dataclass(frozen=True, slots=True)
class NumberTap:
    """The low `width` bits of (constant + sum of stride * field) >> shift, two's complement.

    Attributes:
        terms: (field, stride) pairs, fields of shared memory.
        width: bits that it gives, 1 to 64.
        constant: within 2**48.
        shift: 0 to 63.
    """

    terms: tuple[tuple[Field, int], ...]
    width: int
    constant: int = 0
    shift: int = 0


@dataclass(frozen=True, slots=True)
class SignTap:
    """One bit: whether constant + sum of stride * field is 0 or more, which compares numbers."""

    terms: tuple[tuple[Field, int], ...]
    constant: int = 0

    @property
    def width(self) -> int:
        """Bits of the observation that it gives."""
        return 1


Tap = StateTap | NumberTap | SignTap

# Columns of an encoded tap, and the kinds beyond those of `Over`.
KIND, FIRST, COUNT, CONSTANT, SHIFT, WIDTH = range(6)
TAP_COLUMNS = 6
KIND_NUMBER, KIND_SIGN = 3, 4


@dataclass(frozen=True)
class EncodedTaps:
    """Taps as kernels read them.

    Attributes:
        taps: (n, TAP_COLUMNS) int64; FIRST is the state bit, or the first term.
        terms: (m, 3) int64, rows (stride, offset, width).
    """

    taps: NDArray[np.int64]
    terms: NDArray[np.int64]


def shared_field(field: Field) -> NumberTap:
    """The bits of a field of shared memory."""
    return NumberTap(((field, 1),), field.width)


def encode_taps(taps: Sequence[Tap], n_bits: int, n_shared_bits: int) -> EncodedTaps:
    """Check taps against a machine and turn them into arrays.

    Args:
        taps: what is observed.
        n_bits: N.
        n_shared_bits: K.

    Raises:
        RunnerError: a bit, field or number is out of range, or there are more than 64 bits.
    """
    rows, terms = [], list[tuple[int, int, int]]()
    for position, tap in enumerate(taps):
        where = f"observation: tap {position}"
        if isinstance(tap, StateTap):
            if not 0 <= tap.bit < n_bits:
                raise RunnerError(
                    f"state bit {tap.bit} does not exist", where=where, fix=f"use 0 to {n_bits - 1}"
                )
            rows.append((int(tap.over), tap.bit, 0, 0, 0, 1))
            continue
        check_terms(tap.terms, tap.constant, n_shared_bits, where)
        kind, shift = KIND_SIGN, 0
        if isinstance(tap, NumberTap):
            kind, shift = KIND_NUMBER, tap.shift
            if not 1 <= tap.width <= WORD_BITS or not 0 <= shift < WORD_BITS:
                raise RunnerError(
                    f"width {tap.width}, shift {shift}", where=where, fix="use 1 to 64 and 0 to 63"
                )
        rows.append((kind, len(terms), len(tap.terms), tap.constant, shift, tap.width))
        terms += [(stride, field.offset, field.width) for field, stride in tap.terms]
    total = sum(tap.width for tap in taps)
    if total > MAX_OBSERVATION_BITS:
        raise RunnerError(
            f"{total} bits", where="observation", fix=f"observe at most {MAX_OBSERVATION_BITS}"
        )
    return EncodedTaps(
        np.array(rows, dtype=np.int64).reshape(-1, TAP_COLUMNS),
        np.array(terms, dtype=np.int64).reshape(-1, 3),
    )


def check_terms(
    terms: Sequence[tuple[Field, int]], constant: int, n_shared_bits: int, where: str
) -> None:
    """Refuse a sum over fields that could overflow or read beyond shared memory.

    Raises:
        RunnerError: a stride, the constant or a field is out of range.
    """
    strides = [stride for _, stride in terms]
    if (
        len(terms) > MAX_TERMS
        or max(map(abs, strides), default=0) > MAX_STRIDE
        or abs(constant) >= MAX_BASE
    ):
        raise RunnerError(
            f"constant {constant}, strides {strides}",
            where=where,
            fix="keep the constant within 2**48, strides within 2**24 and terms to 32",
        )
    end = max((field.offset + field.width for field, _ in terms), default=0)
    if end > n_shared_bits:
        raise RunnerError(
            f"a field ends at bit {end} of shared memory, which has {n_shared_bits}",
            where=where,
            fix="use a lower field",
        )


def observe(taps: Sequence[Tap], planes: Planes, shared: Word, active: Word, lane: int = 0) -> int:
    """The observation, plainly; kernels compute the same.

    Args:
        taps: what is observed.
        planes: (N, words) uint64, the state.
        shared: (K / 64,) uint64, M.
        active: (words,) uint64, the lanes in use.
        lane: the one that observes.

    Returns:
        An integer of 64 bits.
    """
    observation, position = 0, 0
    for tap in taps:
        if isinstance(tap, StateTap):
            plane = planes[tap.bit]
            if tap.over is Over.LANE:
                value = int(plane[lane // WORD_BITS]) >> lane % WORD_BITS & 1
            elif tap.over is Over.ANY:
                value = int((plane & active).any())
            else:
                value = int(not (~plane & active).any())
        else:
            total = tap.constant + sum(s * read_field(shared, field) for field, s in tap.terms)
            if isinstance(tap, NumberTap):
                value = total >> tap.shift & (1 << tap.width) - 1
            else:
                value = int(total >= 0)
        observation |= value << position
        position += tap.width
    return observation
