"""Identifiers in kernels: code words, and one word's correction.

Source: BEM core spec 1.2, 3.5.
"""

from __future__ import annotations

import numpy as np

from bem_kernel.compiled import kernel
from bem_kernel.identifiers.ident import CLASS_SHIFT, SHARD_SHIFT
from bem_kernel.identifiers.secded import BIT_AT, CHECK_MASKS, DAMAGED, ECC_SHIFT, INTACT

_MASKS = np.array(CHECK_MASKS, dtype=np.uint32)
_BIT_AT = np.array(BIT_AT, dtype=np.int64)
_FOLDED_PARITIES = np.uint32(0x6996)  # bit i is the parity of the four bits of i
_PARITY_SHIFT = np.uint32(ECC_SHIFT + 5)


@kernel("uint32(uint32)")
def parity(word):  # type: ignore[no-untyped-def]
    """1 if an odd number of bits of a uint32 is set, else 0; uint32."""
    word = word ^ (word >> np.uint32(16))
    word = word ^ (word >> np.uint32(8))
    word = word ^ (word >> np.uint32(4))
    return (_FOLDED_PARITIES >> (word & np.uint32(15))) & np.uint32(1)


@kernel("uint32(uint32)")
def syndrome(word):  # type: ignore[no-untyped-def]
    """The twin of `secded.syndrome`: 0 for an undamaged word; uint32."""
    found = np.uint32(0)
    for j in range(5):
        found |= parity(word & _MASKS[j]) << np.uint32(j)
    return found


@kernel("uint32(int64, int64, int64)")
def encode_word(class_, shard, local):  # type: ignore[no-untyped-def]
    """The twin of `ident.encode`; fields are cut to their widths, as a hash wants it; uint32."""
    word = np.uint32((class_ & 63) << CLASS_SHIFT | (shard & 63) << SHARD_SHIFT | (local & 16383))
    word |= syndrome(word) << np.uint32(ECC_SHIFT)
    return word | parity(word) << _PARITY_SHIFT


@kernel("Tuple((uint32, int64))(uint32)")
def correct_word(word):  # type: ignore[no-untyped-def]
    """The twin of `secded.correct`: the word, and the bit that was wrong, INTACT or DAMAGED."""
    position = np.int64(syndrome(word))
    if parity(word) != np.uint32(0):
        bit = _BIT_AT[position]
        return word ^ (np.uint32(1) << np.uint32(bit)), bit
    if position != 0:
        return word, np.int64(DAMAGED)
    return word, np.int64(INTACT)
