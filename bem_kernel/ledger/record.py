"""One record of a ledger: a line that holds an entry and the chain hash after it.

``{"entry":<canonical JSON>,"hash":"<H_{k+1} in hex>"}`` and a line feed, with ``H_0`` = 32 zero
bytes and ``H_{k+1} = SHA-256(H_k || canonical entry)``. Canonical JSON has no line feeds itself.

Source: BEM core spec 3.6, 8.1, 11.1.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from typing import BinaryIO

from bb_core.canonical import canonical_json
from bb_core.errors import BBError

GENESIS = bytes(32)
"""H_0."""

MAX_RECORD_BYTES = 1 << 26
"""No record is longer, so that reading a file of no line ends takes bounded memory."""

_HEAD = b'{"entry":'
_MIDDLE = b',"hash":"'
_TAIL = b'"}'
_HEX_DIGITS = 64
_FRAME_BYTES = len(_MIDDLE) + _HEX_DIGITS + len(_TAIL)


def chain_hash(head: bytes, canonical_entry: bytes) -> bytes:
    """H_{k+1} from H_k and the canonical bytes of entry k; 32 bytes."""
    return hashlib.sha256(head + canonical_entry).digest()


def encode_record(canonical_entry: bytes, head: bytes) -> bytes:
    """The line of an entry, given the chain hash after it."""
    return _HEAD + canonical_entry + _MIDDLE + head.hex().encode() + _TAIL + b"\n"


def read_records(file: BinaryIO) -> Iterator[bytes]:
    """The lines of a file; one that is too long comes in pieces, none of which is a record."""
    while line := file.readline(MAX_RECORD_BYTES):
        yield line


def check_record(line: bytes, head: bytes) -> tuple[str, bytes]:
    """What is wrong with one line ("" if nothing), and the canonical bytes of its entry.

    Args:
        line: with its line feed.
        head: the chain hash before it.
    """
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


def is_torn(line: bytes, head: bytes) -> bool:
    """Whether an unterminated last line can be the beginning of a write that a crash cut off.

    A whole record followed by something else than its line feed is damage: it was acknowledged.
    """
    if line.endswith(b"\n") or len(line) >= MAX_RECORD_BYTES:
        return False
    digest, hashed = hashlib.sha256(head), len(_HEAD)
    middle = line.find(_MIDDLE, hashed)
    while middle >= 0 and (end := middle + _FRAME_BYTES) < len(line):
        digest.update(line[hashed:middle])  # each byte once, however often the pattern occurs
        hashed = middle
        stored = line[middle + len(_MIDDLE) : end - len(_TAIL)]
        whole = line.startswith(_HEAD) and line.startswith(_TAIL, end - len(_TAIL))
        if whole and digest.hexdigest().encode() == stored:
            return False
        middle = line.find(_MIDDLE, middle + 1)
    return True


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
