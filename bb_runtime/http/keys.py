"""API keys and what they may do.

A key file is YAML; it holds hashes, so that who reads it cannot use what is in it:

    keys:
      - {name: shop, sha256: 9f86…, domains: [api_json], run: true}
      - {name: probe, sha256: 60303…}

Keys are 256 random bits, so a plain hash is as good as a slow one.
"""

from __future__ import annotations

import hashlib
import secrets
from collections.abc import Mapping
from pathlib import Path

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from bb_core.errors import BBError
from bb_core.files import read_text
from bb_runtime.http.errors import HttpError

PREFIX = "bb-"
ALL = "*"


class Key(BaseModel):
    """One key.

    Attributes:
        name: for the log.
        sha256: of the key, hex.
        domains: whose plans it may ask for; `*` for all.
        run: whether it may run plans, not only decode and check them.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: str = Field(pattern=r"^[A-Za-z0-9_.-]{1,64}$")
    sha256: str = Field(pattern=r"^[0-9a-f]{64}$")
    domains: tuple[str, ...] = ()
    run: bool = False

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

    def find(self, authorization: str | None) -> Key:
        """The key of a request.

        Args:
            authorization: value of the header of this name.

        Raises:
            HttpError: it is missing or unknown.
        """
        if not self._keys:
            return EVERYBODY
        scheme, _, value = (authorization or "").partition(" ")
        # Looking up a hash leaks nothing through its time that would help to guess a key.
        found = self._keys.get(key_hash(value.strip())) if scheme.lower() == "bearer" else None
        if found is None:
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
    keys = {key.sha256: key for key in found.keys}
    names = {key.name for key in found.keys}
    if not keys or len(keys) < len(found.keys) or len(names) < len(found.keys):
        raise BBError(
            "holds no key, or the same one twice", where=str(path), fix="bb keys new makes one"
        )
    return Keys(keys)


def new_key() -> str:
    """A fresh key."""
    return PREFIX + secrets.token_urlsafe(32)


def key_hash(key: str) -> str:
    """What a key file holds of a key."""
    return hashlib.sha256(key.encode()).hexdigest()
