"""SECDED corrects one flip and detects two; Gray codes; similarity."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from bem_kernel.errors import IdentifierError
from bem_kernel.identifiers.gray import gray, gray_inverse, sim
from bem_kernel.identifiers.ident import Decoded, Identifier, decode, encode, encode_words

IDENTIFIERS = st.builds(
    Identifier, st.integers(0, 63), st.integers(0, 63), st.integers(0, (1 << 14) - 1)
)
WORDS = hnp.arrays(np.uint32, st.integers(0, 40), elements=st.integers(0, 2**32 - 1))


@given(IDENTIFIERS)
def test_one_flip_anywhere_is_corrected(identifier: Identifier) -> None:
    word = encode(identifier)
    assert decode(word) == Decoded(identifier, None)
    for bit in range(32):
        assert decode(word ^ 1 << bit) == Decoded(identifier, bit)


@given(IDENTIFIERS, st.integers(0, 31), st.integers(0, 31))
def test_two_flips_are_detected(identifier: Identifier, first: int, second: int) -> None:
    if first != second:
        with pytest.raises(IdentifierError, match=r"two bits of 0x.* are wrong"):
            decode(encode(identifier) ^ 1 << first ^ 1 << second)


@given(IDENTIFIERS, IDENTIFIERS)
def test_code_words_differ_in_at_least_four_bits(one: Identifier, two: Identifier) -> None:
    assert one == two or (encode(one) ^ encode(two)).bit_count() >= 4


@given(WORDS)
def test_gray_codes_are_a_bijection_in_which_neighbours_differ_by_one_bit(
    words: np.ndarray,
) -> None:
    assert (gray_inverse(gray(words)) == words).all()
    following = words + np.uint32(1)
    assert (np.bitwise_count(gray(words) ^ gray(following)) == 1).all()


@given(WORDS, WORDS)
def test_similarity_is_symmetric_and_32_only_for_equals(u: np.ndarray, v: np.ndarray) -> None:
    size = min(len(u), len(v))
    u, v = u[:size], v[:size]
    assert (sim(u, v) == sim(v, u)).all()
    assert ((sim(u, v) == 32) == (u == v)).all()


@given(st.lists(IDENTIFIERS, max_size=20), st.integers(0, 63))
def test_encoding_a_column_is_encoding_each(rows: list[Identifier], class_: int) -> None:
    shards = np.array([row.shard for row in rows], dtype=np.int64)
    locals_ = np.array([row.local for row in rows], dtype=np.int64)
    expected = [encode(Identifier(class_, row.shard, row.local)) for row in rows]
    assert encode_words(class_, shards, locals_).tolist() == expected
