"""Every way to search equals a stable sort by similarity, on tables with many ties."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from bem_kernel.identifiers.gray import gray, sim
from bem_kernel.search import index as index_module
from bem_kernel.search.brute import nearest_brute
from bem_kernel.search.features import Weights, best, featured_table
from bem_kernel.search.index import NearestIndex
from bem_kernel.search.reference import nearest

ANY = st.integers(0, 2**32 - 1)
FEW = st.sampled_from([0, 1, 2, 3, 0xFFFF, 0x10000, 0xFFFFFFFF, 0x80000000, 0x55555555])
WORDS = hnp.arrays(np.uint32, st.integers(0, 150), elements=FEW | ANY)


@pytest.fixture
def indexed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(index_module, "INDEX_FROM", 1)
    monkeypatch.setattr(index_module, "BUDGET", 1 << 40)


def order(table: np.ndarray, query: int) -> list[int]:
    plain = sim(np.full_like(table, query), table)
    return sorted(range(len(table)), key=lambda slot: (-int(plain[slot]), slot))


@given(WORDS, FEW | ANY, st.integers(0, 160))
def test_the_plain_search_is_a_stable_sort(table: np.ndarray, query: int, k: int) -> None:
    found = nearest(query, table, k)
    assert found.slots.tolist() == order(table, query)[:k]
    assert found.similarities.tolist() == sim(np.uint32(query), table[found.slots]).tolist()


@given(WORDS, st.integers(0, 2**32 - 1), FEW | ANY, st.integers(0, 160))
def test_brute_force_is_a_stable_sort_of_the_live_slots(
    table: np.ndarray, dead: int, query: int, k: int
) -> None:
    live = np.array([dead >> (slot % 32) & 1 for slot in range(len(table))], dtype=np.uint8)
    slots, distances = np.zeros(k, np.int64), np.zeros(k, np.int64)
    n = nearest_brute(gray(table), live, len(table), np.uint32(query), k, slots, distances)
    assert slots[:n].tolist() == [slot for slot in order(table, query) if live[slot]][:k]
    assert (32 - distances[:n] == sim(np.uint32(query), table[slots[:n]])).all()


@settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    WORDS,
    st.lists(st.tuples(st.integers(0, 200), FEW | ANY), max_size=60),
    st.lists(FEW | ANY, min_size=1, max_size=5),
    st.integers(0, 60),
)
@pytest.mark.usefixtures("indexed")
def test_an_index_with_any_history_is_a_stable_sort(
    table: np.ndarray, changes: list[tuple[int, int]], queries: list[int], k: int
) -> None:
    index = NearestIndex(table)
    held = dict(enumerate(table.tolist()))
    for slot, identifier in changes:  # a taken slot is emptied, an empty one filled
        if slot in held:
            index.remove(slot)
            del held[slot]
        else:
            index.insert(slot, identifier)
            held[slot] = identifier
    slots = sorted(held)
    left = np.array([held[slot] for slot in slots], dtype=np.uint32)
    batch = index.query_batch(np.array(queries, dtype=np.uint32), k)
    for row, query in enumerate(queries):
        assert batch.slots[row].tolist() == [slots[i] for i in order(left, query)[:k]]


@given(
    WORDS,
    st.integers(0, 3),
    FEW | ANY,
    st.integers(0, 160),
    st.integers(0, 3),
    st.integers(0, 3),
    st.integers(0, 2**32),
)
def test_scores_are_the_weighted_sum(
    table: np.ndarray, words: int, query: int, k: int, similarity: int, overlap: int, seed: int
) -> None:
    random = np.random.default_rng(seed)
    features = random.integers(0, 2**64, (len(table), words), dtype=np.uint64)
    wanted = random.integers(0, 2**64, words, dtype=np.uint64)
    live = random.random(len(table)) < 0.7
    scores = similarity * sim(np.uint32(query), table).astype(int)
    scores = scores + overlap * np.bitwise_count(features & wanted).sum(axis=1).astype(int)
    ranked = sorted(np.flatnonzero(live).tolist(), key=lambda slot: (-int(scores[slot]), slot))
    found = best(
        featured_table(table, features, live), query, wanted, k, Weights(similarity, overlap)
    )
    assert found.slots.tolist() == ranked[:k]
    assert found.scores.tolist() == scores[found.slots].tolist()
