"""Memory images: what comes back, what damage is named, mended or refused."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from bb_core.canonical import canonical_json
from bb_core.errors import BBError
from bem_kernel.errors import ImageError
from bem_kernel.ledger.merkle import leaf_hash
from bem_kernel.memory.configuration import MachineConfig
from bem_kernel.memory.image import image_root, load_image, save_image, verify_image
from bem_kernel.memory.image_header import MAGIC, PREFIX_BYTES
from bem_kernel.memory.integrity import block_hash
from bem_kernel.memory.memory import Memory
from bem_kernel.memory.segments import Segment

CONFIG = MachineConfig(
    n_bits=16,
    n_shared_bits=64,
    n_parameters=3,
    lanes=100,
    max_experts=4,
    shared_words=64,
    expert_words=2048,
    code_words=64,
    trace_words=0,
    proof_words=0,
    teach_words=8,
)


def filled_memory() -> Memory:
    """A small machine with something in most segments; EXPERT has three blocks."""
    memory = Memory(CONFIG)
    rng = np.random.default_rng(7)
    memory.allocate(Segment.EXPERT, "gates", np.int32, (1100, 2))[:] = rng.integers(
        0, 99, (1100, 2)
    )
    memory.allocate(Segment.CODE, "flags", np.uint8, (5,), protected=True)[::2] = 1
    memory.allocate(Segment.TEACH, "none", np.uint8, (0, 7))
    for segment in Segment:
        words = memory.words(segment)[: memory.used_words(segment)]
        words[:] = np.where(words == 0, rng.integers(0, 1 << 62, len(words)), words)
    memory.region(Segment.CODE, "flags")[:] = [1, 0, 1, 0, 1]
    return memory


@pytest.fixture
def saved(tmp_path: Path) -> tuple[Memory, Path, str]:
    memory, path = filled_memory(), tmp_path / "machine.image"
    return memory, path, save_image(memory, path)


def places(memory: Memory, size_bytes: int) -> list[tuple[Segment | None, int | None]]:
    """For each byte of an image, the segment and block to blame when it is damaged."""
    found: list[tuple[Segment | None, int | None]] = []
    for segment in Segment:
        used = memory.used_words(segment)
        blocks = [(segment, word // 512) for word in range(used)]
        found += [place for place in blocks for _ in range(8)]
        found += [(segment, block) for block in range(-(-used // 512)) for _ in range(32)]
        found += blocks
    return [(None, None)] * (size_bytes - len(found)) + found


def test_everything_comes_back(saved: tuple[Memory, Path, str]) -> None:
    memory, path, root = saved
    again = load_image(path, root=root)
    assert again.config == CONFIG
    assert again.directory() == memory.directory()
    for segment in Segment:
        used = memory.used_words(segment)
        assert (again.words(segment)[:used] == memory.words(segment)[:used]).all()
        assert not again.words(segment)[used:].any()
    assert again.region(Segment.CODE, "flags").tolist() == [1, 0, 1, 0, 1]
    assert (again.arrays.rights == memory.arrays.rights).all()
    assert image_root(again) == image_root(memory) == root
    assert again.planes.shape == (16, 2)
    again.allocate(Segment.TEACH, "more", np.uint64, (8,))  # the end of each segment is known


def test_the_root_covers_contents_names_and_sizes() -> None:
    roots = {image_root(filled_memory())}
    memory = filled_memory()
    memory.planes[3, 1] ^= np.uint64(1)
    roots.add(image_root(memory))
    memory.allocate(Segment.TEACH, "empty", np.uint8, (0,))
    roots.add(image_root(memory))
    roots.add(image_root(Memory(CONFIG)))
    roots.add(image_root(Memory(MachineConfig())))
    assert len(roots) == 5


@pytest.mark.parametrize("stride", [97, pytest.param(1, marks=pytest.mark.slow)])
def test_a_flipped_bit_anywhere_is_named_by_segment_and_block(
    saved: tuple[Memory, Path, str], stride: int
) -> None:
    memory, path, root = saved
    data = path.read_bytes()
    expected = places(memory, len(data))
    assert {place for place in expected if place[0] is Segment.EXPERT} == {
        (Segment.EXPERT, block) for block in range(3)
    }
    with open(path, "r+b") as file:
        for bit in range(0, 8 * len(data), stride):
            octet = bit // 8
            os.pwrite(file.fileno(), bytes([data[octet] ^ 1 << bit % 8]), octet)
            check = verify_image(path)
            assert not check.ok, bit
            assert (check.segment, check.block) == expected[octet], (bit, check)
            os.pwrite(file.fileno(), data[octet : octet + 1], octet)
    assert verify_image(path, root).ok


def test_loading_refuses_damage_or_mends_it(saved: tuple[Memory, Path, str]) -> None:
    memory, path, root = saved
    data = path.read_bytes()
    expected = places(memory, len(data))
    start = expected.index((Segment.EXPERT, 0))
    damaged = bytearray(data)
    for octet in (start + 9, start + 8 * 513, start + 8 * 600):  # three words, two blocks
        damaged[octet] ^= 16
    path.write_bytes(damaged)
    with pytest.raises(ImageError, match=r"EXPERT block 0: the block does not match its hash; use"):
        load_image(path)
    assert image_root(load_image(path, repair=True)) == root
    damaged[start + 10] ^= 1  # a second bit of the same word
    path.write_bytes(damaged)
    with pytest.raises(ImageError, match=r"EXPERT block 0: the block does not match its hash"):
        load_image(path, repair=True)


def test_damaged_hashes_and_check_bytes_are_named_and_made_good(
    saved: tuple[Memory, Path, str],
) -> None:
    memory, path, root = saved
    data = path.read_bytes()
    used = memory.used_words(Segment.EXPERT)
    start = places(memory, len(data)).index((Segment.EXPERT, 0))
    for octet, block, reason in (
        (start + 8 * used + 33, 1, "the block's stored hash is damaged"),
        (start + 9 * used + 32 * 3 - 1, 2, "the block's check bytes are damaged"),
    ):
        damaged = bytearray(data)
        damaged[octet] ^= 1
        path.write_bytes(damaged)
        check = verify_image(path)
        assert (check.segment, check.block, check.reason) == (Segment.EXPERT, block, reason)
        with pytest.raises(ImageError, match=f"EXPERT block {block}: {reason}"):
            load_image(path)
        assert image_root(load_image(path, repair=True)) == root
    damaged = bytearray(data)  # a bit of a block and of its hash
    damaged[start + 8 * used + 33] ^= 1
    damaged[start + 8 * 700] ^= 4
    path.write_bytes(damaged)
    assert image_root(load_image(path, repair=True)) == root


def test_another_root_is_refused(saved: tuple[Memory, Path, str]) -> None:
    _, path, root = saved
    assert verify_image(path, root.upper()).ok
    check = verify_image(path, "00" * 32)
    assert (check.root, check.reason) == (root, "the root is another one than expected")
    with pytest.raises(ImageError, match="the root is another one than expected"):
        load_image(path, root="00" * 32)


def test_cut_and_lengthened_files_are_refused(saved: tuple[Memory, Path, str]) -> None:
    memory, path, _ = saved
    data = path.read_bytes()
    expected = places(memory, len(data))
    for length in range(0, len(data), 211):
        path.write_bytes(data[:length])
        check = verify_image(path)
        segment = expected[length][0]
        assert (check.ok, check.segment) == (False, segment), length
        if segment is not None:
            assert check.reason == "the file is cut off"
        with pytest.raises(ImageError, match=r"cut off|not a memory image"):
            load_image(path)
    path.write_bytes(data + b"\0")
    assert verify_image(path).reason == "1 bytes follow the last segment"


def test_foreign_files_are_refused(tmp_path: Path, saved: tuple[Memory, Path, str]) -> None:
    _, path, _ = saved
    data = path.read_bytes()
    other = tmp_path / "other"
    other.write_bytes(b"PK\x03\x04" + bytes(500))
    assert verify_image(other).reason == "not a memory image"
    with pytest.raises(ImageError, match=r"other: not a memory image; use another copy"):
        load_image(other)
    with pytest.raises(ImageError, match="cannot be read: No such file or directory"):
        load_image(tmp_path / "none")
    with pytest.raises(ImageError, match="cannot be read: Is a directory"):
        verify_image(tmp_path)
    newer = bytearray(data)
    newer[len(MAGIC)] = 2
    other.write_bytes(newer)
    with pytest.raises(ImageError, match="format 2, this release reads 1"):
        load_image(other)


def test_a_file_cannot_ask_for_too_much_memory(saved: tuple[Memory, Path, str]) -> None:
    _, path, _ = saved
    with pytest.raises(ImageError, match=r"asks for \d+ bytes of memory; raise the limit of 999"):
        load_image(path, limit_bytes=999)
    hostile = rewritten(path, lambda record: record["config"].update(trace_words=1 << 36))
    with pytest.raises(ImageError, match=r"asks for 5497\d+ bytes of memory"):
        load_image(hostile)


def rewritten(path: Path, change: Callable[[dict], object]) -> Path:
    """An image with a changed header whose own hash is right: what an attacker would write."""
    data = path.read_bytes()
    size = int.from_bytes(data[PREFIX_BYTES - 4 : PREFIX_BYTES], "little")
    record = json.loads(data[PREFIX_BYTES : PREFIX_BYTES + size])
    change(record)
    header = canonical_json(record)
    prefix = data[: PREFIX_BYTES - 4] + len(header).to_bytes(4, "little")
    hostile = path.with_name("hostile")
    hostile.write_bytes(prefix + header + leaf_hash(header) + data[PREFIX_BYTES + size + 32 :])
    return hostile


HOSTILE: list[tuple[Callable[[dict], object], str]] = [
    (lambda r: r.pop("config"), "expected the keys config, regions, segments"),
    (lambda r: r["config"].update(lanes=0), "lanes is 0"),
    (lambda r: r["config"].update(lanes=True), "lanes is True"),
    (lambda r: r["config"].update(depth=3), "unknown size 'depth'"),
    (lambda r: r["segments"].reverse(), "the segments are not the seven in order"),
    (lambda r: r["segments"].pop(), "the segments are not the seven in order"),
    (lambda r: r["segments"][0].update(words=-1), "expected a number of 0 or more, got -1"),
    (lambda r: r["segments"][0].update(words=8), "STATE has 8 words, its regions 32"),
    (lambda r: r["segments"][0].update(root="zz" * 32), "non-hexadecimal number"),
    (lambda r: r["segments"][0].update(root=5), "a segment has no root"),
    (lambda r: r["regions"][3].update(dtype="O"), "a region holds 'O'"),
    (lambda r: r["regions"][3].update(dtype="f4"), "a region holds 'f4'"),
    (lambda r: r["regions"][3].update(dtype="b1"), "a region holds 'b1'"),
    (lambda r: r["regions"][3].update(shape=[-8]), "expected a number of 0 or more, got -8"),
    (lambda r: r["regions"][3].update(shape=7), "expected a list"),
    (lambda r: r["regions"][3].update(segment="HEAP"), "there is no segment 'HEAP'"),
    (lambda r: r["regions"][3].update(name=None), "a region has no name"),
    (lambda r: r["regions"][3].update(name="a b"), "'a b' is no name"),
    (lambda r: r["regions"][3].update(first_word=8), "regions are elsewhere"),
    (lambda r: r["regions"][3].update(extra=1), "expected the keys dtype, first_word"),
    (lambda r: r["regions"].reverse(), "the first regions are not the machine's own"),
    (lambda r: r["regions"].append(r["regions"][5]), "the name is taken"),
    (lambda r: r["config"].update(expert_words=64), "needs 1104 words, 64 are free"),
    (lambda r: r["regions"][5].update(shape=[0, 2**53 - 1]), "use smaller sizes|shape"),
    (lambda r: r["regions"][5].update(shape=[0] * 70), "shape"),
]


@pytest.mark.parametrize(("change", "message"), HOSTILE)
def test_hostile_headers_are_refused(
    saved: tuple[Memory, Path, str], change: Callable[[dict], object], message: str
) -> None:
    hostile = rewritten(saved[1], change)
    with pytest.raises(ImageError, match=f"hostile: .*does not hold together: .*{message}"):
        load_image(hostile)


def test_a_header_has_one_form(saved: tuple[Memory, Path, str]) -> None:
    data = saved[1].read_bytes()
    size = int.from_bytes(data[PREFIX_BYTES - 4 : PREFIX_BYTES], "little")
    for header in (
        b" " + data[PREFIX_BYTES : PREFIX_BYTES + size],
        b"\xff",
        b"[" * 100_000,
        b"{}",
        b"NaN",
    ):
        prefix = data[: PREFIX_BYTES - 4] + len(header).to_bytes(4, "little")
        saved[1].write_bytes(prefix + header + leaf_hash(header))
        with pytest.raises(ImageError, match="the header does not hold together"):
            load_image(saved[1])
        assert not verify_image(saved[1]).ok


def test_a_unit_that_writes_meanwhile_cannot_spoil_the_file(
    saved: tuple[Memory, Path, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    memory, path, _ = saved

    def disturbed(block: np.ndarray) -> bytes:
        digest = block_hash(block)
        memory.theta[0] += 1
        memory.planes[0, 0] += np.uint64(1)
        return digest

    monkeypatch.setattr("bem_kernel.memory.image.block_hash", disturbed)
    root = save_image(memory, path)
    monkeypatch.undo()
    assert verify_image(path, root).ok


def test_a_full_disk_leaves_what_was_there(
    saved: tuple[Memory, Path, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    _, path, root = saved

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(BBError, match="cannot be written: No space left on device; free some"):
        save_image(Memory(MachineConfig()), path)
    assert verify_image(path, root).ok
    assert [entry.name for entry in path.parent.iterdir()] == ["machine.image"]
