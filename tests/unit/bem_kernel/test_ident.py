"""Identifiers: layout, ranges, classes, similarity; the vectorised and compiled twins."""

from __future__ import annotations

import numpy as np
import pytest

from bem_kernel.errors import IdentifierError
from bem_kernel.identifiers.classes import FIRST_USER_CLASS, IdClass
from bem_kernel.identifiers.gray import sim
from bem_kernel.identifiers.ident import Identifier, checked, decode, encode, encode_words


def test_the_fields_are_class_ecc_shard_local_from_the_top() -> None:
    word = encode(Identifier(class_=0b101010, shard=0b110011, local=0b10000000000001))
    assert word >> 26 == 0b101010
    assert word >> 14 & 63 == 0b110011
    assert word & 0x3FFF == 0b10000000000001


def test_fields_out_of_range_are_refused() -> None:
    with pytest.raises(IdentifierError, match="class is 64; use 0 to 63"):
        encode(Identifier(64, 0, 0))
    with pytest.raises(IdentifierError, match="shard is -1; use 0 to 63"):
        encode(Identifier(0, -1, 0))
    with pytest.raises(IdentifierError, match="local is 16384; use 0 to 16383"):
        encode(Identifier(0, 0, 16384))
    with pytest.raises(IdentifierError, match="is not a 32-bit word"):
        decode(1 << 32)


def test_columns_out_of_range_are_refused() -> None:
    good = np.array([0, 63])
    with pytest.raises(IdentifierError, match="class is -1; use 0 to 63"):
        encode_words(-1, good, good)
    with pytest.raises(IdentifierError, match="shard is 64; use 0 to 63"):
        encode_words(0, np.array([1, 64]), good)
    with pytest.raises(IdentifierError, match="local is -3; use 0 to 16383"):
        encode_words(0, good, np.array([-3, 0]))
    with pytest.raises(IdentifierError, match=r"shards \(2,\), locals \(1,\)"):
        encode_words(0, good, np.array([1]))


def test_only_undamaged_words_are_taken_from_a_caller() -> None:
    word = encode(Identifier(IdClass.EXPERT, 3, 9))
    assert checked(word, "here") == Identifier(2, 3, 9)
    for bad in (word ^ 1, -1, 1 << 32):
        with pytest.raises(IdentifierError, match=r"here: .*0x.* is no identifier; make"):
            checked(bad, "here")


def test_the_codes_of_classes_are_part_of_the_stored_form() -> None:
    assert {entry.name: entry.value for entry in IdClass} == {
        "NONE": 0,
        "CONCEPT": 1,
        "EXPERT": 2,
        "CFG": 3,
        "VARIABLE": 4,
        "TASK_TEMPLATE": 5,
        "FORMULA": 6,
        "PROOF": 7,
        "PATCH": 8,
    }
    assert max(IdClass) < FIRST_USER_CLASS < 64
    assert encode(Identifier(IdClass.NONE, 0, 0)) == 0


def test_similarity_counts_equal_bits_of_gray_codes() -> None:
    u = np.array([0, 0, 7, 0], dtype=np.uint32)
    v = np.array([0, 1, 8, 0xFFFFFFFF], dtype=np.uint32)
    assert sim(u, v).tolist() == [32, 31, 31, 31]  # g(0xFFFFFFFF) has one bit set
