"""The ledger: the chain, torn tails, damage, locks, disk errors."""

from __future__ import annotations

import errno
import logging
import os
import threading
from pathlib import Path

import pytest

from bem_kernel.errors import LedgerError
from bem_kernel.ledger.chain import GENESIS, Ledger, Verification, read_entries, verify

ENTRIES = [{"tool": "login"}, {"z": 1, "a": [True, None, "é\n"]}, {}]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "logs" / "run.jsonl"


@pytest.fixture
def written(path: Path) -> Path:
    with Ledger(path) as ledger:
        assert [ledger.append(entry) for entry in ENTRIES] == [0, 1, 2]
    return path


def test_a_new_ledger_is_empty_and_good(path: Path) -> None:
    with Ledger(path) as ledger:
        assert (len(ledger), ledger.head) == (0, GENESIS.hex())
    assert verify(path) == Verification(0, GENESIS.hex())


def test_entries_come_back_and_the_chain_goes_on(written: Path) -> None:
    assert list(read_entries(written)) == ENTRIES
    with Ledger(written) as ledger:
        assert len(ledger) == ledger.acknowledged == 3
        before = ledger.head
        assert ledger.append({"more": 1}) == 3
        assert ledger.head != before
        head = ledger.head
    assert verify(written) == Verification(4, head)


def test_a_head_kept_elsewhere_finds_a_cut_end(written: Path) -> None:
    with Ledger(written) as ledger:
        kept = ledger.head
        ledger.append({"later": True})
    assert verify(written, kept.upper()).ok
    lines = written.read_bytes().splitlines(keepends=True)
    written.write_bytes(b"".join(lines[:2]))
    assert verify(written).ok
    cut = verify(written, kept)
    assert (cut.first_bad, cut.reason) == (2, "the chain ends before the given head")


def test_removed_swapped_and_inserted_entries_are_found(written: Path) -> None:
    a, b, c = written.read_bytes().splitlines(keepends=True)
    for lines, first_bad in (((b, c), 0), ((a, c), 1), ((a, c, b), 1), ((a, a, b, c), 1)):
        written.write_bytes(b"".join(lines))
        assert verify(written).first_bad == first_bad


def test_an_entry_that_is_chained_but_not_canonical_is_found(written: Path) -> None:
    from bem_kernel.ledger.chain import chain_hash

    body = b'{"b": 1}'
    digest = chain_hash(GENESIS, body).hex().encode()
    written.write_bytes(b'{"entry":' + body + b',"hash":"' + digest + b'"}\n')
    assert verify(written).reason == "the entry is not a JSON object in canonical form"


def test_damage_is_refused_not_mended(written: Path) -> None:
    data = written.read_bytes()
    written.write_bytes(data.replace(b'"z":1', b'"z":2'))
    damaged = written.read_bytes()
    with pytest.raises(LedgerError, match=r"run\.jsonl: entry 1: the hash does not match .*; keep"):
        Ledger(written)
    with pytest.raises(LedgerError, match="entry 1: the hash does not match"):
        list(read_entries(written))
    assert written.read_bytes() == damaged


def test_a_torn_tail_is_removed_with_a_warning(
    written: Path, caplog: pytest.LogCaptureFixture
) -> None:
    whole = written.read_bytes()
    written.write_bytes(whole + b'{"entry":{"half')
    assert verify(written).reason == "torn record of 15 bytes without its end of line"
    with caplog.at_level(logging.WARNING), Ledger(written) as ledger:
        assert len(ledger) == 3
    assert "removed a torn record of 15 bytes after entry 2" in caplog.text
    assert written.read_bytes() == whole


@pytest.mark.parametrize("zeros", [1, 4096])
def test_a_tail_of_zeros_is_torn_too(written: Path, zeros: int) -> None:
    whole = written.read_bytes()
    written.write_bytes(whole + bytes(zeros))
    with Ledger(written):
        pass
    assert written.read_bytes() == whole


def test_a_damaged_end_of_line_is_no_torn_tail(written: Path) -> None:
    whole = written.read_bytes()
    for end in (b"\x0b", b"\x0b" + b'{"entry":{"half'):
        written.write_bytes(whole[:-1] + end)
        with pytest.raises(LedgerError, match="entry 2: torn record of"):
            Ledger(written)


def test_one_writer_at_a_time(written: Path) -> None:
    with Ledger(written):
        with pytest.raises(LedgerError, match="another writer holds this ledger; wait for it"):
            Ledger(written)
        assert verify(written).ok  # readers need no lock
    with Ledger(written) as ledger:
        assert len(ledger) == 3


def test_batch_acknowledges_with_commit(path: Path) -> None:
    with Ledger(path, sync="batch") as ledger:
        ledger.append({"i": 0})
        ledger.append({"i": 1})
        assert (len(ledger), ledger.acknowledged) == (2, 0)
        assert ledger.commit() == ledger.acknowledged == 2


@pytest.mark.parametrize(("policy", "syncs"), [("always", [1, 2, 2]), ("batch", [0, 0, 1])])
def test_when_the_disk_is_synced(
    path: Path, monkeypatch: pytest.MonkeyPatch, policy: str, syncs: list[int]
) -> None:
    calls: list[int] = []
    with Ledger(path, sync=policy) as ledger:  # type: ignore[arg-type]
        real = os.fsync
        monkeypatch.setattr(os, "fsync", lambda fd: (calls.append(fd), real(fd)))
        seen = []
        for act in (lambda: ledger.append({}), lambda: ledger.append({}), ledger.commit):
            act()
            seen.append(len(calls))
    assert seen == syncs


def test_entries_without_a_canonical_form_are_refused(path: Path) -> None:
    with Ledger(path) as ledger:
        with pytest.raises(LedgerError, match=r"append: no canonical form: .*; use strings"):
            ledger.append({"x": float("nan")})
        with pytest.raises(LedgerError, match="no canonical form"):
            ledger.append({"x": {1, 2}})
        assert ledger.append({"x": 1}) == 0
    assert verify(path).entries == 1


def test_a_full_disk_leaves_what_was_there(written: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = written.read_bytes()
    real = os.write

    def half(fd: int, data: bytes) -> int:
        if len(data) < 40:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return real(fd, data[: len(data) // 2])

    with Ledger(written) as ledger:
        monkeypatch.setattr(os, "write", half)
        with pytest.raises(LedgerError, match="cannot append: No space left on device; free some"):
            ledger.append({"x": "y" * 50})
        assert written.read_bytes() == before
        monkeypatch.undo()
        assert ledger.append({"x": 1}) == 3
    assert verify(written).entries == 4


def test_after_a_failed_sync_nothing_more_is_taken(
    written: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(fd: int) -> None:
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    ledger = Ledger(written)
    monkeypatch.setattr(os, "fsync", fail)
    with pytest.raises(LedgerError, match="cannot sync: Input/output error; open it again"):
        ledger.append({"x": 1})
    monkeypatch.undo()
    with pytest.raises(LedgerError, match="an fsync failed; open it again"):
        ledger.append({"x": 2})
    assert ledger.acknowledged == 3
    ledger.close()


def test_a_closed_ledger_takes_nothing(written: Path) -> None:
    ledger = Ledger(written)
    ledger.close()
    ledger.close()
    with pytest.raises(LedgerError, match="the ledger is closed; open it again"):
        ledger.append({})


def test_threads_may_share_a_ledger(path: Path) -> None:
    with Ledger(path, sync="batch") as ledger:
        work = lambda i: [ledger.append({"i": i, "j": j}) for j in range(20)]  # noqa: E731
        threads = [threading.Thread(target=work, args=(i,)) for i in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert verify(path).entries == 80


def test_places_that_do_not_work(tmp_path: Path) -> None:
    with pytest.raises(LedgerError, match="cannot be opened: Is a directory; choose another"):
        Ledger(tmp_path)
    with pytest.raises(LedgerError, match="nothing: cannot be read: No such file"):
        verify(tmp_path / "nothing")
