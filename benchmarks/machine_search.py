"""How many nearest-neighbour queries a second, against faiss' exact and approximate indices?

Uniform 32-bit identifiers, uniform queries in batches, k = 10, one thread. Ours is exact: each row
first compares its distances with those of faiss' exact index. Where faiss' graph would take
minutes to build, it holds a part of the table only; a smaller graph answers quicker, so that
favours the peer.
"""

from __future__ import annotations

import time
from functools import cache
from typing import TYPE_CHECKING, Any

from benchmarks.frame import Context, Measured, row

if TYPE_CHECKING:
    from collections.abc import Callable

    import numpy as np

K, PAIRS = 10, 9
EF_SEARCH, HNSW_LINKS = 64, 16
"""Width of the search as the target says; 16 links a node were quicker than the default of 32."""
BUILD_LIMIT_S = 3.0


@row("machine.nearest_1e4_flat", peer_name="faiss BinaryFlat", unit="queries/s", target=7.0)
def nearest_1e4_flat(context: Context) -> Measured:
    """Ten nearest of 10,000 against faiss' exact search."""
    return _against_flat(context, 10_000, peer_queries=2_000)


@row("machine.nearest_1e5_flat", peer_name="faiss BinaryFlat", unit="queries/s", target=12.0)
def nearest_1e5_flat(context: Context) -> Measured:
    """Ten nearest of 100,000 against faiss' exact search."""
    return _against_flat(context, 100_000, peer_queries=400)


@row("machine.nearest_1e6_flat", peer_name="faiss BinaryFlat", unit="queries/s", target=90.0)
def nearest_1e6_flat(context: Context) -> Measured:
    """Ten nearest of 1,000,000 against faiss' exact search."""
    return _against_flat(context, 1_000_000, peer_queries=50)


@row(
    "machine.nearest_1e4_hnsw",
    peer_name="faiss BinaryHNSW, efSearch 64",
    unit="queries/s",
    target=5.0,
)
def nearest_1e4_hnsw(context: Context) -> Measured:
    """Ten nearest of 10,000, exactly, against faiss' graph."""
    return _against_hnsw(context, 10_000, in_graph=10_000)


@row(
    "machine.nearest_1e5_hnsw",
    peer_name="faiss BinaryHNSW, efSearch 64",
    unit="queries/s",
    target=5.0,
)
def nearest_1e5_hnsw(context: Context) -> Measured:
    """Ten nearest of 100,000, exactly, against faiss' graph."""
    return _against_hnsw(context, 100_000, in_graph=100_000)


@row(
    "machine.nearest_1e6_hnsw",
    peer_name="faiss BinaryHNSW of a part, efSearch 64",
    unit="queries/s",
    target=10.0,
)
def nearest_1e6_hnsw(context: Context) -> Measured:
    """Ten nearest of 1,000,000, exactly, against faiss' graph of 200,000 (500,000 in full)."""
    return _against_hnsw(context, 1_000_000, in_graph=500_000 if context.full else 200_000)


@row("machine.nearest_1e6_build", peer_name="limit", unit="s", target=1.0, better="less")
def nearest_1e6_build(context: Context) -> Measured:
    """Time to build the index of 1,000,000 identifiers."""
    from bem_kernel.search.index import NearestIndex

    table = _words(context.seed, 1_000_000)
    NearestIndex(table)
    times = [_seconds(lambda: NearestIndex(table)) for _ in range(5)]
    return Measured(times, [BUILD_LIMIT_S] * len(times))


def _against_flat(context: Context, n: int, peer_queries: int) -> Measured:
    peer = _flat(context.seed, n)
    return _compare(context, n, peer, peer_queries)


def _against_hnsw(context: Context, n: int, in_graph: int) -> Measured:
    return _compare(context, n, _hnsw(context.seed, n, in_graph), peer_queries=1_000)


def _compare(context: Context, n: int, peer: Any, peer_queries: int) -> Measured:
    """Queries a second of ours and of a faiss index, in turns."""
    from bem_kernel.search.index import NearestIndex

    ours = NearestIndex(_words(context.seed, n))
    queries = _words(context.seed + 1, 8_000 if n < 1_000_000 else 4_000)
    few = queries[:peer_queries]
    _check_exact(context, n, ours)
    pairs: tuple[list[float], list[float]] = [], []
    for _ in range(PAIRS):
        pairs[0].append(len(queries) / _seconds(lambda: ours.query_batch(queries, K)))
        pairs[1].append(len(few) / _seconds(lambda: peer.search(_bytes(few), K)))
    return Measured(*pairs)


def _check_exact(context: Context, n: int, ours: Any) -> None:
    """Recall of exactly 1, by distance, on queries with and without an equal in the table."""
    import numpy as np

    table = _words(context.seed, n)
    queries = np.concatenate((_words(context.seed + 2, 40), table[:10]))
    distances, _ = _flat(context.seed, n).search(_bytes(queries), K)
    found = ours.query_batch(queries, K)
    assert np.array_equal(32 - found.similarities.astype(np.int64), distances)


@cache
def _words(seed: int, n: int) -> np.ndarray:
    import numpy as np

    return np.random.default_rng(seed).integers(0, 2**32, n, dtype=np.uint32)


def _bytes(identifiers: np.ndarray) -> np.ndarray:
    """Gray codes as faiss wants them, (n, 4) uint8."""
    import numpy as np

    from bem_kernel.identifiers.gray import gray

    return gray(identifiers).view(np.uint8).reshape(-1, 4)


@cache
def _flat(seed: int, n: int) -> Any:
    index = _faiss().IndexBinaryFlat(32)
    index.add(_bytes(_words(seed, n)))
    return index


@cache
def _hnsw(seed: int, n: int, in_graph: int) -> Any:
    index = _faiss().IndexBinaryHNSW(32, HNSW_LINKS)
    index.hnsw.efSearch = EF_SEARCH
    index.add(_bytes(_words(seed, n)[:in_graph]))
    return index


def _faiss() -> Any:
    import faiss

    faiss.omp_set_num_threads(1)
    return faiss


def _seconds(call: Callable[[], object]) -> float:
    start_s = time.perf_counter()
    call()
    return time.perf_counter() - start_s
