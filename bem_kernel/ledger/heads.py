"""Exported heads: what is kept elsewhere, so that a rewritten or shortened ledger is found out.

Whoever can write a ledger can compute a new chain for other entries. A head that was kept where
that writer does not reach shows it. The file of heads has a line of canonical JSON for each,
``{"entries":<number of entries>,"head":"<chain hash after them, hex>"}``, in growing order; it is
replaced as a whole when one is added.

Source: BEM core spec 11.1.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from bb_core.canonical import canonical_json
from bb_core.errors import BBError
from bb_core.files import read_bytes, write_atomic
from bem_kernel.errors import LedgerError
from bem_kernel.ledger.record import GENESIS

_HEX_DIGITS = 2 * len(GENESIS)


@dataclass(frozen=True)
class ExportedHead:
    """The chain hash at one moment.

    Attributes:
        entries: number of entries then.
        head: chain hash after them, 64 lower-case hex digits.
    """

    entries: int
    head: str


START = ExportedHead(0, GENESIS.hex())
"""The head of every ledger before its first entry."""


def encode_head(head: ExportedHead) -> bytes:
    """The line of a head."""
    return canonical_json(asdict(head)) + b"\n"


def read_heads(path: str | Path) -> tuple[ExportedHead, ...]:
    """The heads in a file, in the order of their entries; none if there is no file.

    Raises:
        LedgerError: the file cannot be read, or a line is no head or not after the one before.
    """
    if not Path(path).exists():
        return ()
    try:
        lines = read_bytes(path).split(b"\n")
    except BBError as error:
        raise LedgerError(error.what, where=error.where, fix=error.fix) from error
    if not lines[-1]:
        lines.pop()
    heads: list[ExportedHead] = []
    for number, line in enumerate(lines, start=1):
        head = _decode(line)
        if head is None:
            raise LedgerError(
                "not an exported head",
                where=f"{path}:{number}",
                fix='write {"entries":N,"head":"64 hex digits"}, as `bem log export-head` does',
            )
        if heads and head.entries <= heads[-1].entries:
            raise LedgerError(
                f"a head after {head.entries} entries follows one after {heads[-1].entries}",
                where=f"{path}:{number}",
                fix="restore the file from a copy",
            )
        heads.append(head)
    return tuple(heads)


def add_head(path: str | Path, head: ExportedHead) -> None:
    """Add a head to a file durably; adding the last one again does nothing.

    Raises:
        LedgerError: the file cannot be read or written, or it holds a later or another head.
    """
    heads = read_heads(path)
    if heads and heads[-1] == head:
        return
    if heads and head.entries <= heads[-1].entries:
        raise LedgerError(
            f"has a head after {heads[-1].entries} entries, not to be followed by one after "
            f"{head.entries}",
            where=str(path),
            fix="check the ledger with `bem log verify --heads`",
        )
    try:
        write_atomic(path, b"".join(encode_head(each) for each in (*heads, head)))
    except BBError as error:
        raise LedgerError(error.what, where=error.where, fix=error.fix) from error


def _decode(line: bytes) -> ExportedHead | None:
    """The head in a line; None if it holds something else."""
    try:
        record: Any = json.loads(line)
    except (ValueError, RecursionError):
        return None
    if not isinstance(record, dict) or set(record) != {"entries", "head"}:
        return None
    entries, head = record["entries"], record["head"]
    fits = (
        type(entries) is int
        and entries >= 0
        and isinstance(head, str)
        and len(head) == _HEX_DIGITS
        and not set(head) - set("0123456789abcdef")
    )
    return ExportedHead(entries, head) if fits else None
