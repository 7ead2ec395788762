"""Identifiers: layout, code, similarity, nearest neighbours."""

from __future__ import annotations

import numpy as np
import pytest

from bem_kernel.errors import IdentifierError, ShapeError
from bem_kernel.identifiers.ident import Identifier, decode, encode, sim
from bem_kernel.search.ann import nearest


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


def test_similarity_counts_equal_bits_of_gray_codes() -> None:
    u = np.array([0, 0, 7, 0], dtype=np.uint32)
    v = np.array([0, 1, 8, 0xFFFFFFFF], dtype=np.uint32)
    assert sim(u, v).tolist() == [32, 31, 31, 31]  # g(0xFFFFFFFF) has one bit set


def test_nearest_first_and_ties_by_slot() -> None:
    table = np.array([3, 1, 0, 1, 2], dtype=np.uint32)  # gray codes 2, 1, 0, 1, 3
    found = nearest(0, table, 4)
    assert found.slots.tolist() == [2, 0, 1, 3]
    assert found.similarities.tolist() == [32, 31, 31, 31]


def test_k_beyond_the_table_and_none() -> None:
    table = np.array([5, 4], dtype=np.uint32)
    assert nearest(4, table, 9).slots.tolist() == [1, 0]
    assert nearest(4, table, 0).slots.tolist() == []
    assert nearest(4, table[:0], 3).slots.tolist() == []


def test_queries_are_checked() -> None:
    table = np.array([5], dtype=np.uint32)
    with pytest.raises(ShapeError, match="use a 32-bit query and k >= 0"):
        nearest(-1, table, 1)
    with pytest.raises(ShapeError, match="use a 32-bit query and k >= 0"):
        nearest(0, table, -1)
    with pytest.raises(ShapeError, match=r"table is int64 .*; give \(n,\) uint32"):
        nearest(0, table.astype(np.int64), 1)  # type: ignore[arg-type]
