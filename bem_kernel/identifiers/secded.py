"""The error-correcting code of identifiers: SECDED over their other 26 bits.

An extended Hamming code: each of the 32 bits but one has a position from 1 to 31; the five check
bits make the XOR of the positions of all set bits 0, and the last bit makes the parity of the word
even. One flipped bit anywhere is corrected, two are detected.

Source: BEM core spec 1.2, 3.5; R. W. Hamming, "Error detecting and error correcting codes" (1950).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from bem_kernel.errors import IdentifierError

ECC_BITS = 6
ECC_SHIFT = 20
_ECC_MASK = ((1 << ECC_BITS) - 1) << ECC_SHIFT
_PARITY_BIT = ECC_SHIFT + 5

# Hamming positions without the powers of two for the 26 data bits from the lowest up; the check
# bit of position 2**j is ecc bit j, and ecc bit 5 is the parity.
_DATA_BITS = [bit for bit in range(32) if not _ECC_MASK >> bit & 1]
_POSITION = dict(zip(_DATA_BITS, (p for p in range(1, 32) if p & (p - 1)), strict=True))
_POSITION |= {ECC_SHIFT + j: 1 << j for j in range(5)}

CHECK_MASKS = tuple(
    sum(1 << bit for bit, position in _POSITION.items() if position >> j & 1) for j in range(5)
)
"""For each bit j of a syndrome, the bits of a word whose parity it is."""

BIT_AT = (_PARITY_BIT, *(bit for _, bit in sorted((p, b) for b, p in _POSITION.items())))
"""The bit of a word at each Hamming position; the parity bit at position 0."""

INTACT = -1
"""`flipped` of a word without damage."""

DAMAGED = -2
"""`flipped` of a word with two wrong bits, which cannot be corrected."""


@dataclass(frozen=True)
class Corrected:
    """What `correct_words` made of an array of code words.

    Attributes:
        words: (n,) uint32, corrected; a damaged word is as it was.
        flipped: (n,) int8, the bit that was wrong, INTACT or DAMAGED.
    """

    words: NDArray[np.uint32]
    flipped: NDArray[np.int8]


def protect(data: int) -> int:
    """The code word of one 32-bit word whose ecc field is 0."""
    word = data | syndrome(data) << ECC_SHIFT  # the five check bits make the syndrome zero
    return word | (word.bit_count() & 1) << _PARITY_BIT


def syndrome(word: int) -> int:
    """XOR of the Hamming positions of the set bits; 0 for an undamaged word."""
    return sum(((word & mask).bit_count() & 1) << j for j, mask in enumerate(CHECK_MASKS))


def correct(word: int) -> tuple[int, int]:
    """One word corrected, and the bit that was wrong, INTACT or DAMAGED."""
    position, odd = syndrome(word), word.bit_count() & 1
    if odd:
        return word ^ 1 << BIT_AT[position], BIT_AT[position]
    return word, DAMAGED if position else INTACT


def protect_words(data: NDArray[np.uint32]) -> NDArray[np.uint32]:
    """`protect`, elementwise.

    Args:
        data: uint32 of any shape, the ecc field 0 in each.

    Raises:
        IdentifierError: not uint32, or an ecc field is not 0.
    """
    _check_dtype(data, "secded.protect_words")
    if (data & np.uint32(_ECC_MASK)).any():
        raise IdentifierError(
            "an ecc field is not 0", where="secded.protect_words", fix="clear bits 20 to 25"
        )
    words: NDArray[np.uint32] = data | syndrome_words(data) << np.uint32(ECC_SHIFT)
    words |= _parity(words) << np.uint32(_PARITY_BIT)
    return words


def syndrome_words(words: NDArray[np.uint32]) -> NDArray[np.uint32]:
    """`syndrome`, elementwise on uint32."""
    found = np.zeros_like(words)
    for j, mask in enumerate(CHECK_MASKS):
        found |= _parity(words & np.uint32(mask)) << np.uint32(j)
    return found


def correct_words(words: NDArray[np.uint32]) -> Corrected:
    """`correct`, elementwise.

    Args:
        words: uint32 of any shape.

    Raises:
        IdentifierError: not uint32.
    """
    _check_dtype(words, "secded.correct_words")
    position = syndrome_words(words)
    odd = _parity(words) == 1
    bit = np.array(BIT_AT, dtype=np.int8)[position]
    fixed = words ^ np.where(odd, np.uint32(1) << bit.astype(np.uint32), np.uint32(0))
    even = np.where(position == 0, np.int8(INTACT), np.int8(DAMAGED))
    return Corrected(fixed, np.where(odd, bit, even))


def _parity(words: NDArray[np.uint32]) -> NDArray[np.uint32]:
    return np.bitwise_count(words).astype(np.uint32) & np.uint32(1)


def _check_dtype(words: NDArray[np.uint32], where: str) -> None:
    if words.dtype != np.uint32:
        raise IdentifierError(f"words are {words.dtype}", where=where, fix="give uint32")
