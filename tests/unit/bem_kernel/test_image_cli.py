"""`bem image`, in process; memory as a folder of arrays."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from bb_core.errors import BBError
from bem_kernel.cli import main as cli
from bem_kernel.memory.configuration import MachineConfig
from bem_kernel.memory.image import image_root, load_image, save_image
from bem_kernel.memory.image_folder import load_folder, save_folder
from bem_kernel.memory.memory import Memory
from bem_kernel.memory.segments import Segment

CONFIG = {"n_bits": 16, "n_shared_bits": 64, "n_parameters": 4, "shared_words": 64}


def bem(capsys: pytest.CaptureFixture[str], *args: str) -> tuple[int, str, str]:
    """Exit code, stdout and stderr of one command."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("sys.argv", ["bem", "image", *args])
        with pytest.raises(SystemExit) as stop:
            cli.main()
    captured = capsys.readouterr()
    return int(stop.value.code or 0), captured.out, captured.err


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder as a user writes it: sizes, parameters, and a table of their own."""
    path = tmp_path / "door"
    path.mkdir()
    (path / "machine.json").write_text(json.dumps({"config": CONFIG}))
    np.save(path / "SHARED.theta.npy", np.array([1, -2, 3, -4], dtype=np.int32))
    np.save(path / "EXPERT.table.npy", np.arange(600, dtype=">u2").reshape(2, 300))
    return path


def test_save_verify_load(folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    image, out = str(tmp_path / "door.image"), tmp_path / "out"
    code, root, _ = bem(capsys, "save", image, "--from", str(folder))
    assert (code, root) == (0, image_root(load_image(image)) + "\n")
    assert bem(capsys, "verify", image, "--root", root.strip()) == (
        0,
        f"undamaged; root {root}",
        "",
    )
    memory = load_image(image)
    assert memory.theta.tolist() == [1, -2, 3, -4]
    assert (
        memory.region(Segment.EXPERT, "table").tolist() == np.arange(600).reshape(2, 300).tolist()
    )
    code, listing, _ = bem(capsys, "load", image, "--out", str(out))
    assert code == 0
    assert listing.splitlines()[0].startswith("n_bits=16 n_shared_bits=64 n_parameters=4 lanes=64")
    assert [line.split() for line in listing.splitlines()[1:]] == [
        ["STATE.planes", "u8", "16x1"],
        ["SHARED.m", "u8", "1"],
        ["SHARED.theta", "i8", "4"],
        ["EXPERT.table", "u2", "2x300"],
    ]
    again = str(tmp_path / "again.image")
    contents = json.loads(bem(capsys, "save", again, "--from", str(out), "--json")[1])
    assert contents["root"] == root.strip()  # out and in again is the same memory
    del contents["root"]
    assert json.loads(bem(capsys, "load", again, "--json")[1]) == contents


def test_damage_is_named_and_repaired(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    image = tmp_path / "door.image"
    root = bem(capsys, "save", str(image), "--from", str(folder))[1].strip()
    data = bytearray(image.read_bytes())
    data[data.index(np.arange(300, dtype="<u2").tobytes()) + 50] ^= 4
    image.write_bytes(data)
    assert bem(capsys, "verify", str(image)) == (
        1,
        "EXPERT block 0: the block does not match its hash\n",
        "",
    )
    code, out, _ = bem(capsys, "verify", str(image), "--json")
    assert (code, json.loads(out)) == (
        1,
        {
            "ok": False,
            "root": root,
            "segment": "EXPERT",
            "block": 0,
            "reason": "the block does not match its hash",
        },
    )
    code, _, error = bem(capsys, "load", str(image))
    assert code == 1
    assert error.startswith(f"error: {image}: EXPERT block 0: the block does not match its hash;")
    mended = tmp_path / "mended"
    assert bem(capsys, "load", str(image), "--repair", "--out", str(mended))[0] == 0
    assert bem(capsys, "save", str(image), "--from", str(mended))[1].strip() == root
    image.write_bytes(b"no image")
    assert bem(capsys, "verify", str(image))[:2] == (1, "header: not a memory image\n")
    code, _, error = bem(capsys, "verify", str(tmp_path / "none"))
    assert (code, error.count("\n")) == (1, 1)
    assert "none: cannot be read: No such file or directory; name an image" in error


def test_a_folder_keeps_order_and_protection(tmp_path: Path) -> None:
    memory = Memory(MachineConfig(**CONFIG))
    memory.allocate(Segment.SHARED, "z", np.uint8, (3,), protected=True)[:] = [1, 0, 255]
    memory.allocate(Segment.SHARED, "a", np.int8, ())[...] = -7
    memory.allocate(Segment.TEACH, "none", np.int64, (0, 2))
    memory.planes[5] = 9
    save_folder(memory, tmp_path / "f")
    again = load_folder(tmp_path / "f")
    assert again.directory() == memory.directory()
    assert image_root(again) == image_root(memory)
    assert int(again.region(Segment.SHARED, "a")) == -7


@pytest.mark.parametrize(
    ("record", "message"),
    [
        ("{", r"machine.json:1:2: not JSON"),
        ("[]", r"machine.json: no machine's record; write"),
        ('{"config": {}, "extra": 1}', "no machine's record"),
        ('{"config": {"bits": 3}}', r"machine.json: unknown size 'bits'; use one of"),
        ('{"config": {"n_bits": 0}}', r"machine.json: n_bits is 0"),
        ('{"config": {}, "regions": {}}', "regions is no list"),
        ('{"config": {}, "regions": [{"segment": "SHARED"}]}', r"\{'segment'.* is no region"),
        (
            '{"config": {}, "regions": [{"segment": "HEAP", "name": "x", "protected": true}]}',
            "is no region; write",
        ),
        (
            '{"config": {}, "regions": [{"segment": "SHARED", "name": "x", "protected": true}]}',
            r"lists SHARED.x without an array; add SHARED.x.npy",
        ),
        (
            '{"config": {}, "regions": [{"segment": "CODE", "name": "..", "protected": true}]}',
            r"lists CODE... without an array",
        ),
    ],
)
def test_bad_records_are_refused(tmp_path: Path, record: str, message: str) -> None:
    (tmp_path / "machine.json").write_text(record)
    with pytest.raises(BBError, match=message):
        load_folder(tmp_path)


@pytest.mark.parametrize(
    ("name", "array", "message"),
    [
        ("SHARED.theta", np.zeros(3, np.int64), r"theta.npy: is int64 of shape \(3,\); give int64"),
        ("SHARED.theta", np.zeros(4, np.uint64), "is uint64 of shape .4,.; give int64 of shape"),
        ("SHARED.theta", np.zeros(4), "is float64 of shape"),
        ("SHARED.x", np.zeros(4), "float64 holds no integers"),
        ("HEAP.x", np.zeros(4, np.int8), "HEAP.x.npy: names no segment and region; name it"),
        ("SHARED.", np.zeros(4, np.int8), "names no segment and region"),
        ("SHARED.a b", np.zeros(4, np.int8), "'a b' is no name"),
        ("SHARED.x", np.zeros(1 << 16, np.int8), "needs 8192 words, 64 are free"),
    ],
)
def test_arrays_that_do_not_fit_are_refused(
    folder: Path, name: str, array: np.ndarray, message: str
) -> None:
    np.save(folder / f"{name}.npy", array)
    with pytest.raises(BBError, match=message):
        load_folder(folder)


def test_arrays_are_never_unpickled_and_sizes_are_checked(folder: Path) -> None:
    file = folder / "CODE.x.npy"
    np.save(file, np.array([{}], dtype=object), allow_pickle=True)
    with pytest.raises(BBError, match=r"CODE.x.npy: is no array of numbers; write it with numpy"):
        load_folder(folder)
    np.save(file, np.zeros(10, dtype=np.int64))
    whole = file.read_bytes()
    for content in (b"", whole[:90], whole[:-1], whole.replace(b"(10,)", b"(9000000000000,)")):
        file.write_bytes(content)
        with pytest.raises(BBError, match="is no array of numbers"):
            load_folder(folder)


def test_a_saved_image_replaces_the_old_one_only_when_it_is_whole(folder: Path) -> None:
    image = folder / "x.image"
    root = save_image(load_folder(folder), image)
    (folder / "CODE.bad.npy").write_bytes(b"")
    with pytest.raises(BBError, match="is no array"):
        save_image(load_folder(folder), image)
    assert image_root(load_image(image)) == root
