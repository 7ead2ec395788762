"""Nearest neighbours against a plain sort."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from bem_kernel.identifiers.gray import sim
from bem_kernel.search.ann import nearest

WORDS = hnp.arrays(np.uint32, st.integers(0, 40), elements=st.integers(0, 2**32 - 1))


@given(WORDS, st.integers(0, 2**32 - 1), st.integers(0, 50))
def test_nearest_is_a_stable_sort_by_similarity(table: np.ndarray, query: int, k: int) -> None:
    plain = sim(np.full_like(table, query), table)
    expected = sorted(range(len(table)), key=lambda slot: (-int(plain[slot]), slot))[:k]
    found = nearest(query, table, k)
    assert found.slots.tolist() == expected
    assert found.similarities.tolist() == [int(plain[slot]) for slot in expected]
