"""The best slots by similarity of identifiers and overlap of features together, exact.

A slot's score is

    similarity · sim(query, identifier) + overlap · popcount(wanted & features)

with whole weights of 0 or more: how many bits of the code agree, and how many of the wanted
features the slot has. Of equal scores the lower slot is the better one.

Source: BEM core spec 3.3 ("possibly feature overlap").
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bem_kernel.compiled import kernel
from bem_kernel.errors import SearchError, ShapeError
from bem_kernel.identifiers.gray import gray
from bem_kernel.search.brute import BITS
from bem_kernel.search.hamming import gray_code, popcount32, popcount64

MAX_WEIGHT = (1 << 32) - 1
MAX_WORDS = 1 << 20
"""With weights up to `MAX_WEIGHT` and this many feature words a score stays below 2**60."""


@dataclass(frozen=True)
class Weights:
    """How much an equal bit and a shared feature count, 0 to `MAX_WEIGHT` each."""

    similarity: int = 1
    overlap: int = 1


@dataclass(frozen=True)
class FeaturedTable:
    """Identifiers with feature bits, a slot each; made by `featured_table`.

    Attributes:
        codes: (slots,) uint32 Gray codes.
        features: (slots, words) uint64, any meaning of the bits.
        live: (slots,) uint8, 0 for slots that hold nothing.
    """

    codes: NDArray[np.uint32]
    features: NDArray[np.uint64]
    live: NDArray[np.uint8]


@dataclass(frozen=True)
class Scored:
    """The best slots, best first.

    Attributes:
        slots: (k,) int64.
        scores: (k,) int64, not increasing.
    """

    slots: NDArray[np.int64]
    scores: NDArray[np.int64]


@kernel(
    "void(uint32[::1], uint64[:, ::1], uint8[::1], uint32, uint64[::1], int64, int64, int64[::1])"
)
def score_slots(
    codes: Any,
    features: Any,
    live: Any,
    query: Any,
    wanted: Any,
    similarity: Any,
    overlap: Any,
    scores: Any,
) -> None:
    """The score of every slot; eight arguments, being a kernel over arrays.

    Args:
        codes: (slots,) uint32 Gray codes.
        features: (slots, words) uint64.
        live: (slots,) uint8.
        query: uint32, the identifier itself.
        wanted: (words,) uint64.
        similarity: weight of an equal bit.
        overlap: weight of a shared feature.
        scores: (slots,) int64, receives the scores; -1 for slots that are not live.
    """
    gray_query = gray_code(query)
    for slot in range(len(codes)):
        shared = np.int64(0)
        for word in range(len(wanted)):
            shared += popcount64(features[slot, word] & wanted[word])
        score = similarity * (BITS - popcount32(codes[slot] ^ gray_query)) + overlap * shared
        scores[slot] = score if live[slot] != 0 else -1


def featured_table(
    identifiers: NDArray[np.uint32],
    features: NDArray[np.uint64],
    live: NDArray[np.bool_] | None = None,
) -> FeaturedTable:
    """A table to search in.

    Args:
        identifiers: (slots,) uint32.
        features: (slots, words) uint64.
        live: (slots,) bool, which slots hold something; all if absent.

    Raises:
        ShapeError: shapes or dtypes are others.
    """
    shape = identifiers.shape
    alive = np.ones(shape, dtype=np.bool_) if live is None else live
    fits = (
        identifiers.dtype == np.uint32
        and identifiers.ndim == 1
        and features.dtype == np.uint64
        and features.ndim == 2
        and features.shape[:1] == alive.shape == shape
        and features.shape[1] <= MAX_WORDS
        and alive.dtype == np.bool_
    )
    if not fits:
        raise ShapeError(
            f"identifiers {identifiers.dtype} {shape}, features {features.dtype} "
            f"{features.shape}, live {alive.dtype} {alive.shape}",
            where="search.features",
            fix="give (n,) uint32, (n, words) uint64 and (n,) bool",
        )
    return FeaturedTable(
        gray(identifiers),
        np.require(features, requirements=["C", "W"]),
        alive.astype(np.uint8),
    )


def best(
    table: FeaturedTable,
    query: int,
    wanted: NDArray[np.uint64],
    k: int,
    weights: Weights = Weights(),
) -> Scored:
    """The k slots with the highest scores.

    Args:
        table: where to look.
        query: a 32-bit identifier.
        wanted: (words,) uint64, features that count.
        k: how many, 0 or more; fewer come back if fewer are held.
        weights: of the two terms.

    Raises:
        ShapeError: `wanted` does not fit the table's features.
        SearchError: the query is not 32 bits, k is negative, or a weight is out of range.
    """
    if wanted.dtype != np.uint64 or wanted.shape != table.features.shape[1:]:
        raise ShapeError(
            f"wanted is {wanted.dtype} of shape {wanted.shape}",
            where="search.best",
            fix=f"give ({table.features.shape[1]},) uint64",
        )
    if k < 0 or not 0 <= query < 1 << BITS:
        raise SearchError(
            f"query {query}, k {k}", where="search.best", fix="use a 32-bit query and k >= 0"
        )
    if not (0 <= weights.similarity <= MAX_WEIGHT and 0 <= weights.overlap <= MAX_WEIGHT):
        raise SearchError(f"{weights}", where="search.best", fix=f"use weights 0 to {MAX_WEIGHT}")
    scores = np.empty(len(table.codes), dtype=np.int64)
    score_slots(
        table.codes,
        table.features,
        table.live,
        query,
        np.require(wanted, requirements=["C", "W"]),
        weights.similarity,
        weights.overlap,
        scores,
    )
    slots = np.flatnonzero(scores >= _kth_best(scores, k))
    slots = slots[np.argsort(-scores[slots], kind="stable")][:k]
    return Scored(slots, scores[slots])


def _kth_best(scores: NDArray[np.int64], k: int) -> int:
    """The k-th highest score, or 0 if there are no k of 0 or more."""
    if not 0 < k < len(scores):
        return 0
    place = len(scores) - k
    return max(0, int(np.partition(scores, place)[place]))
