"""Error correction of memory: SECDED(72,64), one check byte for each 64-bit word.

The same extended Hamming code as for identifiers: data bits have the positions from 3 to 71 that
are no powers of two, the seven low bits of the check byte the powers of two, its top bit makes the
parity of all 72 bits even. One flipped bit is corrected, two are detected.

Source: BEM core spec 3.5; R. W. Hamming, "Error detecting and error correcting codes" (1950).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from bem_kernel.errors import ShapeError
from bem_kernel.identifiers.secded import DAMAGED, INTACT

CHECK_BITS = 7
PARITY_BIT = 64 + CHECK_BITS

_DATA_POSITIONS = [position for position in range(3, 72) if position & (position - 1)]
_CHECK_POSITIONS = [1 << j for j in range(CHECK_BITS)]
_MASKS = tuple(
    sum(1 << bit for bit, position in enumerate(_DATA_POSITIONS) if position >> j & 1)
    for j in range(CHECK_BITS)
)


def _bits_at_positions() -> NDArray[np.int8]:
    """(128,) int8: the bit at each position: 0 to 63 data, 64 to 71 check; DAMAGED at none."""
    bits = np.full(1 << CHECK_BITS, DAMAGED, dtype=np.int8)
    bits[0] = PARITY_BIT
    for bit, position in enumerate(_DATA_POSITIONS + _CHECK_POSITIONS):
        bits[position] = bit
    return bits


_BIT_AT = _bits_at_positions()


@dataclass(frozen=True)
class Correction:
    """What `correct` made of an array of words.

    Attributes:
        words: (n,) uint64, corrected; a damaged word is as it was.
        checks: (n,) uint8, corrected likewise.
        flipped: (n,) int8: the bit that was wrong, 0 to 63 in the word, 64 to 71 in the check
            byte; INTACT or DAMAGED.
    """

    words: NDArray[np.uint64]
    checks: NDArray[np.uint8]
    flipped: NDArray[np.int8]


def check_bytes(words: NDArray[np.uint64]) -> NDArray[np.uint8]:
    """The check byte of each word.

    Args:
        words: uint64 of any shape.

    Raises:
        ShapeError: not uint64.
    """
    _check_dtypes(words, None, "ecc.check_bytes")
    checks = _hamming(words)
    checks |= (_odd(words) ^ _odd(checks)) << np.uint8(CHECK_BITS)
    return checks


def correct(words: NDArray[np.uint64], checks: NDArray[np.uint8]) -> Correction:
    """Correct one flipped bit in each word and its check byte.

    Three and more flipped bits may pass for one; a hash over the result tells.

    Args:
        words: uint64 of any shape.
        checks: uint8 of the same shape.

    Raises:
        ShapeError: wrong types, or the shapes differ.
    """
    _check_dtypes(words, checks, "ecc.correct")
    position = (_hamming(words) ^ checks) & np.uint8((1 << CHECK_BITS) - 1)
    odd = _odd(words) ^ _odd(checks) == 1
    even = np.where(position == 0, np.int8(INTACT), np.int8(DAMAGED))
    flipped = np.where(odd, _BIT_AT[position], even)
    in_word, in_check = (flipped >= 0) & (flipped < 64), flipped >= 64
    bit = np.where(flipped >= 0, flipped, np.int8(0)).astype(np.uint64)
    one = np.uint64(1)
    return Correction(
        words ^ np.where(in_word, one << (bit & np.uint64(63)), np.uint64(0)),
        checks ^ np.where(in_check, one << (bit & np.uint64(7)), np.uint64(0)).astype(np.uint8),
        flipped,
    )


def _hamming(words: NDArray[np.uint64]) -> NDArray[np.uint8]:
    """The seven check bits of each word."""
    checks = np.zeros(words.shape, dtype=np.uint8)
    for j, mask in enumerate(_MASKS):
        checks |= _odd(words & np.uint64(mask)) << np.uint8(j)
    return checks


def _odd(words: NDArray[np.uint64] | NDArray[np.uint8]) -> NDArray[np.uint8]:
    parities: NDArray[np.uint8] = np.bitwise_count(words) & np.uint8(1)
    return parities


def _check_dtypes(words: NDArray[np.uint64], checks: NDArray[np.uint8] | None, where: str) -> None:
    if words.dtype != np.uint64:
        raise ShapeError(f"words are {words.dtype}", where=where, fix="give uint64")
    if checks is not None and (checks.dtype != np.uint8 or checks.shape != words.shape):
        raise ShapeError(
            f"checks are {checks.dtype} of shape {checks.shape}",
            where=where,
            fix=f"give uint8 of shape {words.shape}",
        )
