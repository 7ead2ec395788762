"""Private values in logs and traces: keyed hashes in their place.

A field is private if its tool declares it so, or if its name or its value says so (addresses,
passwords, tokens). The key stays in a file beside the log, readable by its owner only: who has it
can ask whether a given address occurs, who has only the log cannot even guess.
"""

from __future__ import annotations

import hashlib
import hmac
import os
import re
import secrets
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

from bb_core.errors import BBError

HIDDEN = "…"
LEAST_HIDDEN = 8
"""Secrets of fewer characters stay in results, where they may be part of something else."""

_KEY_BYTES = 32
_NAMES = re.compile(r"e?mail|pass(word|wd)|secret|token|credential|api_?key|authorization", re.I)
_ADDRESS = re.compile(r"[^@\s]+@[^@\s]+\.[^@\s]+")


def load_log_key(path: str | Path) -> bytes:
    """The key of a log, from its file; made, readable by its owner only, if there is none.

    Raises:
        BBError: the file cannot be read or made, or holds something else.
    """
    path = Path(path)
    try:
        if not path.exists():
            path.parent.mkdir(parents=True, exist_ok=True)
            handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
            with os.fdopen(handle, "w") as file:
                file.write(secrets.token_hex(_KEY_BYTES))
                file.flush()
                os.fsync(file.fileno())
        key = bytes.fromhex(path.read_text())
    except FileExistsError:
        return load_log_key(path)
    except (OSError, ValueError) as error:
        raise BBError(
            f"no key of a log: {error}", where=str(path), fix="remove the file"
        ) from error
    if len(key) != _KEY_BYTES:
        raise BBError(
            f"{len(key)} bytes are no key of a log", where=str(path), fix="remove the file"
        )
    return key


class Redactor:
    """Replaces private values by keyed hashes.

    Args:
        key: from `load_log_key`.
    """

    def __init__(self, key: bytes) -> None:
        self._key = key

    def digest(self, value: Any) -> str:
        """The keyed hash that stands for a value, e.g. to look for it in a log."""
        text = value if isinstance(value, str) else repr(value)
        return "hmac:" + hmac.new(self._key, text.encode(), hashlib.sha256).hexdigest()[:32]

    def redact(self, value: Any, private: Collection[str] = ()) -> Any:
        """A JSON value with its private fields replaced.

        Args:
            value: the value.
            private: names of fields, at any depth, that are private besides the obvious ones.
        """
        if isinstance(value, Mapping):
            return {
                self.redact(key): self._field(key, item, private) for key, item in value.items()
            }
        if isinstance(value, (list, tuple)):
            return [self.redact(item, private) for item in value]
        if isinstance(value, str):
            return _ADDRESS.sub(lambda found: self.digest(found[0]), value)
        return value

    def _field(self, name: str, value: Any, private: Collection[str]) -> Any:
        if name in private or _NAMES.search(name):
            return self._hidden(value)
        return self.redact(value, private)

    def _hidden(self, value: Any) -> Any:
        """A private value: everything in it by its hash, in the same shape."""
        if isinstance(value, Mapping):
            return {self.redact(key): self._hidden(item) for key, item in value.items()}
        if isinstance(value, (list, tuple)):
            return [self._hidden(item) for item in value]
        return self.digest(value)


def is_secret_name(name: str) -> bool:
    """Whether something of this name is not for others to see."""
    return _NAMES.search(name) is not None


def without_secrets(value: Any, secrets: Collection[str]) -> Any:
    """A JSON value with dots in the place of secrets, wherever in a text they are.

    Args:
        value: the value.
        secrets: what must not be in it; none is empty.
    """
    if isinstance(value, Mapping):
        parts = value.items()
        return {without_secrets(k, secrets): without_secrets(v, secrets) for k, v in parts}
    if isinstance(value, (list, tuple)):
        return [without_secrets(item, secrets) for item in value]
    if isinstance(value, str):
        for secret in sorted(secrets, key=len, reverse=True):
            value = value.replace(secret, HIDDEN)
    return value
