"""API keys and what they may do.

A key file is YAML; it holds hashes, so that who reads it cannot use what is in it:

    keys:
      - {name: shop, sha256: 9f86…, domains: [api_json], run: true}
      - {name: probe, sha256: 60303…}

Keys are 256 random bits, so a plain hash is as good as a slow one. `expires: 2027-01-31` ends a
key after that day (UTC).
"""

from __future__ import annotations

import hashlib
import hmac
import secrets
from collections.abc import Mapping, Sequence
from datetime import UTC, date, datetime
from pathlib import Path

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from bb_core.errors import BBError
from bb_core.files import read_text, write_atomic
from bb_runtime.http.refusal import HttpError

PREFIX = "bb-"
ALL = "*"


class Key(BaseModel):
    """One key.

    Attributes:
        name: for the log.
        sha256: of the key, hex.
        domains: whose plans it may ask for; `*` for all.
        run: whether it may run plans, not only decode and check them.
        expires: its last day, in UTC; None for none.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: str = Field(pattern=r"^[A-Za-z0-9_.-]{1,64}$")
    sha256: str = Field(pattern=r"^[0-9a-f]{64}$")
    domains: tuple[str, ...] = ()
    run: bool = False
    expires: date | None = None

    def is_over(self, today: date) -> bool:
        """Whether its last day has passed."""
        return self.expires is not None and today > self.expires

    def may_use(self, domain: str) -> bool:
        """Whether it may ask for plans of a domain."""
        return ALL in self.domains or domain in self.domains


class _File(BaseModel):
    model_config = ConfigDict(extra="forbid")

    keys: list[Key]


EVERYBODY = Key(name="everybody", sha256="0" * 64, domains=(ALL,), run=True)
"""Who asks where the server has no keys; what may be done is then the server's own choice."""


class Keys:
    """The keys of a server.

    Args:
        keys: by hash; empty for a server that asks for none.
    """

    def __init__(self, keys: Mapping[str, Key] | None = None) -> None:
        self._keys = dict(keys or {})

    @property
    def are_asked(self) -> bool:
        """Whether requests need one."""
        return bool(self._keys)

    @property
    def all(self) -> tuple[Key, ...]:
        """Every key."""
        return tuple(self._keys.values())

    def find(self, authorization: str | None) -> Key:
        """The key of a request.

        Args:
            authorization: value of the header of this name.

        Raises:
            HttpError: it is missing, unknown or over.
        """
        if not self._keys:
            return EVERYBODY
        scheme, _, value = (authorization or "").partition(" ")
        given, found = key_hash(value.strip()), None
        for key in self._keys.values():  # all of them, so that time says nothing of any
            if hmac.compare_digest(key.sha256, given):
                found = key
        if scheme.lower() != "bearer" or found is None or found.is_over(datetime.now(UTC).date()):
            raise HttpError(
                401,
                "no valid API key",
                fix="send the header Authorization: Bearer KEY",
                code="invalid_api_key",
            )
        return found


def check_domain(key: Key, domain: str, *, run: bool) -> None:
    """Check that a key may do this with plans of a domain.

    Raises:
        HttpError: it may not.
    """
    if not key.may_use(domain):
        raise HttpError(
            403,
            f"key {key.name} has no right to domain {domain}",
            where="domain",
            fix="use a key that has it",
            code="domain_not_allowed",
        )
    if run and not key.run:
        raise HttpError(
            403,
            f"key {key.name} may not run plans",
            where="run",
            fix="leave run out, or use a key that may",
            code="run_not_allowed",
        )


def load_keys(path: Path) -> Keys:
    """Read a key file.

    Raises:
        BBError: it is not of the form, or holds no key, or two of the same name or hash.
    """
    try:
        found = _File.model_validate(yaml.safe_load(read_text(path)) or {})
    except yaml.YAMLError as error:
        raise BBError(f"is no YAML: {error}", where=str(path)) from error
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(str(part) for part in first["loc"])
        raise BBError(
            f"{place}: {first['msg']}", where=str(path), fix="bb keys new writes a valid line"
        ) from None
    _check_distinct(path, found.keys)
    return Keys({key.sha256: key for key in found.keys})


def save_keys(path: Path, keys: Sequence[Key]) -> None:
    """Write a key file, in one step; a new one is for its owner only.

    Raises:
        BBError: no keys, or two of the same name; the file cannot be written.
    """
    _check_distinct(path, keys)
    data = {"keys": [key.model_dump(mode="json", exclude_none=True) for key in keys]}
    is_new = not path.exists()
    write_atomic(path, yaml.safe_dump(data, sort_keys=False))
    if is_new:
        path.chmod(0o600)


def _check_distinct(path: Path, keys: Sequence[Key]) -> None:
    if not keys:
        raise BBError(
            "would let everybody in: it holds no key", where=str(path), fix="bb keys new makes one"
        )
    for field in ("name", "sha256"):
        if len({getattr(key, field) for key in keys}) < len(keys):
            raise BBError(f"two keys have the same {field}", where=str(path), fix="remove one")


def new_key() -> str:
    """A fresh key."""
    return PREFIX + secrets.token_urlsafe(32)


def key_hash(key: str) -> str:
    """What a key file holds of a key."""
    return hashlib.sha256(key.encode()).hexdigest()
