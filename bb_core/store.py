"""A content-addressed artifact store with aliases and records. Storage only, no policy.

    root/objects/ab/<digest>/          a tree, files read-only, or
    root/objects/ab/<digest>           a JSON value in canonical form
    root/store.sqlite                  aliases and records (WAL)

The digest of a JSON value is the SHA-256 of its canonical form; that of a tree is the digest of
its manifest `{"files": {path: {"sha256", "size_bytes"}}}`. An object is built beside its place,
flushed and renamed, so it is either whole or absent; aliases change in one transaction.
"""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import sqlite3
import stat
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any

from bb_core.canonical import canonical_json, file_sha256, fingerprint, sha256_hex
from bb_core.errors import BBError
from bb_core.files import decode_json, directory_atomic, read_bytes, read_json, write_atomic

_DIGEST = re.compile(r"[0-9a-f]{64}")
_NOTHING_EXPECTED: Mapping[str, str | None] = MappingProxyType({})
_BUSY_TIMEOUT_S = 30.0
_READ_ONLY = stat.S_IRUSR | stat.S_IRGRP | stat.S_IROTH

_TABLES = """
CREATE TABLE IF NOT EXISTS aliases (
    name TEXT PRIMARY KEY,
    digest TEXT NOT NULL
) STRICT;
CREATE TABLE IF NOT EXISTS records (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    kind TEXT NOT NULL,
    body TEXT NOT NULL
) STRICT;
CREATE INDEX IF NOT EXISTS records_by_kind ON records (kind, id);
"""


class StoreError(BBError):
    """The store cannot do what was asked, or is damaged."""


class AliasConflictError(StoreError):
    """An alias was not what the caller expected; nothing was changed."""


@dataclass(frozen=True)
class Problem:
    """One thing wrong in a store.

    Attributes:
        where: digest, path or alias.
        what: the fault.
    """

    where: str
    what: str


@dataclass(frozen=True)
class Record:
    """One stored record.

    Attributes:
        id: its number; numbers only grow.
        kind: what sort of record it is.
        body: the JSON object.
    """

    id: int
    kind: str
    body: Mapping[str, Any]


class Store:
    """An artifact store in a folder, made on first use; several processes may share it.

    Args:
        root: the store's folder.

    Raises:
        StoreError: the folder or its database cannot be used.
    """

    def __init__(self, root: str | Path) -> None:
        self.root = Path(root)
        self._objects = self.root / "objects"
        try:
            self._objects.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise StoreError(f"cannot be made: {error.strerror}", where=str(root)) from error
        with self._database() as database:
            database.executescript(_TABLES)

    def put_tree(self, folder: str | Path) -> str:
        """Copy a folder into the store and return its digest.

        Raises:
            StoreError: the folder is missing, empty, or holds a link or a special file.
            BBError: the store cannot be written.
        """
        source = Path(folder)
        digest = fingerprint(tree_manifest(source))
        place = self._place(digest)
        if place.is_dir():
            return digest
        with directory_atomic(place) as building:
            shutil.copytree(source, building, dirs_exist_ok=True)
            for file in building.rglob("*"):
                if file.is_file():
                    file.chmod(_READ_ONLY)
            if fingerprint(tree_manifest(building)) != digest:
                raise StoreError(
                    "changed while it was copied", where=str(source), fix="store it again"
                )
        return digest

    def put_json(self, value: Any) -> str:
        """Store a JSON value and return its digest.

        Raises:
            BBError: the value has no canonical form, or the store cannot be written.
        """
        data = canonical_json(value)
        digest = sha256_hex(data)
        place = self._place(digest)
        if not place.is_file():
            write_atomic(place, data)
            place.chmod(_READ_ONLY)
        return digest

    def get(self, digest: str) -> Path:
        """Return where an object is: a folder for a tree, a file for a JSON value.

        Raises:
            StoreError: there is no such object.
        """
        place = self._place(digest)
        if not place.exists():
            raise StoreError(
                "is not in the store", where=f"object {digest[:12]}", fix="list the store's objects"
            )
        return place

    def get_json(self, digest: str) -> Any:
        """Return a stored JSON value.

        Raises:
            StoreError: there is no such object, or it is a tree.
        """
        place = self.get(digest)
        if place.is_dir():
            raise StoreError("is a tree, not a JSON value", where=f"object {digest[:12]}")
        return read_json(place)

    def digests(self) -> list[str]:
        """Return the digests of all objects, sorted."""
        return sorted(
            place.name for place in self._objects.glob("??/*") if _DIGEST.fullmatch(place.name)
        )

    def set_alias(self, name: str, digest: str, expect: str | None = None) -> None:
        """Point an alias at an object.

        Args:
            name: the alias.
            digest: a stored object.
            expect: what the alias must point at now; None does not ask.

        Raises:
            AliasConflictError: the alias is not as expected.
            StoreError: there is no such object.
        """
        self.set_aliases({name: digest}, {} if expect is None else {name: expect})

    def set_aliases(
        self,
        changes: Mapping[str, str | None],
        expect: Mapping[str, str | None] = _NOTHING_EXPECTED,
    ) -> None:
        """Change several aliases in one step, or none of them.

        Args:
            changes: new digest of each alias; None removes it.
            expect: what some aliases must point at now; None means absent.

        Raises:
            AliasConflictError: an alias is not as expected.
            StoreError: there is no such object.
        """
        for digest in changes.values():
            if digest is not None:
                self.get(digest)
        with self._database() as database, _transaction(database):
            found = dict(database.execute("SELECT name, digest FROM aliases").fetchall())
            for name, wanted in expect.items():
                if found.get(name) != wanted:
                    raise AliasConflictError(
                        f"is {_short(found.get(name))}, not {_short(wanted)}",
                        where=f"alias {name}",
                        fix="look again and retry",
                    )
            for name, digest in changes.items():
                if digest is None:
                    database.execute("DELETE FROM aliases WHERE name = ?", (name,))
                else:
                    database.execute(
                        "INSERT INTO aliases VALUES (?, ?)"
                        " ON CONFLICT (name) DO UPDATE SET digest = excluded.digest",
                        (name, digest),
                    )

    def alias(self, name: str) -> str | None:
        """Return the digest an alias points at, or None if there is no such alias."""
        return self.aliases().get(name)

    def aliases(self) -> dict[str, str]:
        """Return all aliases, read in one step."""
        with self._database() as database:
            return dict(database.execute("SELECT name, digest FROM aliases ORDER BY name"))

    def add_record(self, kind: str, body: Mapping[str, Any]) -> int:
        """Append a record and return its number.

        Raises:
            BBError: the body has no canonical form.
        """
        text = canonical_json(dict(body)).decode("utf-8")
        with self._database() as database, _transaction(database):
            done = database.execute("INSERT INTO records (kind, body) VALUES (?, ?)", (kind, text))
            assert done.lastrowid is not None
            return done.lastrowid

    def records(self, kind: str) -> list[Record]:
        """Return the records of a kind, oldest first."""
        with self._database() as database:
            rows = database.execute(
                "SELECT id, kind, body FROM records WHERE kind = ? ORDER BY id", (kind,)
            ).fetchall()
        return [Record(row[0], row[1], decode_json(row[2], where="records")) for row in rows]

    def verify(self) -> list[Problem]:
        """Return what is wrong: objects that are not what their name says, dangling aliases."""
        problems = []
        for digest in self.digests():
            try:
                actual = _digest_of(self._place(digest))
            except BBError as error:
                problems.append(Problem(digest, str(error)))
                continue
            if actual != digest:
                problems.append(Problem(digest, f"content has the digest {actual[:12]}"))
        for name, digest in self.aliases().items():
            if not self._place(digest).exists():
                problems.append(Problem(f"alias {name}", f"points at missing {digest[:12]}"))
        return problems

    def _place(self, digest: str) -> Path:
        """Return where an object would be; refuses what is no digest."""
        if not _DIGEST.fullmatch(digest):
            raise StoreError(
                f"{digest!r} is no digest", where=str(self.root), fix="use 64 hex digits"
            )
        return self._objects / digest[:2] / digest

    @contextlib.contextmanager
    def _database(self) -> Iterator[sqlite3.Connection]:
        """Open the database for one operation."""
        path = self.root / "store.sqlite"
        try:
            connection = sqlite3.connect(path, timeout=_BUSY_TIMEOUT_S, isolation_level=None)
            with contextlib.closing(connection):
                connection.execute("PRAGMA journal_mode = WAL")
                connection.execute("PRAGMA synchronous = FULL")
                yield connection
        except sqlite3.Error as error:
            raise StoreError(
                f"database failed: {error}",
                where=str(path),
                fix="restore the file from a copy, or choose another workspace",
            ) from error


def tree_manifest(folder: str | Path) -> dict[str, Any]:
    """Return a tree's manifest: SHA-256 and size of every file, by its path with slashes.

    Raises:
        StoreError: the folder is missing, empty, or holds a link or a special file.
    """
    root = Path(folder)
    if not root.is_dir():
        raise StoreError("is not a folder", where=str(root), fix="name an existing folder")
    files = {}
    for place in sorted(root.rglob("*")):
        mode = os.lstat(place).st_mode
        if stat.S_ISREG(mode):
            entry = {"sha256": file_sha256(place), "size_bytes": place.stat().st_size}
            files[place.relative_to(root).as_posix()] = entry
        elif not stat.S_ISDIR(mode):
            raise StoreError(
                "is neither a file nor a folder", where=str(place), fix="store a plain copy"
            )
    if not files:
        raise StoreError("holds no files", where=str(root), fix="store a folder with files")
    return {"files": files}


@contextlib.contextmanager
def _transaction(database: sqlite3.Connection) -> Iterator[None]:
    """Run a block as one write transaction."""
    database.execute("BEGIN IMMEDIATE")
    try:
        yield
    except BaseException:
        database.execute("ROLLBACK")
        raise
    database.execute("COMMIT")


def _digest_of(place: Path) -> str:
    """Return the digest that the content of an object has."""
    return fingerprint(tree_manifest(place)) if place.is_dir() else sha256_hex(read_bytes(place))


def _short(digest: str | None) -> str:
    return "absent" if digest is None else digest[:12]
