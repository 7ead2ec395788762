"""Merkle trees whose root changes with any leaf, and short proofs about them.

Leaves are hashed with the prefix 0x00, inner nodes with 0x01; a tree of n leaves splits at the
largest power of two below n. The tree keeps the hash of every complete subtree, by level, so that
appending or replacing a leaf and making a proof cost O(log n) hashes and look-ups.

Checking a proof needs no tree: `check_inclusion` and `check_consistency` take hashes alone.

Source: BEM core spec 3.5, 11.2; RFC 9162 section 2.1 (as RFC 6962).
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from itertools import zip_longest

from bem_kernel.errors import MerkleError

EMPTY_ROOT = hashlib.sha256(b"").digest()
"""The root of the tree without leaves."""

HASH_BYTES = 32


def leaf_hash(data: bytes | bytearray | memoryview) -> bytes:
    """The hash of a leaf, 32 bytes."""
    digest = hashlib.sha256(b"\x00")
    digest.update(data)
    return digest.digest()


def node_hash(left: bytes, right: bytes) -> bytes:
    """The hash of a node over the hashes of its two subtrees, 32 bytes."""
    return hashlib.sha256(b"\x01" + left + right).digest()


class MerkleTree:
    """A tree over a list of leaves, of which only hashes are kept: about 64 bytes a leaf.

    Args:
        hashes: hashes of the first leaves, as `leaf_hash` makes them.
    """

    def __init__(self, hashes: Iterable[bytes] = ()) -> None:
        self._levels: list[list[bytes]] = [[]]
        for digest in hashes:
            self.append(digest)

    def __len__(self) -> int:
        return len(self._levels[0])

    def append(self, digest: bytes) -> int:
        """Add a leaf by its hash and return its index.

        Raises:
            MerkleError: the hash is not 32 bytes.
        """
        _check_hash(digest, "merkle.append")
        self._levels[0].append(digest)
        for level, nodes in enumerate(self._levels):
            if len(nodes) % 2:
                break
            if level + 1 == len(self._levels):
                self._levels.append([])
            self._levels[level + 1].append(node_hash(nodes[-2], nodes[-1]))
        return len(self) - 1

    def update(self, index: int, digest: bytes) -> None:
        """Replace the hash of a leaf.

        Proofs made before no longer hold against the new root.

        Raises:
            MerkleError: there is no such leaf, or the hash is not 32 bytes.
        """
        _check_hash(digest, "merkle.update")
        self._check_index(index, len(self), "merkle.update")
        self._levels[0][index] = digest
        for level in range(1, len(self._levels)):
            index >>= 1
            if index >= len(self._levels[level]):
                break
            below = self._levels[level - 1]
            self._levels[level][index] = node_hash(below[2 * index], below[2 * index + 1])

    def leaf(self, index: int) -> bytes:
        """The hash of a leaf.

        Raises:
            MerkleError: there is no such leaf.
        """
        self._check_index(index, len(self), "merkle.leaf")
        return self._levels[0][index]

    def first_difference(self, hashes: Iterable[bytes]) -> int | None:
        """Index of the first leaf that differs from `hashes`, missing ones included; else None."""
        missing = object()
        for index, (own, other) in enumerate(
            zip_longest(self._levels[0], hashes, fillvalue=missing)
        ):
            if own != other:
                return index
        return None

    def root(self, size: int | None = None) -> bytes:
        """The root over the first `size` leaves; None: over all.

        Raises:
            MerkleError: there are fewer leaves.
        """
        count = self._size(size, "merkle.root")
        return self._subtree(0, count) if count else EMPTY_ROOT

    def inclusion_proof(self, index: int, size: int | None = None) -> tuple[bytes, ...]:
        """The hashes that lead from one leaf to the root over the first `size` leaves.

        Args:
            index: of the leaf.
            size: None for all leaves.

        Returns:
            At most ceil(log2(size)) hashes, from the leaf's sibling up.

        Raises:
            MerkleError: no such leaf among the first `size`, or fewer leaves.
        """
        count = self._size(size, "merkle.inclusion_proof")
        self._check_index(index, count, "merkle.inclusion_proof")
        start, end, path = 0, count, []
        while end - start > 1:
            middle = start + _split(end - start)
            if index < middle:
                path.append(self._subtree(middle, end))
                end = middle
            else:
                path.append(self._subtree(start, middle))
                start = middle
        return tuple(reversed(path))

    def consistency_proof(self, old_size: int, new_size: int | None = None) -> tuple[bytes, ...]:
        """The hashes that show that the first `old_size` leaves are the beginning of a later tree.

        Args:
            old_size: 1 or more.
            new_size: None for all leaves.

        Raises:
            MerkleError: old_size is 0 or larger than new_size, or there are fewer leaves.
        """
        count = self._size(new_size, "merkle.consistency_proof")
        if not 0 < old_size <= count:
            raise MerkleError(
                f"from {old_size} to {count} leaves",
                where="merkle.consistency_proof",
                fix=f"begin with 1 to {count} leaves",
            )
        start, end, path = 0, count, []
        whole = True  # whether the old tree's part of start..end begins at leaf 0
        while old_size != end:
            middle = start + _split(end - start)
            if old_size <= middle:
                path.append(self._subtree(middle, end))
                end = middle
            else:
                path.append(self._subtree(start, middle))
                start, whole = middle, False
        if not whole:
            path.append(self._subtree(start, end))
        return tuple(reversed(path))

    def _size(self, size: int | None, where: str) -> int:
        count = len(self) if size is None else size
        if not 0 <= count <= len(self):
            raise MerkleError(
                f"{count} leaves asked of {len(self)}", where=where, fix=f"use 0 to {len(self)}"
            )
        return count

    def _check_index(self, index: int, size: int, where: str) -> None:
        if not 0 <= index < size:
            raise MerkleError(
                f"no leaf {index} among {size}", where=where, fix="use 0 to the number less 1"
            )

    def _subtree(self, start: int, end: int) -> bytes:
        """Hash over leaves start .. end-1; start is a multiple of a power of two >= end - start.

        Complete subtrees are looked up; the ragged right edge is folded from its small end.
        """
        digest: bytes | None = None
        size = end - start
        while size:
            level = (size & -size).bit_length() - 1
            size -= 1 << level
            node = self._levels[level][(start + size) >> level]
            digest = node if digest is None else node_hash(node, digest)
        assert digest is not None
        return digest


def check_inclusion(
    digest: bytes, index: int, size: int, proof: Sequence[bytes], root: bytes
) -> None:
    """Accept only a proof that a leaf is in the tree with a root.

    Args:
        digest: hash of the leaf.
        index: its place.
        size: number of leaves of the tree.
        proof: as `MerkleTree.inclusion_proof` makes it.
        root: of the tree.

    Raises:
        MerkleError: the proof does not show it.

    Source: RFC 9162 section 2.1.3.2.
    """
    where = f"inclusion of leaf {index} of {size}"
    if not 0 <= index < size:
        raise MerkleError("there is no such leaf", where=where, fix="use an index below the size")
    _check_hash(digest, where)
    place, last, found = index, size - 1, digest
    for sibling in proof:
        _check_hash(sibling, where)
        if last == 0:
            raise _refuted(where, "the proof is too long")
        if place & 1 or place == last:
            found = node_hash(sibling, found)
            while not place & 1 and place:
                place, last = place >> 1, last >> 1
        else:
            found = node_hash(found, sibling)
        place, last = place >> 1, last >> 1
    if last:
        raise _refuted(where, "the proof is too short")
    if found != root:
        raise _refuted(where, "the proof leads to another root")


def check_consistency(
    old_size: int, old_root: bytes, new_size: int, new_root: bytes, proof: Sequence[bytes]
) -> None:
    """Accept only a proof that a tree is the beginning of a later one.

    Args:
        old_size: number of leaves of the earlier tree, 1 or more.
        old_root: its root.
        new_size: number of leaves of the later tree.
        new_root: its root.
        proof: as `MerkleTree.consistency_proof` makes it.

    Raises:
        MerkleError: the proof does not show it.

    Source: RFC 9162 section 2.1.4.2.
    """
    where = f"consistency of {old_size} with {new_size} leaves"
    if not 0 < old_size <= new_size:
        raise MerkleError("the sizes are no beginning and end", where=where, fix="swap them")
    if old_size == new_size:
        if proof or old_root != new_root:
            raise _refuted(where, "equal sizes have equal roots and an empty proof")
        return
    path = list(proof)
    if old_size & (old_size - 1) == 0:
        path.insert(0, old_root)
    if not path:
        raise _refuted(where, "the proof is too short")
    place, last = old_size - 1, new_size - 1
    while place & 1:
        place, last = place >> 1, last >> 1
    _check_hash(path[0], where)
    old_found = new_found = path[0]
    for sibling in path[1:]:
        _check_hash(sibling, where)
        if last == 0:
            raise _refuted(where, "the proof is too long")
        if place & 1 or place == last:
            old_found = node_hash(sibling, old_found)
            new_found = node_hash(sibling, new_found)
            while not place & 1 and place:
                place, last = place >> 1, last >> 1
        else:
            new_found = node_hash(new_found, sibling)
        place, last = place >> 1, last >> 1
    if last:
        raise _refuted(where, "the proof is too short")
    if old_found != old_root or new_found != new_root:
        raise _refuted(where, "the proof leads to other roots")


def _split(size: int) -> int:
    """The largest power of two below `size`, for size >= 2."""
    return 1 << (size - 1).bit_length() - 1


def _check_hash(digest: bytes, where: str) -> None:
    if len(digest) != HASH_BYTES:
        raise MerkleError(
            f"a hash has {len(digest)} bytes", where=where, fix="use leaf_hash, 32 bytes"
        )


def _refuted(where: str, what: str) -> MerkleError:
    return MerkleError(what, where=where, fix="trust neither the leaf nor the root")
