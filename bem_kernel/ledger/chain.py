"""The append-only, hash-chained ledger.

One record a line: ``{"entry":<canonical JSON>,"hash":"<H_{k+1} in hex>"}`` with
``H_0`` = 32 zero bytes and ``H_{k+1} = SHA-256(H_k || canonical entry)``. Whoever keeps a head can
show later that nothing before it was changed, removed or inserted.

Durability: an entry is acknowledged once it is fsynced, by `append` itself ("always") or by
`commit` ("batch"). A crash in the middle of a write leaves a line without its newline; the next
opening removes it, since it was never acknowledged. Damage anywhere else is refused, not mended.

Source: BEM core spec 3.6, 8.1, 11.1.
"""

from __future__ import annotations

import fcntl
import json
import logging
import os
import threading
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, BinaryIO, Literal

from bb_core.canonical import canonical_json
from bb_core.errors import BBError
from bb_core.files import sync_directory
from bem_kernel.errors import LedgerError, LedgerHeldError
from bem_kernel.ledger.heads import START, ExportedHead
from bem_kernel.ledger.record import (
    GENESIS,
    MAX_RECORD_BYTES,
    chain_hash,
    check_record,
    encode_record,
    is_torn,
    read_records,
)

_log = logging.getLogger(__name__)

SyncPolicy = Literal["always", "batch"]
"""When entries reach the disk: with every `append`, or with `commit`."""


@dataclass(frozen=True)
class Verification:
    """What `verify` found.

    Attributes:
        entries: number of good entries before the first bad one, or of all.
        head: the chain hash after them, hex.
        first_bad: index of the first bad entry; None if the whole file is good.
        reason: what is wrong there; empty if nothing is.
    """

    entries: int
    head: str
    first_bad: int | None = None
    reason: str = ""

    @property
    def ok(self) -> bool:
        """Whether the whole file is good."""
        return self.first_bad is None


def verify(
    path: str | Path, head: str | None = None, heads: Sequence[ExportedHead] = ()
) -> Verification:
    """Check every record of a ledger file.

    Args:
        path: the ledger.
        head: a chain hash (hex) kept elsewhere. It must occur in the chain, so that a ledger cut
            off before it is found too; None: only the file itself is checked.
        heads: exported heads, in the order of their entries; the chain must pass through all.
            Where it does not, the first bad entry is the one after the last head that agrees:
            which entry was rewritten, a chain that holds together does not tell.

    Raises:
        LedgerError: the file cannot be read.
    """
    with _open_for_reading(path) as file:
        return verify_records(read_records(file), head=head, heads=heads)


def verify_records(
    lines: Iterable[bytes],
    head: str | None = None,
    heads: Sequence[ExportedHead] = (),
    after: ExportedHead = START,
) -> Verification:
    """`verify` for the lines of a ledger from some entry on, each with its line feed.

    Args:
        lines: the records; none of the entries before.
        head: as for `verify`; a hash before these lines is not found.
        heads: as for `verify`.
        after: where the lines begin, as known from an earlier check.
    """
    wanted = None if head is None else head.lower()
    current, count, agreed = bytes.fromhex(after.head), after.entries, after.entries
    seen = wanted in (None, after.head)
    expected = {each.entries: each.head for each in heads}
    for line in lines:
        if reason := _disagrees(expected, count, current):
            return Verification(count, current.hex(), agreed, reason)
        agreed = count if count in expected else agreed
        reason, body = check_record(line, current)
        if reason:
            return Verification(count, current.hex(), count, reason)
        current = chain_hash(current, body)
        count += 1
        seen = seen or current.hex() == wanted
    if reason := _disagrees(expected, count, current):
        return Verification(count, current.hex(), agreed, reason)
    last = max(expected, default=0)
    if last > count:
        reason = f"the chain ends before the head exported after {last} entries"
        return Verification(count, current.hex(), count, reason)
    if not seen:
        return Verification(count, current.hex(), count, "the chain ends before the given head")
    return Verification(count, current.hex())


def _disagrees(expected: Mapping[int, str], count: int, current: bytes) -> str:
    """What is wrong with the chain after `count` entries, by the exported heads; "" if nothing."""
    if expected.get(count, current.hex()) == current.hex():
        return ""
    return f"the chain after {count} entries is not at the head exported then"


def read_entries(path: str | Path) -> Iterator[dict[str, Any]]:
    """The entries in order, each checked against the chain before it is yielded.

    Raises:
        LedgerError: the file cannot be read, or the next record is bad.
    """
    current = GENESIS
    with _open_for_reading(path) as file:
        for index, line in enumerate(read_records(file)):
            reason, body = check_record(line, current)
            if reason:
                raise _damaged(path, index, reason)
            current = chain_hash(current, body)
            yield json.loads(body)


def _open_for_reading(path: str | Path) -> BinaryIO:
    try:
        return open(path, "rb")
    except OSError as error:
        raise LedgerError(
            f"cannot be read: {error.strerror}", where=str(path), fix="name a ledger file"
        ) from error


def _damaged(path: str | Path, index: int, reason: str) -> LedgerError:
    return LedgerError(
        reason,
        where=f"{path}: entry {index}",
        fix="keep the file as evidence and start a new ledger, or restore a copy",
    )


class Ledger:
    """A ledger opened for appending; one writer at a time, threads may share it.

    Opening checks the whole chain, so its cost grows with the file.

    Args:
        path: the file; it and its folder are created if missing.
        sync: "always" acknowledges each entry as `append` returns; "batch" when `commit` returns.

    Raises:
        LedgerHeldError: another writer holds it.
        LedgerError: it is damaged, or cannot be written.
    """

    def __init__(self, path: str | Path, sync: SyncPolicy = "always") -> None:
        self.path = Path(path)
        self.sync: SyncPolicy = sync
        self._lock = threading.Lock()
        self._broken = ""
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            self._file = os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o644)
        except OSError as error:
            raise LedgerError(
                f"cannot be opened: {error.strerror}", where=str(path), fix="choose another place"
            ) from error
        try:
            self._acquire()
            self._recover()
            sync_directory(self.path.parent)
        except OSError as error:
            os.close(self._file)
            raise LedgerError(
                f"cannot be read and synced: {error.strerror}", where=str(path), fix="try again"
            ) from error
        except BaseException:
            os.close(self._file)
            raise

    def _acquire(self) -> None:
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            raise LedgerHeldError(
                "another writer holds this ledger",
                where=str(self.path),
                fix="wait for it to end, or use another file",
            ) from error

    def _recover(self) -> None:
        """Check the chain, cut a torn tail off, and set the head, the count and the end."""
        self._head, self._count, self._size = GENESIS, 0, 0
        with open(self._file, "rb", closefd=False) as file:
            for line in read_records(file):
                reason, body = check_record(line, self._head)
                if reason and is_torn(line, self._head):
                    self._cut_tail(len(line))
                    break
                if reason:
                    raise _damaged(self.path, self._count, reason)
                self._head = chain_hash(self._head, body)
                self._count += 1
                self._size += len(line)
        # What a killed writer left may be in memory only; from here on it counts as on disk.
        os.fsync(self._file)
        self._durable = ExportedHead(self._count, self._head.hex())

    def _cut_tail(self, size_bytes: int) -> None:
        _log.warning(
            "%s: removed a torn record of %d bytes after entry %d; it was never acknowledged",
            self.path,
            size_bytes,
            self._count - 1,
        )
        os.ftruncate(self._file, self._size)

    @property
    def head(self) -> str:
        """The chain hash after the last entry, hex."""
        return self._head.hex()

    @property
    def acknowledged(self) -> int:
        """Number of entries known to be on disk."""
        return self._durable.entries

    @property
    def durable_head(self) -> ExportedHead:
        """The chain hash after the entries known to be on disk: what may be kept elsewhere."""
        return self._durable

    def __len__(self) -> int:
        return self._count

    def append(self, entry: Mapping[str, Any]) -> int:
        """Add one entry.

        Args:
            entry: a JSON object.

        Returns:
            Its index. Under "always" it is on disk; under "batch" once `commit` returns.

        Raises:
            LedgerError: the entry has no canonical form or the disk is full, and the file holds
                what it held before; or a sync failed, and the ledger must be opened again.
        """
        try:
            body = canonical_json(dict(entry))
        except BBError as error:
            raise LedgerError(error.what, where=f"{self.path}: append", fix=error.fix) from error
        with self._lock:
            self._check_usable()
            # Until all is done, the file may hold what this object does not know of, for instance
            # after an interrupt: then nothing more may be appended.
            self._broken = "an append was interrupted"
            head = chain_hash(self._head, body)
            self._write(encode_record(body, head))
            if self.sync == "always":
                self._fsync()
                self._durable = ExportedHead(self._count + 1, head.hex())
            index, self._head, self._count = self._count, head, self._count + 1
            self._broken = ""
            return index

    def commit(self) -> int:
        """Bring every entry to the disk.

        Returns:
            The number of entries acknowledged.

        Raises:
            LedgerError: the disk refused.
        """
        with self._lock:
            if self._durable.entries < self._count:
                self._check_usable()
                self._fsync()
                self._durable = ExportedHead(self._count, self._head.hex())
            return self._durable.entries

    def close(self) -> None:
        """Commit and release the file; closing twice does nothing."""
        if self._file >= 0:
            try:
                if not self._broken:
                    self.commit()
            finally:
                os.close(self._file)
                self._file = -1
                self._broken = "the ledger is closed"

    def __enter__(self) -> Ledger:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def _check_usable(self) -> None:
        if self._broken:
            raise LedgerError(self._broken, where=str(self.path), fix="open it again")

    def _write(self, record: bytes) -> None:
        if len(record) > MAX_RECORD_BYTES:
            self._broken = ""
            raise LedgerError(
                f"an entry of {len(record)} bytes",
                where=f"{self.path}: append",
                fix=f"split it; {MAX_RECORD_BYTES} is the most",
            )
        written = 0
        try:
            while written < len(record):
                written += os.write(self._file, record[written:])
        except OSError as error:
            self._undo(error)
        self._size += len(record)

    def _undo(self, error: OSError) -> None:
        """Take a half-written record back; if even that fails, take no more."""
        try:
            os.ftruncate(self._file, self._size)
            self._broken = ""
        except OSError:
            self._broken = "a failed write could not be taken back"
        raise LedgerError(
            f"cannot append: {error.strerror}", where=str(self.path), fix="free some space"
        ) from error

    def _fsync(self) -> None:
        try:
            os.fsync(self._file)
        except OSError as error:
            # After a failed fsync the kernel may have dropped the pages: nothing later is certain.
            self._broken = "an fsync failed"
            raise LedgerError(
                f"cannot sync: {error.strerror}", where=str(self.path), fix="open it again"
            ) from error
