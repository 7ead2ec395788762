"""Merkle trees against the definitions in the RFC; proofs and their sabotage."""

from __future__ import annotations

import hashlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bem_kernel.errors import MerkleError
from bem_kernel.ledger.merkle import (
    MerkleTree,
    check_consistency,
    check_inclusion,
    leaf_hash,
    node_hash,
)

SIZES = range(1, 20)


def tree_hash(leaves: list[bytes]) -> bytes:
    """MTH of RFC 9162, section 2.1.1, word for word."""
    n = len(leaves)
    if n == 0:
        return hashlib.sha256().digest()
    if n == 1:
        return hashlib.sha256(b"\x00" + leaves[0]).digest()
    k = 1
    while 2 * k < n:
        k *= 2
    both = tree_hash(leaves[:k]) + tree_hash(leaves[k:])
    return hashlib.sha256(b"\x01" + both).digest()


def leaves_of(count: int) -> list[bytes]:
    return [f"leaf {i}".encode() for i in range(count)]


def tree_of(leaves: list[bytes]) -> MerkleTree:
    return MerkleTree(leaf_hash(leaf) for leaf in leaves)


@given(st.lists(st.binary(max_size=5), max_size=40), st.data())
def test_appending_and_replacing_give_the_root_of_the_definition(
    leaves: list[bytes], data: st.DataObject
) -> None:
    tree = MerkleTree()
    for index, leaf in enumerate(leaves):
        assert tree.append(leaf_hash(leaf)) == index
    assert tree.root() == tree_hash(leaves)
    for _ in range(3):
        if leaves:
            index = data.draw(st.integers(0, len(leaves) - 1))
            leaves[index] = data.draw(st.binary(max_size=5))
            tree.update(index, leaf_hash(leaves[index]))
            assert tree.leaf(index) == leaf_hash(leaves[index])
        size = data.draw(st.integers(0, len(leaves)))
        assert tree.root(size) == tree_hash(leaves[:size])
    tree.append(leaf_hash(b"last"))  # after updates, appending still builds on good nodes
    assert tree.root() == tree_hash([*leaves, b"last"])


@pytest.mark.parametrize("size", SIZES)
def test_every_inclusion_proof_holds_and_nothing_else_does(size: int) -> None:
    leaves = leaves_of(size)
    tree = tree_of(leaves)
    root = tree.root()
    for index in range(size):
        digest, proof = leaf_hash(leaves[index]), tree.inclusion_proof(index)
        assert len(proof) <= (size - 1).bit_length()
        check_inclusion(digest, index, size, proof, root)
        for other in range(size):
            if other != index:
                with pytest.raises(MerkleError, match="inclusion of leaf"):
                    check_inclusion(digest, other, size, proof, root)
        for bad in sabotaged(proof):
            with pytest.raises(MerkleError, match=r"another root|too short|too long"):
                check_inclusion(digest, index, size, bad, root)
        with pytest.raises(MerkleError, match="the proof leads to another root; trust neither"):
            check_inclusion(leaf_hash(b"forged"), index, size, proof, root)


@pytest.mark.parametrize("new", SIZES)
def test_every_consistency_proof_holds_and_nothing_else_does(new: int) -> None:
    tree = tree_of(leaves_of(new))
    forged = tree_of([b"forged", *leaves_of(new)[1:]])
    for old in range(1, new + 1):
        roots, proof = (tree.root(old), tree.root(new)), tree.consistency_proof(old, new)
        check_consistency(old, roots[0], new, roots[1], proof)
        for bad in sabotaged(proof):
            with pytest.raises(MerkleError, match=r"other roots|too short|too long|empty proof"):
                check_consistency(old, roots[0], new, roots[1], bad)
        with pytest.raises(MerkleError, match=r"other roots|equal roots"):
            check_consistency(old, forged.root(old), new, roots[1], proof)
        with pytest.raises(MerkleError, match=r"other roots|equal roots"):
            check_consistency(old, roots[0], new, forged.root(new), proof)


def sabotaged(proof: tuple[bytes, ...]) -> list[tuple[bytes, ...]]:
    """One bit flipped in each hash; a hash too few, too many, two swapped."""
    bad = [(*proof, bytes(32)), (bytes(32), *proof)]
    for i, digest in enumerate(proof):
        flipped = bytes([digest[0] ^ 1]) + digest[1:]
        bad += [(*proof[:i], flipped, *proof[i + 1 :]), (*proof[:i], *proof[i + 1 :])]
    if len(proof) > 1:
        bad.append((proof[1], proof[0], *proof[2:]))
    return bad


def test_a_leaf_cannot_pass_for_a_node() -> None:
    left, right = leaf_hash(b"a"), leaf_hash(b"b")
    assert leaf_hash(left + right) != node_hash(left, right)


def test_every_single_bit_flip_in_a_thousand_entries_is_found_at_its_index() -> None:
    entries = [f'{{"step":{i},"won":{i % 7}}}'.encode() for i in range(1000)]
    tree = tree_of(entries)
    hashes = [leaf_hash(entry) for entry in entries]
    assert tree.first_difference(hashes) is None
    for index, entry in enumerate(entries):
        proof, root = tree.inclusion_proof(index), tree.root()
        check_inclusion(hashes[index], index, 1000, proof, root)
        for bit in range(8 * len(entry)):
            flipped = bytearray(entry)
            flipped[bit // 8] ^= 1 << bit % 8
            digest = leaf_hash(flipped)
            assert digest != hashes[index]
            if bit % 50 == 0:  # all flips change the leaf; proofs and searches need few
                with pytest.raises(MerkleError, match="the proof leads to another root"):
                    check_inclusion(digest, index, 1000, proof, root)
                changed = [*hashes[:index], digest, *hashes[index + 1 :]]
                assert tree.first_difference(changed) == index
    assert tree.first_difference(hashes[:-1]) == 999
    assert tree.first_difference([*hashes, bytes(32)]) == 1000


def test_costs_grow_with_the_logarithm(monkeypatch: pytest.MonkeyPatch) -> None:
    tree = MerkleTree(bytes([i % 256]) * 32 for i in range(5000))
    calls = 0

    def counted(left: bytes, right: bytes) -> bytes:
        nonlocal calls
        calls += 1
        return hashlib.sha256(b"\x01" + left + right).digest()

    monkeypatch.setattr("bem_kernel.ledger.merkle.node_hash", counted)
    for action in (
        lambda: tree.append(bytes(32)),
        lambda: tree.update(1234, bytes(32)),
        lambda: tree.root(),
        lambda: tree.root(4095),
        lambda: tree.inclusion_proof(17),
    ):
        calls = 0
        action()
        assert calls <= 13  # 2**12 < 5000 <= 2**13
    calls = 0
    tree.consistency_proof(2731)
    assert calls <= 13 * 13


def test_what_is_not_there_is_refused() -> None:
    tree = tree_of(leaves_of(5))
    with pytest.raises(MerkleError, match="a hash has 4 bytes; use leaf_hash, 32 bytes"):
        tree.append(b"leaf")
    with pytest.raises(MerkleError, match="merkle.update: no leaf 5 among 5"):
        tree.update(5, bytes(32))
    with pytest.raises(MerkleError, match="no leaf -1 among 5"):
        tree.leaf(-1)
    with pytest.raises(MerkleError, match="6 leaves asked of 5; use 0 to 5"):
        tree.root(6)
    with pytest.raises(MerkleError, match="merkle.inclusion_proof: no leaf 3 among 3"):
        tree.inclusion_proof(3, 3)
    with pytest.raises(MerkleError, match="from 0 to 5 leaves; begin with 1 to 5"):
        tree.consistency_proof(0)
    with pytest.raises(MerkleError, match="from 4 to 3 leaves"):
        tree.consistency_proof(4, 3)
    with pytest.raises(MerkleError, match="there is no such leaf"):
        check_inclusion(bytes(32), 0, 0, [], bytes(32))
    with pytest.raises(MerkleError, match="a hash has 31 bytes"):
        check_inclusion(bytes(32), 0, 2, [bytes(31)], bytes(32))
    with pytest.raises(MerkleError, match="the sizes are no beginning and end"):
        check_consistency(3, bytes(32), 2, bytes(32), [])
    with pytest.raises(MerkleError, match="the proof is too short"):
        check_consistency(3, bytes(32), 4, bytes(32), [])
