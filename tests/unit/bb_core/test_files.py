from __future__ import annotations

import errno
import os
import subprocess
import sys
from pathlib import Path

import pytest

from bb_core import files
from bb_core.errors import BBError
from bb_core.files import directory_atomic, read_json, read_text, read_yaml, write_atomic


def test_write_replaces_the_whole_file_and_leaves_nothing_else(tmp_path: Path) -> None:
    target = tmp_path / "deep" / "file.txt"
    write_atomic(target, "long first content")
    write_atomic(target, b"second")
    assert target.read_bytes() == b"second"
    assert os.listdir(target.parent) == ["file.txt"]


def test_write_keeps_the_mode_of_an_existing_file(tmp_path: Path) -> None:
    target = tmp_path / "script"
    write_atomic(target, "1")
    target.chmod(0o750)
    write_atomic(target, "2")
    assert target.stat().st_mode & 0o777 == 0o750


def test_full_disk_leaves_the_old_content(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    target = tmp_path / "file.txt"
    write_atomic(target, "old")

    def full(handle: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(files.os, "fsync", full)
    with pytest.raises(BBError, match=r"file\.txt: cannot be written: No space left.*free some"):
        write_atomic(target, "new")
    assert target.read_text() == "old"
    assert os.listdir(tmp_path) == ["file.txt"]


def test_writing_below_a_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    with pytest.raises(BBError, match="cannot be written.*check the folder"):
        write_atomic(tmp_path / "file" / "below", "y")


_KILLED_WRITER = """
import os, signal, sys
from bb_core import files

def die(*_):
    os.kill(os.getpid(), signal.SIGKILL)

setattr(files.os, sys.argv[1], die)
if sys.argv[2] == "file":
    files.write_atomic(sys.argv[3], "new")
else:
    with files.directory_atomic(sys.argv[3]) as building:
        (building / "part").write_text("new")
"""


@pytest.mark.parametrize("moment", ["fsync", "replace"])
def test_kill_while_writing_a_file_leaves_the_old_content(tmp_path: Path, moment: str) -> None:
    target = tmp_path / "file.txt"
    target.write_text("old")
    command = [sys.executable, "-c", _KILLED_WRITER, moment, "file", str(target)]
    assert subprocess.run(command, check=False).returncode == -9
    assert target.read_text() == "old"


def test_kill_while_building_a_directory_leaves_the_old_one(tmp_path: Path) -> None:
    target = tmp_path / "tree"
    target.mkdir()
    (target / "part").write_text("old")
    command = [sys.executable, "-c", _KILLED_WRITER, "fsync", "tree", str(target)]
    assert subprocess.run(command, check=False).returncode == -9
    assert (target / "part").read_text() == "old"


def test_directory_is_replaced_as_a_whole(tmp_path: Path) -> None:
    target = tmp_path / "tree"
    with directory_atomic(target) as building:
        (building / "first").write_text("1")
        assert not target.exists()
    with directory_atomic(target) as building:
        (building / "second").write_text("2")
    assert os.listdir(target) == ["second"]
    assert os.listdir(tmp_path) == ["tree"]


def test_directory_is_replaced_where_the_system_cannot_exchange(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(files.sys, "platform", "darwin")
    for name in ("first", "second"):
        with directory_atomic(tmp_path / "tree") as building:
            (building / name).write_text(name)
    assert os.listdir(tmp_path / "tree") == ["second"]
    assert os.listdir(tmp_path) == ["tree"]


def test_directory_of_a_failed_block_is_dropped(tmp_path: Path) -> None:
    target = tmp_path / "tree"
    with directory_atomic(target) as building:
        (building / "old").write_text("1")
    with (
        pytest.raises(ValueError, match="stop here"),
        directory_atomic(target) as building,
    ):
        (building / "new").write_text("2")
        raise ValueError("stop here")
    assert os.listdir(target) == ["old"]
    assert os.listdir(tmp_path) == ["tree"]


def test_directory_does_not_replace_a_file(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    with (
        pytest.raises(BBError, match="file: is a file, not a directory"),
        directory_atomic(tmp_path / "file"),
    ):
        pass
    assert (tmp_path / "file").read_text() == "x"


def test_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(BBError, match=r"none\.json: file does not exist; check the path"):
        read_json(tmp_path / "none.json")


def test_folder_is_no_file(tmp_path: Path) -> None:
    with pytest.raises(BBError, match="is a directory, not a file"):
        read_text(tmp_path)


def test_wrong_encoding_is_placed(tmp_path: Path) -> None:
    (tmp_path / "latin.txt").write_bytes(b"ab\ncd\xe9f")
    with pytest.raises(BBError, match=r"latin\.txt:2:3: byte 0xe9 is not UTF-8; save the file"):
        read_text(tmp_path / "latin.txt")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('{"a":\n 1,}', r"x\.json:2:4: not JSON"),
        ("[1] 2", r"x\.json:1:5: not JSON: Extra data"),
        ("NaN", r"x\.json: NaN is not JSON; write a finite number"),
        ("[" * 100_000, r"x\.json: nested too deeply"),
        ("1" * 5000, r"x\.json: not JSON: .*digits.*smaller"),
    ],
)
def test_broken_json_is_placed(tmp_path: Path, text: str, message: str) -> None:
    (tmp_path / "x.json").write_text(text)
    with pytest.raises(BBError, match=message):
        read_json(tmp_path / "x.json")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a: 1\nb: [1, 2\nc: 3\n", r"x\.yaml:3:\d+: not YAML"),
        ("a: !!python/object/apply:os.system [id]", r"x\.yaml:1:4: not YAML: could not determine"),
        ("a: 1\nb: \x01", r"x\.yaml:2: not YAML: control characters.*plain text"),
        ("a: 2024-13-45", r"x\.yaml: not YAML: .*put it in quotes"),
    ],
)
def test_broken_yaml_is_placed(tmp_path: Path, text: str, message: str) -> None:
    (tmp_path / "x.yaml").write_text(text)
    with pytest.raises(BBError, match=message):
        read_yaml(tmp_path / "x.yaml")


def test_yaml_gives_plain_data(tmp_path: Path) -> None:
    (tmp_path / "x.yaml").write_text("a: [1, two, 3.5]\n")
    assert read_yaml(tmp_path / "x.yaml") == {"a": [1, "two", 3.5]}
