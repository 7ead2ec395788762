"""Canonical JSON and the hashes taken over it.

Records are RFC 8785 canonical JSON and hashes are SHA-256, so that two machines that hold the
same record agree on its name. RFC 8785 numbers are IEEE doubles: integers beyond 2**53 - 1,
NaN and infinities have no canonical form and are refused.
"""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import rfc8785

from bb_core.errors import BBError

_CHUNK_BYTES = 1 << 20


def canonical_json(obj: Any) -> bytes:
    """Encode a JSON value in its one canonical form.

    Args:
        obj: dict with string keys, list, tuple, str, int, float, bool or None, nested.

    Returns:
        UTF-8 bytes without spaces, keys sorted by UTF-16 code units.

    Raises:
        BBError: a value has no canonical form.

    Source: RFC 8785.
    """
    try:
        return rfc8785.dumps(obj)
    except (rfc8785.CanonicalizationError, UnicodeEncodeError) as error:
        raise BBError(
            f"no canonical form: {error}",
            where="canonical_json",
            fix="use strings, finite numbers, integers within ±(2**53 - 1), lists and objects",
        ) from error


def sha256_hex(data: bytes) -> str:
    """Return the SHA-256 of `data` as 64 lower-case hex digits."""
    return hashlib.sha256(data).hexdigest()


def fingerprint(obj: Any) -> str:
    """Return the SHA-256 of the canonical JSON of `obj` as 64 hex digits."""
    return sha256_hex(canonical_json(obj))


def file_sha256(path: str | Path) -> str:
    """Return the SHA-256 of a file's bytes as 64 hex digits.

    Raises:
        BBError: the file cannot be read.
    """
    digest = hashlib.sha256()
    try:
        with open(path, "rb") as file:
            while chunk := file.read(_CHUNK_BYTES):
                digest.update(chunk)
    except OSError as error:
        raise BBError(f"cannot be read: {error.strerror}", where=str(path)) from error
    return digest.hexdigest()
