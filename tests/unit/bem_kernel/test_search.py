"""Nearest neighbours: kernels and the index against the plain sort; slots, limits, refusals."""

from __future__ import annotations

import threading

import numpy as np
import pytest

from bem_kernel.errors import SearchError, ShapeError
from bem_kernel.identifiers.gray import gray
from bem_kernel.search import index as index_module
from bem_kernel.search.brute import MANY, nearest_brute, nearest_brute_batch
from bem_kernel.search.features import Weights, best, featured_table
from bem_kernel.search.halves import RINGS, bucket_of, deal, half_of, schedule
from bem_kernel.search.index import NearestIndex
from bem_kernel.search.reference import nearest


@pytest.fixture
def random() -> np.random.Generator:
    return np.random.default_rng(7)


@pytest.fixture
def always_indexed(monkeypatch: pytest.MonkeyPatch) -> None:
    """Tables of any size go through the multi-index, however long a search takes."""
    monkeypatch.setattr(index_module, "INDEX_FROM", 1)
    monkeypatch.setattr(index_module, "BUDGET", 1 << 40)


def words(random: np.random.Generator, n: int) -> np.ndarray:
    return random.integers(0, 2**32, n, dtype=np.uint32)


def brute(table: np.ndarray, live: np.ndarray, query: int, k: int) -> tuple[list[int], list[int]]:
    slots, distances = np.full(k, -9), np.full(k, -9)
    n = nearest_brute(gray(table), live, len(table), np.uint32(query), k, slots, distances)
    assert (slots[n:] == -9).all()
    return slots[:n].tolist(), distances[:n].tolist()


def expected(
    table: np.ndarray, live: np.ndarray, query: int, k: int
) -> tuple[list[int], list[int]]:
    """What the plain sort finds among the live slots."""
    held = np.flatnonzero(live)
    found = nearest(query, table[held], k)
    return held[found.slots].tolist(), (32 - found.similarities.astype(int)).tolist()


def check(index: NearestIndex, table: dict[int, int], queries: list[int], k: int) -> None:
    slots = np.array(sorted(table), dtype=np.int64)
    held = np.array([table[slot] for slot in slots.tolist()], dtype=np.uint32)
    for query in queries:
        plain = nearest(query, held, k)
        found = index.query(query, k)
        assert found.slots.tolist() == slots[plain.slots].tolist()
        assert found.similarities.tolist() == plain.similarities.tolist()


def test_nearest_first_and_ties_by_slot() -> None:
    table = np.array([3, 1, 0, 1, 2], dtype=np.uint32)  # gray codes 2, 1, 0, 1, 3
    found = nearest(0, table, 4)
    assert found.slots.tolist() == [2, 0, 1, 3]
    assert found.similarities.tolist() == [32, 31, 31, 31]
    assert brute(table, np.ones(5, np.uint8), 0, 4) == ([2, 0, 1, 3], [0, 1, 1, 1])


def test_k_beyond_the_table_and_none() -> None:
    table = np.array([5, 4], dtype=np.uint32)
    assert nearest(4, table, 9).slots.tolist() == [1, 0]
    assert nearest(4, table, 0).slots.tolist() == []
    assert nearest(4, table[:0], 3).slots.tolist() == []
    index = NearestIndex(table)
    assert index.query(4, 9).slots.tolist() == [1, 0]
    assert index.query(4, 0).slots.tolist() == []
    assert NearestIndex().query(4, 3).slots.tolist() == []
    assert index.query_batch(table[:0], 3).slots.shape == (0, 2)


def test_plain_queries_are_checked() -> None:
    table = np.array([5], dtype=np.uint32)
    with pytest.raises(ShapeError, match="query -1, k 1; use a 32-bit query and k >= 0"):
        nearest(-1, table, 1)
    with pytest.raises(ShapeError, match="use a 32-bit query and k >= 0"):
        nearest(0, table, -1)
    with pytest.raises(ShapeError, match=r"table is int64 .*; give \(n,\) uint32"):
        nearest(0, table.astype(np.int64), 1)  # type: ignore[arg-type]


@pytest.mark.parametrize("n", [0, 1, 2, 63, 64, 65, 255, 257, 4095, 4097, 16384 + 300, 17000])
def test_brute_force_equals_the_plain_sort_at_every_size(
    n: int, random: np.random.Generator
) -> None:
    table = words(random, n)
    live = (random.random(n) < 0.8).astype(np.uint8)
    for query in [0, 2**32 - 1, *words(random, 3).tolist(), *table[-1:].tolist()]:
        for k in (0, 1, 10, 100, MANY, MANY + 1):
            assert brute(table, live, query, k) == expected(table, live, query, k)


def test_a_table_far_from_the_query_is_scanned_again_without_a_limit() -> None:
    query = 0x12345678
    far = np.array([~gray(np.array([query], np.uint32))[0]] * 5000, dtype=np.uint32)
    slots, distances = np.zeros(3, np.int64), np.zeros(3, np.int64)
    found = nearest_brute(far, np.ones(5000, np.uint8), 5000, np.uint32(query), 3, slots, distances)
    assert (found, slots.tolist(), distances.tolist()) == (3, [0, 1, 2], [32, 32, 32])


def test_only_the_first_n_slots_count(random: np.random.Generator) -> None:
    table = words(random, 200)
    slots, distances = np.zeros(5, np.int64), np.zeros(5, np.int64)
    query = table[150]
    found = nearest_brute(gray(table), np.ones(200, np.uint8), 100, query, 5, slots, distances)
    assert slots[:found].tolist() == nearest(int(query), table[:100], 5).slots.tolist()


@pytest.mark.parametrize("k", [1, 10, MANY])
def test_a_batch_equals_its_queries(k: int, random: np.random.Generator) -> None:
    table, queries = words(random, 20_000), words(random, 50)
    table[::7] = table[3]  # equal codes on many tiles
    queries[5] = table[3]
    live = (random.random(len(table)) < 0.9).astype(np.uint8)
    shape = len(queries), k
    slots, distances = np.zeros(shape, np.int64), np.zeros(shape, np.int64)
    counts = np.full(len(queries), 77)
    n = len(table)
    nearest_brute_batch(gray(table), live, n, queries, k, slots, distances, counts)
    assert (counts == k).all()
    for row, query in enumerate(queries.tolist()):
        found = slots[row].tolist(), distances[row].tolist()
        assert found == expected(table, live, query, k)


def test_dealing_permutes_the_bits_so_that_neighbours_part() -> None:
    dealt = [int(deal(np.uint32(1 << bit))) for bit in range(32)]
    assert dealt == [1 << (16 * (bit & 1) + bit // 2) for bit in range(32)]
    assert int(deal(np.uint32(0b1101))) == 0b10 << 16 | 0b11
    assert [int(half_of(np.uint32(0xABCD1234), half)) for half in (0, 1)] == [0x1234, 0xABCD]
    assert int(bucket_of(np.uint32(0xABCD1234), 1)) == 0x1ABCD


def test_the_schedule_visits_each_bucket_once_by_growing_radius() -> None:
    order, ends = schedule()
    last = int(ends[-1])
    assert last == 2 * 65536
    assert len(ends) == RINGS
    assert np.array_equal(np.sort(order[:last]), np.arange(last))
    starts = [0, *ends.tolist()]
    for ring in range(RINGS):
        visits = order[starts[ring] : starts[ring + 1]]
        assert (visits >> 16 == ring & 1).all()
        assert (np.bitwise_count(visits & 0xFFFF) == ring >> 1).all()


@pytest.mark.usefixtures("always_indexed")
@pytest.mark.parametrize("k", [1, 10, 120])
def test_the_multi_index_equals_the_plain_sort(
    k: int, random: np.random.Generator, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*arguments: object) -> None:
        raise AssertionError("the whole table was looked through")

    monkeypatch.setattr(index_module, "nearest_brute_batch", refuse)
    table = words(random, 30_000)
    table[100:160] = table[7]  # a tie of sixty
    index = NearestIndex(table)
    assert index.indexed
    queries = [*words(random, 20).tolist(), int(table[7]), int(table[9]) ^ 1]
    check(index, dict(enumerate(table.tolist())), queries, k)


@pytest.mark.usefixtures("always_indexed")
def test_a_multi_index_finds_what_is_as_far_as_can_be() -> None:
    table = [0x0F0F3C5A] * 5
    index = NearestIndex(np.array(table, dtype=np.uint32))
    opposite = int(np.array([0xFFFFFFFF], np.uint32)[0] ^ gray(np.array(table[:1], np.uint32))[0])
    query = opposite
    for shift in (1, 2, 4, 8, 16):  # the identifier whose Gray code is the opposite one
        query ^= query >> shift
    found = index.query(query, 9)
    assert (found.slots.tolist(), found.similarities.tolist()) == ([0, 1, 2, 3, 4], [0] * 5)


def test_a_search_that_costs_too_much_looks_through_the_table(
    monkeypatch: pytest.MonkeyPatch, random: np.random.Generator
) -> None:
    monkeypatch.setattr(index_module, "INDEX_FROM", 1)
    monkeypatch.setattr(index_module, "BUDGET", 50)
    # All but a few lie together, and some queries among those few: rings enough for the first
    # are not enough for the second.
    table = np.concatenate((words(random, 20), np.full(20_000, 0xCAFE, dtype=np.uint32)))
    table[20:] ^= random.integers(0, 8, 20_000, dtype=np.uint32)
    index = NearestIndex(table)
    whole: list[int] = []
    real = index_module.nearest_brute_batch

    def spy(*arguments: object) -> None:
        whole.append(len(arguments[3]))  # type: ignore[arg-type]
        real(*arguments)

    monkeypatch.setattr(index_module, "nearest_brute_batch", spy)
    queries = [0xCAFE, *table[:5].tolist(), 0xCAFE]
    batch = index.query_batch(np.array(queries, dtype=np.uint32), 10)
    assert whole == [5]
    for row, query in enumerate(queries):
        assert batch.slots[row].tolist() == nearest(query, table, 10).slots.tolist()


@pytest.mark.usefixtures("always_indexed")
def test_a_search_among_very_many_equals_looks_through_the_table(
    monkeypatch: pytest.MonkeyPatch, random: np.random.Generator
) -> None:
    table = words(random, 10_000)
    table[1000:9000] = 0xCAFE
    index = NearestIndex(table)
    whole: list[list[int]] = []
    real = index_module.nearest_brute_batch

    def spy(*arguments: object) -> None:
        whole.append(arguments[3].tolist())  # type: ignore[attr-defined]
        real(*arguments)

    monkeypatch.setattr(index_module, "nearest_brute_batch", spy)
    queries = [int(table[5]), 0xCAFE, int(table[6])]
    batch = index.query_batch(np.array(queries, dtype=np.uint32), 10)
    assert [0xCAFE in rows for rows in whole] == [True]
    for row, query in enumerate(queries):
        assert batch.slots[row].tolist() == nearest(query, table, 10).slots.tolist()


@pytest.mark.usefixtures("always_indexed")
def test_entries_come_and_go(random: np.random.Generator) -> None:
    table = dict(enumerate(words(random, 500).tolist()))
    index = NearestIndex(np.array(list(table.values()), dtype=np.uint32))
    for round_ in range(6):
        for slot in random.permutation(sorted(table))[:100].tolist():
            index.remove(slot)
            del table[slot]
        for slot in random.permutation(1000).tolist()[:150]:
            if slot not in table:
                # Few different identifiers, so that buckets fill and move.
                table[slot] = int(random.integers(0, 4)) * 0x01010101 + round_
                index.insert(slot, table[slot])
        assert len(index) == len(table)
        check(index, table, [0, 0x01010101, *words(random, 3).tolist()], 25)
    assert all((slot in index) == (slot in table) for slot in range(-2, 1002))
    assert {slot: index.identifier(slot) for slot in table} == table


@pytest.mark.usefixtures("always_indexed")
def test_a_full_pool_is_built_anew(monkeypatch: pytest.MonkeyPatch) -> None:
    index = NearestIndex(np.zeros(1, dtype=np.uint32))
    builds: list[int] = []
    real = NearestIndex._build

    def spy(self: NearestIndex) -> None:
        builds.append(len(self))
        real(self)

    monkeypatch.setattr(NearestIndex, "_build", spy)
    n = 300_000
    for slot in range(1, n, 4):
        index.insert(slot, 0xABCD)  # one bucket of each half doubles until the pool is full
    assert len(builds) == 1
    found = index.query(0xABCD, 3)
    assert found.slots.tolist() == [1, 5, 9]


def test_an_index_is_kept_from_a_size_on_and_dropped_below_half(
    monkeypatch: pytest.MonkeyPatch, random: np.random.Generator
) -> None:
    monkeypatch.setattr(index_module, "INDEX_FROM", 40)
    index = NearestIndex(words(random, 39))
    assert not index.indexed
    index.insert(39, 5)
    assert index.indexed
    for slot in range(20):
        index.remove(slot)
    assert index.indexed
    index.remove(20)
    assert not index.indexed
    assert index.query(5, 1).slots.tolist() == [39]


def test_a_build_that_fails_leaves_right_answers(
    monkeypatch: pytest.MonkeyPatch, random: np.random.Generator
) -> None:
    monkeypatch.setattr(index_module, "INDEX_FROM", 40)
    index = NearestIndex(words(random, 39))

    def fail(*arguments: object) -> int:
        raise MemoryError

    monkeypatch.setattr(index_module, "plan_buckets", fail)
    with pytest.raises(MemoryError):
        index.insert(39, 5)
    assert (len(index), index.indexed) == (40, False)
    assert index.query(5, 1).slots.tolist() == [39]


def test_queries_may_be_read_only_or_strided(random: np.random.Generator) -> None:
    table = words(random, 50)
    index = NearestIndex(table)
    table.flags.writeable = False
    whole = index.query_batch(table, 3)
    assert np.array_equal(index.query_batch(table[::-2], 3).slots, whole.slots[::-2])


def test_refusals(random: np.random.Generator) -> None:
    index = NearestIndex(words(random, 3))
    with pytest.raises(SearchError, match=r"search\.insert: slot 2 is taken; remove it first"):
        index.insert(2, 0)
    with pytest.raises(SearchError, match=r"slot -1; use 0 to 134217727"):
        index.insert(-1, 0)
    with pytest.raises(SearchError, match=r"slot 134217728; use 0 to 134217727"):
        index.insert(1 << 27, 0)
    with pytest.raises(SearchError, match=r"identifier 4294967296; use 0 to 2\*\*32 - 1"):
        index.insert(5, 1 << 32)
    for slot in (-1, 3, 10**9):
        with pytest.raises(SearchError, match=rf"slot {slot} holds nothing; insert there first"):
            index.remove(slot)
        with pytest.raises(SearchError, match="holds nothing"):
            index.identifier(slot)
    with pytest.raises(SearchError, match="identifier -1"):
        index.query(-1, 2)
    with pytest.raises(SearchError, match="k is -1; use 0 or more"):
        index.query(0, -1)
    with pytest.raises(ShapeError, match=r"identifiers are int64 of shape \(2,\); give"):
        index.query_batch(np.zeros(2, np.int64), 2)  # type: ignore[arg-type]
    with pytest.raises(ShapeError, match=r"of shape \(1, 2\)"):
        NearestIndex(np.zeros((1, 2), np.uint32))
    assert len(index) == 3


def test_threads_may_search_while_others_insert(random: np.random.Generator) -> None:
    index = NearestIndex(words(random, 100))
    target = 0xDEADBEEF
    index.insert(100, target)
    wrong: list[object] = []

    def search() -> None:
        for _ in range(200):
            if index.query(target, 1).slots.tolist() != [100]:
                wrong.append("lost")

    def change(offset: int) -> None:
        for slot in range(200 + offset, 1200, 2):
            index.insert(slot, ~target & 0xFFFFFFFF)
            if slot % 3 == 0:
                index.remove(slot)

    threads = [
        threading.Thread(target=search),
        *(threading.Thread(target=change, args=(offset,)) for offset in (0, 1)),
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong
    assert len(index) == 101 + 1000 - len([slot for slot in range(200, 1200) if slot % 3 == 0])


def test_features_shift_the_order_by_their_weights() -> None:
    identifiers = np.array([0, 1, 3, 0], dtype=np.uint32)  # gray codes 0, 1, 2, 0
    features = np.array([[0b000], [0b111], [0b011], [0b100]], dtype=np.uint64)
    table = featured_table(identifiers, features)
    wanted = np.array([0b011], dtype=np.uint64)
    found = best(table, 0, wanted, 9)
    assert (found.slots.tolist(), found.scores.tolist()) == ([1, 2, 0, 3], [33, 33, 32, 32])
    found = best(table, 0, wanted, 2, Weights(similarity=3, overlap=1))
    assert (found.slots.tolist(), found.scores.tolist()) == ([0, 3], [96, 96])
    found = best(table, 0, wanted, 1, Weights(similarity=0, overlap=2))
    assert (found.slots.tolist(), found.scores.tolist()) == ([1], [4])
    live = np.array([True, False, True, True])
    assert best(featured_table(identifiers, features, live), 0, wanted, 9).slots.tolist() == [
        2,
        0,
        3,
    ]
    assert best(table, 0, wanted, 0).slots.tolist() == []


def test_the_largest_weights_do_not_overflow() -> None:
    features = np.full((2, 3), 2**64 - 1, dtype=np.uint64)
    table = featured_table(np.zeros(2, np.uint32), features)
    top = (1 << 32) - 1
    found = best(table, 0, features[0], 2, Weights(top, top))
    assert found.scores.tolist() == [top * (32 + 192)] * 2


def test_features_are_checked() -> None:
    identifiers, features = np.zeros(2, np.uint32), np.zeros((2, 1), np.uint64)
    table = featured_table(identifiers, features)
    with pytest.raises(ShapeError, match=r"features uint64 \(1, 1\).*; give \(n,\) uint32"):
        featured_table(identifiers, features[:1])
    with pytest.raises(ShapeError, match=r"live int64 \(2,\)"):
        featured_table(identifiers, features, np.zeros(2, np.int64))  # type: ignore[arg-type]
    with pytest.raises(ShapeError, match=r"wanted is uint64 of shape \(2,\); give \(1,\) uint64"):
        best(table, 0, np.zeros(2, np.uint64), 1)
    with pytest.raises(SearchError, match="query 4294967296, k 1; use a 32-bit query"):
        best(table, 1 << 32, np.zeros(1, np.uint64), 1)
    with pytest.raises(SearchError, match=r"overlap=4294967296\); use weights 0 to 4294967295"):
        best(table, 0, np.zeros(1, np.uint64), 1, Weights(1, 1 << 32))
