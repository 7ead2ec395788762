"""Exported heads: the file, what it refuses, and the commands."""

from __future__ import annotations

from pathlib import Path

import pytest

from bem_kernel.cli import main as cli
from bem_kernel.errors import LedgerError
from bem_kernel.ledger.chain import Ledger
from bem_kernel.ledger.heads import ExportedHead, add_head, read_heads

A, B = "a" * 64, "0b" * 32


@pytest.fixture
def log(tmp_path: Path) -> Path:
    path = tmp_path / "log.jsonl"
    with Ledger(path) as ledger:
        ledger.append({"i": 0})
        ledger.append({"i": 1})
    return path


def bem(capsys: pytest.CaptureFixture[str], *args: object) -> tuple[int, str, str]:
    """Exit code, stdout and stderr of one command."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("sys.argv", ["bem", "log", *map(str, args)])
        with pytest.raises(SystemExit) as stop:
            cli.main()
    captured = capsys.readouterr()
    return int(stop.value.code or 0), captured.out, captured.err


def test_heads_come_back_in_order(tmp_path: Path) -> None:
    path = tmp_path / "safe" / "heads.jsonl"
    assert read_heads(path) == ()
    add_head(path, ExportedHead(3, A))
    add_head(path, ExportedHead(3, A))
    add_head(path, ExportedHead(5, B))
    assert read_heads(path) == (ExportedHead(3, A), ExportedHead(5, B))
    assert path.read_bytes() == (
        b'{"entries":3,"head":"' + A.encode() + b'"}\n{"entries":5,"head":"' + B.encode() + b'"}\n'
    )
    path.write_bytes(b"")
    assert read_heads(path) == ()


@pytest.mark.parametrize("later", [ExportedHead(3, B), ExportedHead(2, A)])
def test_heads_never_go_back(tmp_path: Path, later: ExportedHead) -> None:
    path = tmp_path / "heads"
    add_head(path, ExportedHead(3, A))
    before = path.read_bytes()
    with pytest.raises(
        LedgerError, match=r"heads: has a head after 3 entries, not to be .*--heads"
    ):
        add_head(path, later)
    assert path.read_bytes() == before


@pytest.mark.parametrize(
    "line",
    [
        b"",
        b"[]",
        b"{",
        b"[" * 10**5,
        b'{"entries":1}',
        b'{"entries":-1,"head":"' + A.encode() + b'"}',
        b'{"entries":true,"head":"' + A.encode() + b'"}',
        b'{"entries":1,"head":"' + A.upper().encode() + b'"}',
        b'{"entries":1,"head":"' + A[:-1].encode() + b'"}',
        b'{"entries":1,"head":"' + A.encode() + b'","more":1}',
        b'{"entries":' + b"9" * 5000 + b',"head":"' + A.encode() + b'"}',
        b"\xff",
    ],
)
def test_other_lines_are_refused(tmp_path: Path, line: bytes) -> None:
    path = tmp_path / "heads"
    path.write_bytes(b'{"entries":0,"head":"' + A.encode() + b'"}\n' + line + b"\n")
    with pytest.raises(LedgerError, match="heads:2: not an exported head; write"):
        read_heads(path)


def test_places_and_orders_that_do_not_work(tmp_path: Path) -> None:
    with pytest.raises(LedgerError, match="is a directory, not a file"):
        read_heads(tmp_path)
    path = tmp_path / "heads"
    line = b'{"entries":1,"head":"' + A.encode() + b'"}\n'
    path.write_bytes(line + line)
    with pytest.raises(LedgerError, match="heads:2: a head after 1 entries follows one after 1;"):
        read_heads(path)
    with pytest.raises(LedgerError, match="cannot be written: .*; check the folder"):
        add_head(path / "below", ExportedHead(1, A))


def test_export_head_and_verify_with_it(
    log: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    heads = tmp_path / "heads"
    code, out, err = bem(capsys, "export-head", log)
    with Ledger(log) as ledger:
        assert (code, out, err) == (0, f'{{"entries":2,"head":"{ledger.head}"}}\n', "")
        head = ledger.head
    assert bem(capsys, "export-head", log, "--to", heads) == (0, "", f"2 entries, head {head}\n")
    assert heads.read_text() == out
    assert bem(capsys, "verify", log, "--heads", heads)[:2] == (
        0,
        f"2 entries, unbroken; head {head}\n",
    )
    log.write_bytes(log.read_bytes().splitlines(keepends=True)[0])
    code, out, _ = bem(capsys, "verify", log, "--heads", heads)
    assert (code, out) == (
        1,
        "entry 1: the chain ends before the head exported after 2 entries; 1 good before it\n",
    )
    before = heads.read_bytes()
    code, out, err = bem(capsys, "export-head", log, "--to", heads)
    assert (code, out) == (1, "")
    assert "entry 1: the chain ends before the head exported after 2 entries; export" in err
    assert heads.read_bytes() == before
    code, _, err = bem(capsys, "verify", log, "--heads", tmp_path / "none")
    assert (code, err) == (2, "error: --heads: no such file; name a file of exported heads\n")
