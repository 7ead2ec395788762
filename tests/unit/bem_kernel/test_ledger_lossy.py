"""A disk that forgets what was not synced loses no acknowledged entry.

The real calls go through; `LossyDisk` notes what each fsync made certain. A crash leaves that, and
of what was written since then any beginning, perhaps followed by zeros where the size of the file
had reached the disk before its content.
"""

from __future__ import annotations

import os
from pathlib import Path
from random import Random
from typing import Literal

import pytest

from bem_kernel.ledger.chain import Ledger, read_entries, verify
from bem_kernel.ledger.heads import START, ExportedHead


class LossyDisk:
    """Watches one file through the system calls that make it durable."""

    def __init__(self, path: Path, patch: pytest.MonkeyPatch) -> None:
        self.path = path
        self.durable = b""
        self.named = False
        self._fsync = os.fsync
        patch.setattr(os, "fsync", self.fsync)

    def fsync(self, descriptor: int) -> None:
        self._fsync(descriptor)
        synced = os.fstat(descriptor)
        if self.path.exists() and os.path.samestat(synced, self.path.stat()):
            self.durable = self.path.read_bytes()
        elif os.path.samestat(synced, self.path.parent.stat()):
            self.named = self.path.exists()

    def crash(self, random: Random) -> None:
        """Leave what a power cut may leave."""
        if not self.named and random.random() < 0.5:
            self.path.unlink()
            return
        written = self.path.read_bytes()
        # A write that was taken back, or a tail that was cut off, may be there again or not.
        assert written.startswith(self.durable) or self.durable.startswith(written)
        unsynced = written[len(self.durable) :]
        kept = unsynced[: random.choice([0, len(unsynced), random.randrange(len(unsynced) + 1)])]
        zeros = bytes(random.choice([0, 0, 1, 512])) if len(kept) < len(unsynced) else b""
        self.path.write_bytes(self.durable + kept + zeros)


def run_until_crash(
    ledger: Ledger, random: Random, appended: list[dict[str, object]]
) -> ExportedHead:
    """Append and commit for a while; the head that was acknowledged last."""
    for _ in range(random.randrange(8)):
        if ledger.sync == "batch" and random.random() < 0.3:
            ledger.commit()
        else:
            entry = {"n": len(appended), "filler": "x" * random.randrange(60)}
            ledger.append(entry)
            appended.append(entry)
    return ledger.durable_head


@pytest.mark.parametrize("sync", ["always", "batch"])
@pytest.mark.parametrize("seed", range(3))
def test_acknowledged_entries_survive_every_crash(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, sync: Literal["always", "batch"], seed: int
) -> None:
    random = Random(seed)
    path = tmp_path / "ledger.jsonl"
    disk = LossyDisk(path, monkeypatch)
    appended: list[dict[str, object]] = []
    acknowledged = START
    crashes_with_loss = 0
    for _ in range(25):
        ledger = Ledger(path, sync)
        assert len(ledger) >= acknowledged.entries
        crashes_with_loss += len(ledger) < len(appended)
        del appended[len(ledger) :]
        assert list(read_entries(path)) == appended
        assert verify(path, heads=(acknowledged,) if acknowledged.entries else ()).ok
        acknowledged = run_until_crash(ledger, random, appended)
        disk.crash(random)
        os.close(ledger._file)  # the process is gone; nothing is committed on its way out
    assert acknowledged.entries > 20
    assert (crashes_with_loss > 0) == (sync == "batch")


def test_the_watch_would_notice_a_ledger_that_does_not_sync(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "ledger.jsonl"
    disk = LossyDisk(path, monkeypatch)
    ledger = Ledger(path, sync="batch")
    ledger.append({"n": 0})
    assert (disk.named, disk.durable) == (True, b"")
    ledger.commit()
    assert disk.durable == path.read_bytes() != b""
    ledger.close()
