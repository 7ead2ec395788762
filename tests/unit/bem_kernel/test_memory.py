"""Memory: sizes, regions, addresses, rights; the compiled access beside its plain twin."""

from __future__ import annotations

import numpy as np
import pytest

from bem_kernel.errors import SegmentError
from bem_kernel.memory import access
from bem_kernel.memory.configuration import (
    MAX_SIZE,
    MachineConfig,
    config_from_record,
    config_record,
)
from bem_kernel.memory.faults import FAULT_BOUNDS, FAULT_RIGHTS, FAULT_SEGMENT, fault_text
from bem_kernel.memory.memory import Memory, memory_bytes, row_pitch
from bem_kernel.memory.segments import PROGRAM_RIGHTS, Rights, Segment, address_of

SMALL = MachineConfig(
    n_bits=8,
    n_shared_bits=128,
    n_parameters=5,
    lanes=100,
    shared_words=40,
    expert_words=16,
    code_words=16,
    trace_words=16,
    proof_words=0,
    teach_words=9,
)


@pytest.fixture
def memory() -> Memory:
    return Memory(SMALL)


def test_the_logical_state_is_there_and_zero(memory: Memory) -> None:
    assert (memory.planes.shape, memory.planes.dtype) == ((8, 2), np.uint64)
    assert (memory.shared_bits.shape, memory.shared_bits.dtype) == ((2,), np.uint64)
    assert (memory.theta.shape, memory.theta.dtype) == ((5,), np.int64)
    assert not memory.arrays.words.any()
    memory.shared_bits[1] = 9
    memory.theta[0] = -1
    words = memory.words(Segment.SHARED)
    assert (int(words[1]), int(words[8])) == (9, (1 << 64) - 1)
    assert memory.region(Segment.STATE, "planes") is not None
    assert memory.address(Segment.SHARED, "m") == 1 << 48


def test_segments_are_disjoint_and_have_their_sizes(memory: Memory) -> None:
    for number, segment in enumerate(Segment, start=1):
        memory.words(segment)[:] = number
    assert memory.arrays.words.tolist() == [
        number
        for number, size in enumerate((16, 8 + 8 + 40, 16, 16, 16, 0, 16), start=1)
        for _ in range(size)
    ]
    assert memory_bytes(SMALL) == memory.arrays.words.nbytes


def test_regions_are_aligned_zeroed_disjoint_views(memory: Memory) -> None:
    memory.words(Segment.EXPERT)[:] = 7
    first = memory.allocate(Segment.EXPERT, "a", np.int32, (3, 5))
    second = memory.allocate(Segment.EXPERT, "b", np.uint8, ())
    assert not first.any() and not second.any()
    assert (first.dtype, first.shape, second.shape) == (np.int32, (3, 5), ())
    assert first.ctypes.data % 64 == second.ctypes.data % 64 == 0
    assert memory.arrays.words.ctypes.data % 64 == 0
    assert first.flags.c_contiguous
    first[:] = -1
    second[...] = 1
    assert (first == -1).all() and second
    assert memory.region(Segment.EXPERT, "a").base is not None
    memory.region(Segment.EXPERT, "a")[2, 4] = 11
    assert first[2, 4] == 11
    assert memory.used_words(Segment.EXPERT) == 16
    assert memory.free_words(Segment.EXPERT) == 0
    assert [entry.name for entry in memory.directory()] == ["planes", "m", "theta", "a", "b"]
    assert memory.has(Segment.EXPERT, "a") and not memory.has(Segment.CODE, "a")


def test_a_region_of_nothing_takes_no_room(memory: Memory) -> None:
    nothing = memory.allocate(Segment.PROOF, "nothing", np.uint8, (0, 4))
    assert nothing.shape == (0, 4)
    assert memory.used_words(Segment.PROOF) == 0


@pytest.mark.parametrize(
    ("name", "dtype", "shape", "message"),
    [
        ("full", np.uint64, (17,), "needs 24 words, 16 are free; use a machine config"),
        ("full", np.uint8, (1 << 60,), "shape .*; use smaller sizes"),
        ("odd", np.float32, (2,), "float32 holds no integers of this machine"),
        ("odd", np.bool_, (2,), "bool holds no integers"),
        ("odd", "O", (2,), "object holds no integers"),
        ("odd", ">u8", (2,), ">u8 holds no integers of this machine"),
        ("odd", "u8,u8", (2,), "holds no integers"),
        ("odd", "M8[s]", (2,), "holds no integers"),
        ("odd", "nonsense", (2,), "'nonsense' is no type"),
        ("odd", np.uint8, (-1,), "shape .-1,.; use up to 8 sizes of 0 or more"),
        ("odd", np.uint8, (1,) * 9, "use up to 8 sizes"),
        ("", np.uint8, (1,), "'' is no name"),
        ("a b", np.uint8, (1,), "'a b' is no name; use 1 to 64 letters"),
        ("../a", np.uint8, (1,), "is no name"),
        ("ä", np.uint8, (1,), "is no name"),
        ("a\n", np.uint8, (1,), "is no name"),
        ("x" * 65, np.uint8, (1,), "is no name"),
    ],
)
def test_regions_that_cannot_be_leave_everything_as_it_was(
    memory: Memory, name: str, dtype: object, shape: tuple[int, ...], message: str
) -> None:
    before = memory.directory()
    with pytest.raises(SegmentError, match=f"(?s)memory.allocate EXPERT.*: .*{message}"):
        memory.allocate(Segment.EXPERT, name, dtype, shape)  # type: ignore[arg-type]
    assert memory.directory() == before
    assert memory.used_words(Segment.EXPERT) == 0


def test_names_are_unique_in_a_segment(memory: Memory) -> None:
    with pytest.raises(SegmentError, match=r"memory.allocate SHARED.m: the name is taken"):
        memory.allocate(Segment.SHARED, "m", np.uint8, (1,))
    memory.allocate(Segment.CODE, "m", np.uint8, (1,))
    with pytest.raises(SegmentError, match=r"memory CODE.x: there is no such region; use one of m"):
        memory.region(Segment.CODE, "x")
    with pytest.raises(SegmentError, match="there is no such region; allocate it first"):
        memory.address(Segment.TRACE, "x")


def test_programs_load_and_store_words_within_their_rights(memory: Memory) -> None:
    memory.allocate(Segment.SHARED, "duals", np.int64, (8,), protected=True)
    memory.allocate(Segment.SHARED, "scratch", np.int64, (8,))
    for segment in (Segment.EXPERT, Segment.CODE, Segment.TRACE, Segment.TEACH):
        memory.allocate(segment, "x", np.uint64, (8,))
    scratch = memory.address(Segment.SHARED, "scratch")
    memory.store(scratch, -2)
    assert memory.load(scratch) == (1 << 64) - 2
    memory.store(scratch, (5 << 64) + 3)
    assert memory.load(scratch) == 3
    assert memory.load(address_of(Segment.TRACE, 7)) == 0
    for address in (
        memory.address(Segment.SHARED, "duals"),
        address_of(Segment.EXPERT, 0),
        address_of(Segment.CODE, 7),
        address_of(Segment.TRACE, 0),
    ):
        with pytest.raises(SegmentError, match=r"memory.store: word \d+ of \w+ is read-only"):
            memory.store(address, 1)
    for address in (address_of(Segment.TEACH, 8), address_of(Segment.PROOF, 0), (2 << 48) - 1):
        with pytest.raises(SegmentError, match=r"memory.load: word \d+ of \w+ is not allocated"):
            memory.load(address)
    for address in (7 << 48, -1, 1 << 63):
        with pytest.raises(SegmentError, match=r"is in segment -?\d+, the last is 6; use"):
            memory.load(address)


def test_the_compiled_access_is_the_plain_one(memory: Memory) -> None:
    memory.allocate(Segment.SHARED, "duals", np.int64, (8,), protected=True)
    memory.allocate(Segment.SHARED, "scratch", np.int64, (9,))
    memory.allocate(Segment.EXPERT, "x", np.uint64, (8,))
    _, spans, rights = memory.arrays
    faults = set()
    indices = (0, 1, 15, 16, 23, 24, 40, 55, 56, 1 << 20, (1 << 48) - 1)
    for segment in range(9):
        for index in indices:
            address = np.uint64(segment << 48 | index)
            for needed, call in ((access.READ, memory.load), (access.WRITE, memory.store)):
                found = access.locate(spans, rights, address, needed)
                faults.add(int(found) if found < 0 else 0)
                value = () if needed == access.READ else (99,)
                if found < 0:
                    with pytest.raises(SegmentError, match=fault_text(found, int(address))):
                        call(int(address), *value)
                else:
                    memory.arrays.words[found] = 17
                    assert memory.load(int(address)) == 17
                    call(int(address), *value)
                    assert memory.arrays.words[found] == (99 if value else 17)
    assert faults == {0, FAULT_SEGMENT, FAULT_BOUNDS, FAULT_RIGHTS}


def test_blocks_of_words_are_checked_as_each_word_is(memory: Memory) -> None:
    memory.allocate(Segment.SHARED, "duals", np.int64, (8,), protected=True)
    memory.allocate(Segment.SHARED, "scratch", np.int64, (9,))
    _, spans, rights = memory.arrays
    shared = int(Segment.SHARED) << 48

    def plain(first: int, count: int, needed: int) -> int:
        if first > 40 or count < 0 or first + count > 40:
            return FAULT_BOUNDS
        each = [
            access.locate(spans, rights, shared | i, needed) for i in range(first, first + count)
        ]
        return min(each) if each and min(each) < 0 else int(spans[1, 0]) + first

    for first in (0, 7, 15, 16, 20, 24, 31, 39, 40, 41):
        for count in (-1, 0, 1, 2, 8, 9, 16, 17, 40, 1 << 62, -(1 << 63)):
            for needed in (access.READ, access.WRITE, access.READ | access.WRITE):
                found = access.locate_block(spans, rights, shared | first, count, needed)
                expected = plain(first, count, needed) if count <= 40 else FAULT_BOUNDS
                assert found == expected, (first, count, needed)
    assert access.locate_block(spans, rights, 9 << 48, 0, access.READ) == FAULT_SEGMENT


def test_every_segment_has_its_number_and_rights() -> None:
    names = ["STATE", "SHARED", "EXPERT", "CODE", "TRACE", "PROOF", "TEACH"]
    assert [segment.name for segment in Segment] == names
    assert [segment.value for segment in Segment] == list(range(7))
    writable = {segment for segment in Segment if PROGRAM_RIGHTS[segment] & Rights.WRITE}
    assert writable == {Segment.STATE, Segment.SHARED, Segment.PROOF, Segment.TEACH}
    assert all(PROGRAM_RIGHTS[segment] & Rights.READ for segment in Segment)


def test_wide_rows_are_never_a_power_of_two_apart() -> None:
    assert [row_pitch(words) for words in (1, 2, 8, 63)] == [1, 2, 8, 63]
    for words in (64, 65, 100, 128, 512, 1000, 4096, 4097):
        pitch = row_pitch(words)
        assert words <= pitch <= words + 16
        assert pitch % 8 == 0 and pitch // 8 % 2 == 1
    memory = Memory(MachineConfig(n_bits=3, lanes=64 * 128))
    assert memory.plane_rows.shape == (3, memory.pitch) == (3, 136)
    assert memory.planes.shape == (3, 128)
    memory.planes[1, 0] = 5
    assert int(memory.words(Segment.STATE)[136]) == 5


@pytest.mark.parametrize(
    ("sizes", "message"),
    [
        ({"n_bits": 0}, "n_bits is 0; use 1 to"),
        ({"lanes": -5}, "lanes is -5; use 1 to"),
        ({"max_experts": MAX_SIZE + 1}, "max_experts is 68719476737; use 1 to 68719476736"),
        ({"n_parameters": True}, "n_parameters is True; use an integer"),
        ({"trace_words": -1}, "trace_words is -1; use 0 to"),
        ({"code_words": 2.0}, "code_words is 2.0; use an integer"),
        ({"n_shared_bits": 65537}, "n_shared_bits is 65537; use a multiple of 64, such as 65600"),
        ({"n_bits": 128, "n_shared_bits": 128}, "M holds more bits than s"),
    ],
)
def test_sizes_are_checked(sizes: dict[str, int], message: str) -> None:
    with pytest.raises(SegmentError, match=f"machine configuration: .*{message}"):
        MachineConfig(**sizes)


def test_a_configuration_from_outside() -> None:
    assert config_from_record({}, "here") == MachineConfig()
    assert config_from_record(config_record(SMALL), "here") == SMALL
    with pytest.raises(SegmentError, match="m.yaml: unknown size 'nbits'; use one of n_bits,"):
        config_from_record({"nbits": 4}, "m.yaml")
    with pytest.raises(SegmentError, match="m.yaml: expected a mapping, got list"):
        config_from_record([1], "m.yaml")
    with pytest.raises(SegmentError, match="m.yaml: lanes is 'many'; use an integer"):
        config_from_record({"lanes": "many"}, "m.yaml")


def test_a_machine_larger_than_the_computer_is_refused() -> None:
    with pytest.raises(SegmentError, match=r"memory: cannot have \d+ bytes; use smaller sizes"):
        Memory(MachineConfig(n_bits=MAX_SIZE - 1, n_shared_bits=MAX_SIZE, lanes=MAX_SIZE))
