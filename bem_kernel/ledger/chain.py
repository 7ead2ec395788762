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
import hashlib
import json
import logging
import os
import threading
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, BinaryIO, Literal

from bb_core.canonical import canonical_json
from bb_core.errors import BBError
from bb_core.files import sync_directory
from bem_kernel.errors import LedgerError

_log = logging.getLogger(__name__)

GENESIS = bytes(32)
"""H_0."""

SyncPolicy = Literal["always", "batch"]
"""When entries reach the disk: with every `append`, or with `commit`."""

_HEAD = b'{"entry":'
_MIDDLE = b',"hash":"'
_TAIL = b'"}'
_HEX_DIGITS = 64
_FRAME_BYTES = len(_MIDDLE) + _HEX_DIGITS + len(_TAIL)


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


def chain_hash(head: bytes, canonical_entry: bytes) -> bytes:
    """H_{k+1} from H_k and the canonical bytes of entry k; 32 bytes."""
    return hashlib.sha256(head + canonical_entry).digest()


def verify(path: str | Path, head: str | None = None) -> Verification:
    """Check every record of a ledger file.

    Args:
        path: the ledger.
        head: a chain hash (hex) kept elsewhere. It must occur in the chain, so that a ledger cut
            off before it is found too; None: only the file itself is checked.

    Raises:
        LedgerError: the file cannot be read.
    """
    if head is not None:
        head = head.lower()
    seen = head in (None, GENESIS.hex())
    current, count = GENESIS, 0
    with _open_for_reading(path) as file:
        for line in file:
            reason, body = _check_line(line, current)
            if reason:
                return Verification(count, current.hex(), count, reason)
            current = chain_hash(current, body)
            count += 1
            seen = seen or current.hex() == head
    if not seen:
        return Verification(count, current.hex(), count, "the chain ends before the given head")
    return Verification(count, current.hex())


def read_entries(path: str | Path) -> Iterator[dict[str, Any]]:
    """The entries in order, each checked against the chain before it is yielded.

    Raises:
        LedgerError: the file cannot be read, or the next record is bad.
    """
    current = GENESIS
    with _open_for_reading(path) as file:
        for index, line in enumerate(file):
            reason, body = _check_line(line, current)
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


def _check_line(line: bytes, head: bytes) -> tuple[str, bytes]:
    """What is wrong with one record ("" if nothing), and the canonical bytes of its entry."""
    if not line.endswith(b"\n"):
        return f"torn record of {len(line)} bytes without its end of line", b""
    body, stored = _split(line[:-1])
    if stored is None:
        return "not a ledger record", b""
    if chain_hash(head, body).hex().encode() != stored:
        return "the hash does not match the entry and the chain before it", b""
    try:
        canonical = canonical_json(json.loads(body))
    except (ValueError, RecursionError, BBError):
        return "the entry is not JSON", b""
    if canonical != body or not body.startswith(b"{"):
        return "the entry is not a JSON object in canonical form", b""
    return "", body


def _split(record: bytes) -> tuple[bytes, bytes | None]:
    """A record's entry bytes and hash bytes; the hash is None if the frame is broken."""
    start = len(record) - _FRAME_BYTES
    framed = (
        start > len(_HEAD)
        and record.startswith(_HEAD)
        and record.endswith(_TAIL)
        and record[start : start + len(_MIDDLE)] == _MIDDLE
    )
    if not framed:
        return b"", None
    return record[len(_HEAD) : start], record[start + len(_MIDDLE) : -len(_TAIL)]


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
        LedgerError: another process holds it, it is damaged, or it cannot be written.
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
        except BaseException:
            os.close(self._file)
            raise

    def _acquire(self) -> None:
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            raise LedgerError(
                "another writer holds this ledger",
                where=str(self.path),
                fix="wait for it to end, or use another file",
            ) from error

    def _recover(self) -> None:
        """Check the chain, cut a torn tail off, and set the head, the count and the end."""
        self._head, self._count, self._size = GENESIS, 0, 0
        with open(self.path, "rb") as file:
            for line in file:
                reason, body = _check_line(line, self._head)
                if reason and _is_torn(line, self._head):
                    self._cut_tail(len(line))
                    break
                if reason:
                    raise _damaged(self.path, self._count, reason)
                self._head = chain_hash(self._head, body)
                self._count += 1
                self._size += len(line)
        self._durable = self._count

    def _cut_tail(self, size_bytes: int) -> None:
        _log.warning(
            "%s: removed a torn record of %d bytes after entry %d; it was never acknowledged",
            self.path,
            size_bytes,
            self._count - 1,
        )
        os.ftruncate(self._file, self._size)
        os.fsync(self._file)

    @property
    def head(self) -> str:
        """The chain hash after the last entry, hex."""
        return self._head.hex()

    @property
    def acknowledged(self) -> int:
        """Number of entries known to be on disk."""
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
            head = chain_hash(self._head, body)
            self._write(_HEAD + body + _MIDDLE + head.hex().encode() + _TAIL + b"\n")
            if self.sync == "always":
                self._fsync()
            index, self._head, self._count = self._count, head, self._count + 1
            if self.sync == "always":
                self._durable = self._count
            return index

    def commit(self) -> int:
        """Bring every entry to the disk.

        Returns:
            The number of entries acknowledged.

        Raises:
            LedgerError: the disk refused.
        """
        with self._lock:
            if self._durable < self._count:
                self._fsync()
                self._durable = self._count
            return self._durable

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

    def _write(self, record: bytes) -> None:
        if self._broken:
            raise LedgerError(self._broken, where=str(self.path), fix="open it again")
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
        except OSError:
            self._broken = "a failed write could not be taken back"
        raise LedgerError(
            f"cannot append: {error.strerror}", where=str(self.path), fix="free some space"
        ) from error

    def _fsync(self) -> None:
        if self._broken:
            raise LedgerError(self._broken, where=str(self.path), fix="open it again")
        try:
            os.fsync(self._file)
        except OSError as error:
            # After a failed fsync the kernel may have dropped the pages: nothing later is certain.
            self._broken = "an fsync failed"
            raise LedgerError(
                f"cannot sync: {error.strerror}", where=str(self.path), fix="open it again"
            ) from error


def _is_torn(line: bytes, head: bytes) -> bool:
    """Whether an unterminated last line can be the beginning of a write that a crash cut off.

    A whole record followed by something else than its newline is damage: it was acknowledged.
    """
    if line.endswith(b"\n"):
        return False
    middle = line.find(_MIDDLE)
    while middle >= 0 and (end := middle + _FRAME_BYTES) < len(line):
        body, stored = _split(line[:end])
        if stored is not None and chain_hash(head, body).hex().encode() == stored:
            return False
        middle = line.find(_MIDDLE, middle + 1)
    return True
