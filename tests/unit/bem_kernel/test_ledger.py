"""The ledger: the chain, torn tails, damage, locks, disk errors."""

from __future__ import annotations

import errno
import logging
import os
import threading
from pathlib import Path

import pytest

from bem_kernel.errors import LedgerError
from bem_kernel.ledger import chain, record
from bem_kernel.ledger.chain import Ledger, Verification, read_entries, verify, verify_records
from bem_kernel.ledger.heads import START, ExportedHead
from bem_kernel.ledger.record import GENESIS, chain_hash

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


@pytest.mark.parametrize("call", ["write", "fsync"])
def test_after_an_interrupted_append_nothing_more_is_taken(
    written: Path, monkeypatch: pytest.MonkeyPatch, call: str
) -> None:
    """Else the next record would not follow the one that may have reached the file."""
    real = getattr(os, call)

    def interrupt(*arguments: object) -> None:
        real(*arguments)
        raise KeyboardInterrupt

    ledger = Ledger(written)
    monkeypatch.setattr(os, call, interrupt)
    with pytest.raises(KeyboardInterrupt):
        ledger.append({"x": 1})
    monkeypatch.undo()
    with pytest.raises(LedgerError, match="an append was interrupted; open it again"):
        ledger.append({"x": 2})
    ledger.close()
    with Ledger(written) as again:
        assert again.append({"x": 3}) == len(again) - 1
    assert verify(written).ok
    assert [*read_entries(written)][-1] == {"x": 3}


def test_entries_are_bounded(written: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = written.read_bytes()
    monkeypatch.setattr(chain, "MAX_RECORD_BYTES", 200)
    monkeypatch.setattr(record, "MAX_RECORD_BYTES", 200)
    with Ledger(written) as ledger:
        with pytest.raises(LedgerError, match="append: an entry of 293 bytes; split it; 200 is"):
            ledger.append({"x": "y" * 200})
        assert ledger.append({"x": 1}) == 3
    assert written.read_bytes().startswith(before)
    # A line that is longer is no torn tail, whatever follows it.
    good = written.read_bytes()
    written.write_bytes(good + b"z" * 500 + b"\n")
    with pytest.raises(LedgerError, match="entry 4: torn record of 200 bytes"):
        Ledger(written)
    assert verify(written).first_bad == 4


def test_a_torn_tail_of_many_endings_is_told_in_one_pass(written: Path) -> None:
    whole = written.read_bytes()
    # Each of these could be the middle of a record; hashing every beginning anew would take days.
    ending = b',"hash":"' + b"0" * 64 + b'"}'
    written.write_bytes(whole + b'{"entry":' + ending * 100_000)
    with Ledger(written) as ledger:
        assert len(ledger) == 3
    assert written.read_bytes() == whole


def test_only_what_is_on_the_disk_is_exported(path: Path) -> None:
    with Ledger(path, sync="batch") as ledger:
        ledger.append({"i": 0})
        assert ledger.durable_head == START
        ledger.commit()
        first = ledger.durable_head
        assert first == ExportedHead(1, ledger.head)
        ledger.append({"i": 1})
        assert ledger.durable_head == first != ExportedHead(1, ledger.head)
    with Ledger(path) as ledger:
        assert ledger.durable_head == ExportedHead(2, ledger.head)
        ledger.append({"i": 2})
        assert ledger.durable_head == ExportedHead(3, ledger.head)


def test_a_rewritten_chain_is_found_by_exported_heads(path: Path) -> None:
    heads = []
    with Ledger(path) as ledger:
        for i in range(9):
            ledger.append({"i": i})
            if i % 3 == 2:
                heads.append(ledger.durable_head)
    assert verify(path, heads=heads).ok
    entries = list(read_entries(path))
    path.unlink()
    entries[4] = {"i": "changed"}
    with Ledger(path) as ledger:
        for entry in entries:
            ledger.append(entry)
    assert verify(path).ok
    found = verify(path, heads=heads)
    assert found.first_bad == 3  # entries 3 to 5 are between the heads that agree and do not
    assert found.reason == "the chain after 6 entries is not at the head exported then"
    lines = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(b"".join(lines[:4]))
    found = verify(path, heads=heads)
    assert (found.first_bad, found.entries) == (4, 4)
    assert found.reason == "the chain ends before the head exported after 9 entries"
    assert verify(path, heads=[ExportedHead(0, "00" * 31 + "01")]).first_bad == 0


def test_a_check_goes_on_from_a_known_head(written: Path) -> None:
    lines = written.read_bytes().splitlines(keepends=True)
    whole = verify(written)
    known = ExportedHead(1, verify_records(lines[:1]).head)
    assert verify_records(lines[1:], after=known) == whole
    assert verify_records(lines[2:], after=known).first_bad == 1
    assert verify_records(lines[1:], after=known, heads=[known]).ok
    assert verify_records([], after=known, head=known.head).ok


def test_an_opening_that_cannot_sync_is_refused(
    written: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(fd: int) -> None:
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    monkeypatch.setattr(os, "fsync", fail)
    with pytest.raises(LedgerError, match="cannot be read and synced: Input/output error; try"):
        Ledger(written)
    monkeypatch.undo()
    with Ledger(written) as ledger:  # the lock was released
        assert len(ledger) == 3


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
