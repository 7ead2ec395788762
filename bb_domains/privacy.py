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

LEAST_TOLD = 4
"""Private values of fewer characters stay in the words that a service says of a failure."""

_KEY_BYTES = 32
_NAMES = re.compile(r"e?mail|pass(word|wd)|secret|token|credential|api_?key|authorization", re.I)
_FIELD = re.compile(r"[A-Za-z_][A-Za-z0-9_-]*")
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
        self._learned: set[str] = set()
        self._found = _ADDRESS

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
                self._address(key): self._field(key, item, private) for key, item in value.items()
            }
        if isinstance(value, (list, tuple)):
            return [self.redact(item, private) for item in value]
        if isinstance(value, str):
            return self._found.sub(lambda found: self.digest(found[0]), value)
        return value

    def learn(self, value: Any, private: Collection[str] = ()) -> None:
        """Remember what is private in a JSON value: from now on it is replaced in any text.

        So it is not repeated by what a service says of a failure. Values of fewer than
        `LEAST_TOLD` characters are left out: they are part of other words.
        """
        new = _private_texts(value, private) - self._learned
        if new:
            self._learned |= new
            texts = sorted(self._learned, key=len, reverse=True)
            self._found = re.compile("|".join([*map(re.escape, texts), _ADDRESS.pattern]))

    def fresh(self) -> Redactor:
        """One with the same key that has learned nothing."""
        return Redactor(self._key)

    def _address(self, text: str) -> str:
        return _ADDRESS.sub(lambda found: self.digest(found[0]), text)

    def _field(self, name: str, value: Any, private: Collection[str]) -> Any:
        if _is_private(name, private):
            return self._hidden(value)
        return self.redact(value, private)

    def _hidden(self, value: Any) -> Any:
        """A private value: everything in it by its hash, in the same shape."""
        if isinstance(value, Mapping):
            return {self._hidden_key(key): self._hidden(item) for key, item in value.items()}
        if isinstance(value, (list, tuple)):
            return [self._hidden(item) for item in value]
        return self.digest(value)

    def _hidden_key(self, key: str) -> str:
        """The name of a field as it is; what else stands in its place is a value."""
        return key if _FIELD.fullmatch(key) else self.digest(key)


def _private_texts(value: Any, private: Collection[str]) -> set[str]:
    """Private values in a JSON value, as texts."""
    found: set[str] = set()
    if isinstance(value, Mapping):
        for name, item in value.items():
            hidden = _is_private(name, private)
            found |= _leaves(item) if hidden else _private_texts(item, private)
    elif isinstance(value, (list, tuple)):
        for item in value:
            found |= _private_texts(item, private)
    return found


def _is_private(name: str, private: Collection[str]) -> bool:
    return name in private or is_secret_name(name)


def _leaves(value: Any) -> set[str]:
    """What is in a JSON value, as texts; names of fields are not."""
    if isinstance(value, Mapping):
        keys = [key for key in value if not _FIELD.fullmatch(key)]
        return _leaves([*keys, *value.values()])
    if isinstance(value, (list, tuple)):
        return set().union(*map(_leaves, value))
    text = "" if value is None or isinstance(value, bool) else str(value)
    return {text} if len(text) >= LEAST_TOLD else set()


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
