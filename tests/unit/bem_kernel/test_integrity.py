"""Guards of segments: what they notice, mend, name, and take as right."""

from __future__ import annotations

import numpy as np
import pytest

from bem_kernel.errors import SegmentError
from bem_kernel.ledger.merkle import MerkleTree
from bem_kernel.memory.configuration import MachineConfig
from bem_kernel.memory.integrity import SegmentGuard, block_hash, blocks
from bem_kernel.memory.memory import Memory
from bem_kernel.memory.segments import Segment

SIZE = 3 * 512 + 40  # three whole blocks and a short one


@pytest.fixture
def memory() -> Memory:
    memory = Memory(MachineConfig())
    rng = np.random.default_rng(3)
    table = memory.allocate(Segment.EXPERT, "table", np.uint64, (SIZE,))
    table[:] = rng.integers(0, 1 << 63, SIZE, dtype=np.uint64)
    return memory


def fresh_root(memory: Memory) -> bytes:
    used = memory.words(Segment.EXPERT)[: memory.used_words(Segment.EXPERT)]
    return MerkleTree(block_hash(block) for block in blocks(used)).root()


def test_single_flips_in_many_words_are_mended(memory: Memory) -> None:
    guard = SegmentGuard(memory, Segment.EXPERT)
    table = memory.region(Segment.EXPERT, "table")
    right = table.copy()
    places = [0, 511, 512, 1300, SIZE - 1]
    for place in places:
        table[place] ^= np.uint64(1 << place % 64)
    scrub = guard.scrub()
    assert (list(scrub.corrected), scrub.damaged) == (places, ())
    assert (table == right).all()
    assert guard.scrub() == type(scrub)((), ())


def test_what_cannot_be_mended_is_named_and_left_alone(memory: Memory) -> None:
    guard = SegmentGuard(memory, Segment.EXPERT)
    table = memory.region(Segment.EXPERT, "table")
    table[700] ^= np.uint64(0b11)  # two bits: detected
    table[1540] ^= np.uint64(0b111)  # three bits look like one; the hash knows better
    table[5] ^= np.uint64(1)
    damaged = table.copy()
    damaged[5] ^= np.uint64(1)
    scrub = guard.scrub()
    assert scrub.corrected == (5,)
    assert scrub.damaged == (1, 3)
    assert (table == damaged).all()


def test_noted_changes_are_right_and_cost_their_blocks(
    memory: Memory, monkeypatch: pytest.MonkeyPatch
) -> None:
    guard = SegmentGuard(memory, Segment.EXPERT)
    before = guard.root
    table = memory.region(Segment.EXPERT, "table")
    table[510:515] = 7
    hashed = []

    def counted(block: np.ndarray) -> bytes:
        hashed.append(len(block))
        return block_hash(block)

    monkeypatch.setattr("bem_kernel.memory.integrity.block_hash", counted)
    guard.note(510, 5)
    assert hashed == [512, 512]
    assert guard.root == fresh_root(memory) != before
    assert guard.scrub().damaged == ()
    table[20] += np.uint64(0b1010101)
    assert guard.scrub().damaged == (0,)


def test_a_guard_grows_with_its_segment(memory: Memory) -> None:
    guard = SegmentGuard(memory, Segment.EXPERT)
    more = memory.allocate(Segment.EXPERT, "more", np.uint64, (1000,))
    more[:] = 5
    assert guard.scrub().damaged == ()  # what is not noted yet is not guarded
    guard.note(memory.used_words(Segment.EXPERT) - 8, 8)
    assert guard.root == fresh_root(memory)
    more[999] ^= np.uint64(1 << 40)
    assert guard.scrub().corrected == (SIZE + 999,)


def test_an_empty_segment_and_words_that_are_not_there(memory: Memory) -> None:
    guard = SegmentGuard(memory, Segment.PROOF)
    assert guard.root == MerkleTree().root()
    assert guard.scrub().damaged == ()
    guard = SegmentGuard(memory, Segment.EXPERT)
    for first, count in ((SIZE, 1), (-1, 1), (0, SIZE + 1), (5, -2)):
        with pytest.raises(SegmentError, match=r"guard of EXPERT: words .* are not all allocated"):
            guard.note(first, count)


def test_damaged_check_bytes_are_made_again(memory: Memory) -> None:
    guard = SegmentGuard(memory, Segment.EXPERT)
    guard._checks[:] ^= 3
    assert guard.scrub().corrected == ()
    memory.region(Segment.EXPERT, "table")[9] ^= np.uint64(2)
    assert guard.scrub().corrected == (9,)
