"""Nearest neighbours by a plain scan."""

from __future__ import annotations

import numpy as np
import pytest

from bem_kernel.errors import ShapeError
from bem_kernel.search.ann import nearest


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
