"""Identifiers: 32 bits, class 6 | ecc 6 | shard 6 | local 14, most significant first.

Source: BEM core spec 1.2.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from bem_kernel.errors import IdentifierError
from bem_kernel.identifiers.secded import DAMAGED, INTACT, correct, protect, protect_words

CLASS_BITS, SHARD_BITS, LOCAL_BITS = 6, 6, 14
SHARD_SHIFT, CLASS_SHIFT = 14, 26
MAX_WORD = (1 << 32) - 1


@dataclass(frozen=True)
class Identifier:
    """The fields of an identifier, without the error-correcting code.

    Attributes:
        class_: object class, 0 to 63; `classes.IdClass` has the known ones.
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
        ("class", identifier.class_, CLASS_BITS),
        ("shard", identifier.shard, SHARD_BITS),
        ("local", identifier.local, LOCAL_BITS),
    )
    for name, value, width in fields:
        if not 0 <= value < 1 << width:
            raise _out_of_range(name, value, width)
    return protect(
        identifier.class_ << CLASS_SHIFT | identifier.shard << SHARD_SHIFT | identifier.local
    )


def decode(word: int) -> Decoded:
    """Read a word, correcting one flipped bit.

    Raises:
        IdentifierError: the word is not 32 bits, or two bits are wrong.
    """
    if not 0 <= word <= MAX_WORD:
        raise IdentifierError(f"{word} is not a 32-bit word", where="ident.decode", fix="use u32")
    fixed, flipped = correct(word)
    if flipped == DAMAGED:
        raise IdentifierError(
            f"two bits of {word:#010x} are wrong",
            where="ident.decode",
            fix="read the identifier from another copy",
        )
    return Decoded(_fields(fixed), None if flipped == INTACT else flipped)


def checked(word: int, where: str) -> Identifier:
    """The fields of a word that comes from the caller, whose code must hold.

    Raises:
        IdentifierError: the word is not 32 bits, or its code does not hold; nothing is corrected.
    """
    if not 0 <= word <= MAX_WORD or correct(word)[1] != INTACT:
        raise IdentifierError(
            f"{word:#x} is no identifier", where=where, fix="make identifiers with ident.encode"
        )
    return _fields(word)


def encode_words(
    class_: int, shards: NDArray[np.integer], locals_: NDArray[np.integer]
) -> NDArray[np.uint32]:
    """`encode` for many identifiers of one class.

    Args:
        class_: 0 to 63.
        shards: (n,) integers, 0 to 63.
        locals_: (n,) integers, 0 to 16383.

    Returns:
        (n,) uint32 code words.

    Raises:
        IdentifierError: a field is out of range, or the shapes differ.
    """
    if shards.shape != locals_.shape:
        raise IdentifierError(
            f"shards {shards.shape}, locals {locals_.shape}",
            where="ident.encode",
            fix="give one of each per identifier",
        )
    columns = (
        ("class", np.array([class_]), CLASS_BITS),
        ("shard", shards, SHARD_BITS),
        ("local", locals_, LOCAL_BITS),
    )
    for name, values, width in columns:
        bad = values[(values < 0) | (values >= 1 << width)]
        if bad.size:
            raise _out_of_range(name, int(bad.flat[0]), width)
    return protect_words(
        np.uint32(class_ << CLASS_SHIFT)
        | shards.astype(np.uint32) << np.uint32(SHARD_SHIFT)
        | locals_.astype(np.uint32)
    )


def _fields(word: int) -> Identifier:
    return Identifier(
        word >> CLASS_SHIFT,
        word >> SHARD_SHIFT & (1 << SHARD_BITS) - 1,
        word & (1 << LOCAL_BITS) - 1,
    )


def _out_of_range(name: str, value: int, width: int) -> IdentifierError:
    return IdentifierError(
        f"{name} is {value}", where="ident.encode", fix=f"use 0 to {(1 << width) - 1}"
    )
