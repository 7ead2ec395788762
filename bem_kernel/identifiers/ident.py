"""Identifiers: 32 bits, class 6 | ecc 6 | shard 6 | local 14, most significant first.

The ecc field is an extended Hamming code over the other 26 bits: it corrects one flipped bit
anywhere in the 32 and detects two (SECDED). Similarity is counted on Gray codes, so that
neighbours in the number line are neighbours in the metric.

Source: BEM core spec 1.2; Hamming 1950; Gray 1953.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from bem_kernel.errors import IdentifierError

CLASS_BITS, ECC_BITS, SHARD_BITS, LOCAL_BITS = 6, 6, 6, 14
_SHARD_SHIFT = LOCAL_BITS
_ECC_SHIFT = _SHARD_SHIFT + SHARD_BITS
_CLASS_SHIFT = _ECC_SHIFT + ECC_BITS
_ECC_MASK = ((1 << ECC_BITS) - 1) << _ECC_SHIFT

# Hamming positions 1..31 without the powers of two, for the 26 data bits from the lowest up; the
# check bit 2**j sits at ecc bit j, and ecc bit 5 is the parity of all 32 bits.
_DATA_BITS = [b for b in range(32) if not _ECC_MASK >> b & 1]
_POSITION = dict(zip(_DATA_BITS, (p for p in range(1, 32) if p & (p - 1)), strict=True))
_POSITION |= {_ECC_SHIFT + j: 1 << j for j in range(5)}
_BIT_AT = {position: bit for bit, position in _POSITION.items()}
_PARITY_BIT = _ECC_SHIFT + 5


@dataclass(frozen=True)
class Identifier:
    """The fields of an identifier, without the error-correcting code.

    Attributes:
        class_: object class, 0 to 63.
        shard: memory shard, 0 to 63.
        local: index in the shard, 0 to 16383.
    """

    class_: int
    shard: int
    local: int


@dataclass(frozen=True)
class Decoded:
    """What `decode` read from a code word.

    Attributes:
        identifier: the fields.
        flipped_bit: the bit of the word that was wrong and has been corrected; None if none was.
    """

    identifier: Identifier
    flipped_bit: int | None


def encode(identifier: Identifier) -> int:
    """The 32-bit word of an identifier, error-correcting code included.

    Raises:
        IdentifierError: a field is out of range.
    """
    fields = (
        ("class", identifier.class_, CLASS_BITS, _CLASS_SHIFT),
        ("shard", identifier.shard, SHARD_BITS, _SHARD_SHIFT),
        ("local", identifier.local, LOCAL_BITS, 0),
    )
    word = 0
    for name, value, width, shift in fields:
        if not 0 <= value < 1 << width:
            raise IdentifierError(
                f"{name} is {value}", where="ident.encode", fix=f"use 0 to {(1 << width) - 1}"
            )
        word |= value << shift
    word |= _syndrome(word) << _ECC_SHIFT  # the five check bits make the syndrome zero
    return word | (word.bit_count() & 1) << _PARITY_BIT


def decode(word: int) -> Decoded:
    """Read a word, correcting one flipped bit.

    Raises:
        IdentifierError: the word is not 32 bits, or two bits are wrong.
    """
    if not 0 <= word < 1 << 32:
        raise IdentifierError(f"{word} is not a 32-bit word", where="ident.decode", fix="use u32")
    syndrome, odd = _syndrome(word), word.bit_count() & 1
    flipped: int | None = None
    if odd:
        flipped = _BIT_AT[syndrome] if syndrome else _PARITY_BIT
        word ^= 1 << flipped
    elif syndrome:
        raise IdentifierError(
            f"two bits of {word:#010x} are wrong",
            where="ident.decode",
            fix="read the identifier from another copy",
        )
    fields = Identifier(
        word >> _CLASS_SHIFT,
        word >> _SHARD_SHIFT & (1 << SHARD_BITS) - 1,
        word & (1 << LOCAL_BITS) - 1,
    )
    return Decoded(fields, flipped)


def _syndrome(word: int) -> int:
    """XOR of the Hamming positions of the set bits; 0 for an undamaged word."""
    syndrome = 0
    for bit, position in _POSITION.items():
        if word >> bit & 1:
            syndrome ^= position
    return syndrome


def gray(words: NDArray[np.uint32]) -> NDArray[np.uint32]:
    """Gray code g(u) = u ^ (u >> 1), elementwise on uint32."""
    return words ^ (words >> np.uint32(1))


def gray_inverse(codes: NDArray[np.uint32]) -> NDArray[np.uint32]:
    """Inverse of `gray`, elementwise on uint32."""
    words = codes.copy()
    for shift in (1, 2, 4, 8, 16):  # prefix XOR by doubling
        words ^= words >> np.uint32(shift)
    return words


def sim(u: NDArray[np.uint32], v: NDArray[np.uint32]) -> NDArray[np.uint8]:
    """Similarity 32 - popcount(g(u) ^ g(v)), elementwise with broadcasting; 0 to 32."""
    distance = np.bitwise_count(gray(u) ^ gray(v))
    similarity: NDArray[np.uint8] = np.uint8(32) - distance
    return similarity
