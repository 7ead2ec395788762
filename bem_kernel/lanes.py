"""Bit planes: one state bit of all lanes in consecutive 64-bit words.

A plane array is (bits, words) uint64; bit j of word w of a plane is lane 64*w + j. Lanes past
the last one in use are padding: they start as 0, engines compute nonsense in them, and unpacking
drops them.

Source: BEM core spec 2.2.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from bem_kernel.errors import ShapeError

WORD_BITS = 64

Planes = NDArray[np.uint64]
"""(bits, words) uint64 bit planes."""

Word = NDArray[np.uint64]
"""(words,) uint64, one bit per lane."""

Bits = NDArray[np.bool_]
"""(lanes, bits) bool, one row per lane."""


def words_for(lanes: int) -> int:
    """Number of 64-bit words that hold `lanes` lanes, at least one."""
    return max(1, -(-lanes // WORD_BITS))


def lane_mask(lanes: int, words: int | None = None) -> Word:
    """The word that is 1 in lanes 0 .. lanes-1 and 0 in the padding.

    Args:
        lanes: number of lanes in use.
        words: length of the result, (lanes + 63) // 64 if None.

    Returns:
        (words,) uint64.

    Raises:
        ShapeError: `words` cannot hold `lanes` lanes.
    """
    length = words_for(lanes) if words is None else words
    if not 0 <= lanes <= WORD_BITS * length:
        raise ShapeError(
            f"{lanes} lanes do not fit in {length} words",
            where="lanes.lane_mask",
            fix=f"use 0 to {WORD_BITS * length} lanes",
        )
    mask: Word = pack_bits((np.arange(WORD_BITS * length) < lanes)[:, None])[0]
    return mask


def pack_bits(bits: Bits) -> Planes:
    """Transpose one row of bits per lane into bit planes.

    Args:
        bits: (lanes, bits) bool.

    Returns:
        (bits, ceil(lanes / 64)) uint64; bit j of word w is lane 64*w + j, padding is 0.

    Raises:
        ShapeError: `bits` is not two-dimensional.
    """
    rows = np.asarray(bits, dtype=np.bool_)
    if rows.ndim != 2:
        raise ShapeError(
            f"expected (lanes, bits), got shape {rows.shape}",
            where="lanes.pack_bits",
            fix="give one row of bits per lane",
        )
    lanes, width = rows.shape
    padded = np.zeros((width, WORD_BITS * words_for(lanes)), dtype=np.bool_)
    padded[:, :lanes] = rows.T
    packed = np.packbits(padded, axis=1, bitorder="little")
    planes: Planes = packed.view("<u8").astype(np.uint64, copy=False)
    return planes


def unpack_bits(planes: Planes, lanes: int) -> Bits:
    """Inverse of `pack_bits`.

    Args:
        planes: (bits, words) uint64.
        lanes: number of lanes to return, at most 64 * words.

    Returns:
        (lanes, bits) bool.

    Raises:
        ShapeError: `planes` is not (bits, words) uint64 or holds fewer lanes.
    """
    check_planes(planes, where="lanes.unpack_bits")
    if not 0 <= lanes <= WORD_BITS * planes.shape[1]:
        raise ShapeError(
            f"{lanes} lanes asked of {planes.shape[1]} words",
            where="lanes.unpack_bits",
            fix=f"ask for 0 to {WORD_BITS * planes.shape[1]}",
        )
    octets = np.ascontiguousarray(planes).astype("<u8", copy=False).view(np.uint8)
    bits = np.unpackbits(octets, axis=1, bitorder="little")
    return np.ascontiguousarray(bits[:, :lanes].T).astype(np.bool_)


def pack_lanes(values: NDArray[np.uint64], width: int) -> Planes:
    """Transpose one integer per lane into bit planes.

    Args:
        values: (lanes,) unsigned integers, one per lane.
        width: number of planes, in bits, 0 to 64.

    Returns:
        (width, ceil(lanes / 64)) uint64; plane i is bit i of the integers.

    Raises:
        ShapeError: a value does not fit in `width` bits, or `values` is not one-dimensional.

    Source: BEM core spec 2.2.
    """
    if not 0 <= width <= WORD_BITS:
        raise ShapeError(f"width is {width}", where="lanes.pack_lanes", fix="use 0 to 64 bits")
    raw = np.asarray(values)
    if raw.ndim != 1 or raw.dtype.kind not in "ui" or (raw.dtype.kind == "i" and (raw < 0).any()):
        raise ShapeError(
            f"expected (lanes,) unsigned integers, got {raw.dtype} of shape {raw.shape}",
            where="lanes.pack_lanes",
            fix="give one integer of 0 or more per lane",
        )
    numbers = raw.astype(np.uint64)
    if width < WORD_BITS and (numbers >> np.uint64(width)).any():
        raise ShapeError(
            f"value {int(numbers.max())} does not fit in {width} bits",
            where="lanes.pack_lanes",
            fix="use more planes",
        )
    shifts = np.arange(width, dtype=np.uint64)
    return pack_bits(((numbers[:, None] >> shifts) & np.uint64(1)).astype(np.bool_))


def unpack_lanes(planes: Planes, lanes: int) -> NDArray[np.uint64]:
    """Inverse of `pack_lanes`.

    Args:
        planes: (width, words) uint64, at most 64 planes.
        lanes: number of lanes to return.

    Returns:
        (lanes,) uint64.

    Raises:
        ShapeError: more than 64 planes, or fewer lanes than asked.
    """
    bits = unpack_bits(planes, lanes)
    if bits.shape[1] > WORD_BITS:
        raise ShapeError(
            f"{bits.shape[1]} planes do not fit in one integer",
            where="lanes.unpack_lanes",
            fix="unpack at most 64 planes at a time",
        )
    shifts = np.arange(bits.shape[1], dtype=np.uint64)
    weighted = bits.astype(np.uint64) << shifts
    values: NDArray[np.uint64] = np.bitwise_or.reduce(weighted, axis=1, initial=np.uint64(0))
    return values


def broadcast_bits(bits: Sequence[int | bool], words: int) -> Planes:
    """The same bits in every lane, padding included.

    Args:
        bits: one 0/1 value per plane.
        words: number of words per plane.

    Returns:
        (len(bits), words) uint64.
    """
    column = np.asarray([bool(b) for b in bits], dtype=np.bool_)[:, None]
    full = np.uint64(0xFFFF_FFFF_FFFF_FFFF)
    return np.repeat(np.where(column, full, np.uint64(0)), words, axis=1)


def check_planes(planes: Planes, where: str, n_bits: int | None = None) -> None:
    """Refuse anything that is not (n_bits, words) uint64.

    Raises:
        ShapeError: wrong dtype, dimensions or number of planes.
    """
    if planes.dtype != np.uint64 or planes.ndim != 2:
        raise ShapeError(
            f"expected (bits, words) uint64, got {planes.dtype} of shape {planes.shape}",
            where=where,
            fix="pack with lanes.pack_bits or lanes.pack_lanes",
        )
    if n_bits is not None and planes.shape[0] != n_bits:
        raise ShapeError(
            f"{planes.shape[0]} planes where {n_bits} are needed",
            where=where,
            fix="give one plane per bit",
        )
