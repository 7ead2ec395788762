"""Integrity of a segment: a Merkle tree over its blocks, and check bytes that can mend them.

A block is 512 words, the last one of a segment shorter. Whoever changes a guarded segment says so
with `note`, at the cost of the touched blocks and O(log n) hashes; `scrub` then finds every other
change, names its block, and corrects single flipped bits. The hash decides whether a correction
was right, so more flipped bits than the code can correct are never mended wrongly.

Source: BEM core spec 3.5, 11.2.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from bem_kernel.errors import SegmentError
from bem_kernel.ledger.merkle import MerkleTree, leaf_hash
from bem_kernel.memory.ecc import check_bytes, correct
from bem_kernel.memory.memory import Memory
from bem_kernel.memory.segments import Segment

BLOCK_WORDS = 512


@dataclass(frozen=True)
class Scrub:
    """What `SegmentGuard.scrub` found.

    Attributes:
        corrected: words in which a flipped bit was corrected, by index in the segment.
        damaged: blocks that could not be corrected; they are as they were.
    """

    corrected: tuple[int, ...]
    damaged: tuple[int, ...]


def blocks(words: NDArray[np.uint64]) -> Iterator[NDArray[np.uint64]]:
    """Consecutive views of 512 words, the last one shorter."""
    for start in range(0, len(words), BLOCK_WORDS):
        yield words[start : start + BLOCK_WORDS]


def block_hash(block: NDArray[np.uint64]) -> bytes:
    """The leaf hash of a block: over its words, little-endian."""
    return leaf_hash(np.ascontiguousarray(block, dtype="<u8").data)


def mend(
    block: NDArray[np.uint64], checks: NDArray[np.uint8], digest: bytes
) -> NDArray[np.int64] | None:
    """Correct single flipped bits of a block in place, if that gives its hash.

    Args:
        block: (n,) uint64, whose hash is not `digest`.
        checks: (n,) uint8, its check bytes.
        digest: the hash that it had.

    Returns:
        Indices of the words that were wrong; None if correction does not help, and the block is
        as it was.
    """
    found = correct(block, checks)
    if block_hash(found.words) != digest:
        return None
    wrong = np.flatnonzero(found.words != block)
    block[:] = found.words
    checks[:] = found.checks
    return wrong.astype(np.int64)


class SegmentGuard:
    """The tree and the check bytes of the allocated words of one segment.

    Args:
        memory: guarded as it is now.
        segment: which.
    """

    def __init__(self, memory: Memory, segment: Segment) -> None:
        self.segment = segment
        self._memory = memory
        self._tree = MerkleTree()
        self._checks = np.zeros(0, dtype=np.uint8)
        self.note(0, memory.used_words(segment))

    @property
    def root(self) -> bytes:
        """The root over the blocks, as last noted; 32 bytes."""
        return self._tree.root()

    def note(self, first_word: int, n_words: int) -> None:
        """Take the present content of some words as right, and of all that was allocated since.

        Args:
            first_word: index in the segment.
            n_words: 0 or more.

        Raises:
            SegmentError: the words are not all allocated.
        """
        used = self._used()
        if first_word < 0 or n_words < 0 or first_word + n_words > len(used):
            raise SegmentError(
                f"words {first_word} to {first_word + n_words - 1} are not all allocated",
                where=f"guard of {self.segment.name}",
                fix=f"use 0 to {len(used) - 1}",
            )
        known = len(self._checks)
        if len(used) > known:
            self._checks.resize(len(used), refcheck=False)
            self._take(used, known, len(used))
        if n_words:
            self._take(used, first_word, first_word + n_words)

    def _take(self, used: NDArray[np.uint64], start: int, end: int) -> None:
        self._checks[start:end] = check_bytes(used[start:end])
        for index in range(start // BLOCK_WORDS, -(-end // BLOCK_WORDS)):
            digest = block_hash(used[index * BLOCK_WORDS : (index + 1) * BLOCK_WORDS])
            if index < len(self._tree):
                self._tree.update(index, digest)
            else:
                self._tree.append(digest)

    def scrub(self) -> Scrub:
        """Look at every guarded word, and correct what can be corrected."""
        words = self._used()[: len(self._checks)]
        corrected: list[int] = []
        damaged: list[int] = []
        for index, block in enumerate(blocks(words)):
            first = index * BLOCK_WORDS
            if block_hash(block) == self._tree.leaf(index):
                continue
            checks = self._checks[first : first + len(block)]
            wrong = mend(block, checks, self._tree.leaf(index))
            if wrong is None:
                damaged.append(index)
            else:
                corrected += (wrong + first).tolist()
        self._mend_checks(words, damaged)
        return Scrub(tuple(corrected), tuple(damaged))

    def _mend_checks(self, words: NDArray[np.uint64], damaged: list[int]) -> None:
        """Blocks that their hashes show to be right tell what their check bytes must be."""
        right = check_bytes(words)
        for index in damaged:
            span = slice(index * BLOCK_WORDS, (index + 1) * BLOCK_WORDS)
            right[span] = self._checks[span]
        self._checks[:] = right

    def _used(self) -> NDArray[np.uint64]:
        return self._memory.words(self.segment)[: self._memory.used_words(self.segment)]
