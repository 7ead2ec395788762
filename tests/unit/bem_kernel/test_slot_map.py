"""Slot maps: slots, new identifiers, rebalancing, and what they refuse."""

from __future__ import annotations

import numpy as np
import pytest

from bem_kernel.errors import IdentifierError, SegmentError
from bem_kernel.identifiers.classes import IdClass
from bem_kernel.identifiers.gray import sim
from bem_kernel.identifiers.ident import Identifier, decode, encode
from bem_kernel.memory.configuration import MachineConfig
from bem_kernel.memory.memory import Memory
from bem_kernel.memory.segments import Segment
from bem_kernel.memory.slot_map import SlotMap


@pytest.fixture
def memory() -> Memory:
    return Memory(MachineConfig(shared_words=1 << 14))


def expert(local: int, shard: int = 0) -> int:
    return encode(Identifier(IdClass.EXPERT, shard, local))


def test_slots_come_in_order_and_the_freed_one_comes_next(memory: Memory) -> None:
    slots = SlotMap.create(memory, "experts", IdClass.EXPERT, 4)
    assert [slots.allocate(expert(local)) for local in (9, 3, 7)] == [0, 1, 2]
    assert slots.free(expert(3)) == 1
    assert expert(3) not in slots
    assert [slots.allocate(expert(local)) for local in (1, 5)] == [1, 3]
    assert slots.identifiers.tolist() == [expert(local) for local in (9, 1, 7, 5)]
    assert [slots.slot(expert(local)) for local in (9, 1, 7, 5)] == [0, 1, 2, 3]
    assert len(slots) == 4


def test_new_identifiers_are_never_made_twice(memory: Memory) -> None:
    slots = SlotMap.create(memory, "experts", IdClass.EXPERT, 4)
    slots.allocate(expert(1, shard=5))
    first, second = slots.new(5), slots.new(5)
    assert [decode(word).identifier.local for word in (first, second)] == [0, 2]
    slots.free(second)
    assert decode(slots.new(5)).identifier == Identifier(IdClass.EXPERT, 5, 3)


def test_a_shard_can_be_used_up(memory: Memory) -> None:
    slots = SlotMap.create(memory, "experts", IdClass.EXPERT, 4)
    memory.region(Segment.SHARED, "experts.next")[7] = (1 << 14) - 1
    assert slots.new(7) == expert((1 << 14) - 1, 7)
    with pytest.raises(IdentifierError, match="shard 7 has no identifiers left; use another"):
        slots.new(7)
    assert len(slots) == 1


def test_what_is_refused_changes_nothing(memory: Memory) -> None:
    slots = SlotMap.create(memory, "experts", IdClass.EXPERT, 2)
    slots.allocate(expert(1))
    concept = encode(Identifier(IdClass.CONCEPT, 0, 1))
    for word, message in (
        (concept, r"slot map experts: 0x.* is of class 1; use class 2"),
        (expert(1), r"0x.* has a slot; free it first"),
        (expert(2) ^ 8, r"0x.* is no identifier"),
        (0, "0x00000000 is of class 0"),
    ):
        with pytest.raises(IdentifierError, match=message):
            slots.allocate(word)
    slots.new()
    with pytest.raises(IdentifierError, match="all 2 slots are taken; make a larger map"):
        slots.allocate(expert(3))
    with pytest.raises(IdentifierError, match="all 2 slots are taken"):
        slots.new()
    for word in (expert(3), 0, -1, 1 << 40):
        with pytest.raises(IdentifierError, match=r"has no slot; allocate the identifier first"):
            slots.slot(word)
        with pytest.raises(IdentifierError, match="has no slot"):
            slots.free(word)
    with pytest.raises(IdentifierError, match="shard 64; use 0 to 63"):
        slots.new(64)
    slots.check()
    assert len(slots) == 2


def test_a_map_cannot_be_of_no_class_or_no_size(memory: Memory) -> None:
    with pytest.raises(IdentifierError, match="class 0; use 1 to 63"):
        SlotMap.create(memory, "x", 0, 4)
    with pytest.raises(IdentifierError, match="0 slots; use 1 to 1048576"):
        SlotMap.create(memory, "x", 1, 0)
    with pytest.raises(SegmentError, match="there is no such region"):
        SlotMap(memory, "x")


def test_it_is_found_again_by_its_name_and_programs_cannot_write_it(memory: Memory) -> None:
    slots = SlotMap.create(memory, "experts", IdClass.EXPERT, 8)
    word = slots.new()
    again = SlotMap(memory, "experts")
    assert again.slot(word) == 0
    assert (again.capacity, again.class_) == (8, IdClass.EXPERT)
    for part in ("identifiers", "buckets", "free", "next", "state"):
        address = memory.address(Segment.SHARED, f"experts.{part}")
        memory.load(address)
        with pytest.raises(SegmentError, match="of SHARED is read-only"):
            memory.store(address, 0)


def test_rebalancing_orders_along_the_gray_walk_and_moves_contents(memory: Memory) -> None:
    slots = SlotMap.create(memory, "experts", IdClass.EXPERT, 64)
    rng = np.random.default_rng(5)
    words = [expert(int(local), int(local) % 4) for local in rng.permutation(60)]
    table = np.zeros(64, dtype=np.uint32)
    for word in words:
        table[slots.allocate(word)] = word  # a table whose rows tell whose they are
    for word in words[::3]:
        slots.free(word)
    kept = [word for i, word in enumerate(words) if i % 3]
    before = neighbour_similarity(table[[slots.slot(word) for word in kept]])
    source = slots.rebalance()
    table[:] = table[source]
    assert sorted(source.tolist()) == list(range(64))
    assert [slots.slot(word) for word in sorted(kept)] == list(range(40))
    assert table[:40].tolist() == sorted(kept) == slots.identifiers[:40].tolist()
    assert neighbour_similarity(table[:40]) > before + 2
    slots.check()
    assert slots.allocate(words[0]) == 40


def neighbour_similarity(words: np.ndarray) -> int:
    """Mean similarity of rows that follow each other, rounded down."""
    return int(sim(words[1:], words[:-1]).sum() // (len(words) - 1))


def test_rebalancing_by_use_puts_the_busiest_first(memory: Memory) -> None:
    slots = SlotMap.create(memory, "experts", IdClass.EXPERT, 5)
    for local in (4, 2, 3):
        slots.allocate(expert(local))
    visits = np.array([1, 8, 8, 99, 99])
    source = slots.rebalance(-visits)
    assert source.tolist()[:3] == [1, 2, 0]
    assert slots.identifiers.tolist() == [expert(2), expert(3), expert(4), 0, 0]
    with pytest.raises(IdentifierError, match=r"keys are int32 of shape \(5,\); give \(5,\) int64"):
        slots.rebalance(np.zeros(5, dtype=np.int32))  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("part", "index", "value", "message"),
    [
        ("identifiers", 1, 0, "does not list the slots that are taken"),
        ("identifiers", 3, expert(9), "does not list the slots that are taken"),
        ("identifiers", 0, encode(Identifier(1, 0, 0)), "an identifier is of another class"),
        ("identifiers", 0, expert(1), "an identifier is not found at its slot"),
        ("buckets", None, 2**31 - 1, "does not list the slots that are taken"),
        ("buckets", None, -5, "does not list the slots that are taken"),
        ("free", 0, 2, "the list of free slots is wrong"),
        ("state", 0, 1, "does not list the slots that are taken"),
        ("state", 1, 3, "an identifier is of another class"),
    ],
)
def test_a_damaged_map_is_refused(
    memory: Memory, part: str, index: int | None, value: int, message: str
) -> None:
    slots = SlotMap.create(memory, "experts", IdClass.EXPERT, 8)
    for local in range(3):
        slots.allocate(expert(local))
    region = memory.region(Segment.SHARED, f"experts.{part}")
    if index is None:
        index = int(np.flatnonzero(region)[0])
    region[index] = value
    with pytest.raises(IdentifierError, match=f"slot map experts: .*{message}; load another"):
        SlotMap(memory, "experts")


def test_regions_of_another_form_are_refused(memory: Memory) -> None:
    for part, dtype, size in (
        ("identifiers", np.uint32, 8),
        ("buckets", np.int32, 7),
        ("free", np.int32, 8),
        ("next", np.int32, 64),
        ("state", np.int64, 2),
    ):
        memory.allocate(Segment.SHARED, f"odd.{part}", dtype, (size,))
    with pytest.raises(IdentifierError, match=r"slot map odd: a region is int32 of shape \(7,\)"):
        SlotMap(memory, "odd")
