"""What a real desk must not forget: drafts, decisions, numbers, and what was done under which key.

One SQLite file (WAL, synchronous FULL), readable by its owner only: drafts hold texts with personal
data until they are redacted. A call's key is noted before the call and its answer after it.
"""

from __future__ import annotations

import hashlib
import json
import os
import secrets
import sqlite3
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any

from bb_core.errors import BBError
from bb_domains.social.drafts import Draft
from bb_domains.social.policies import ROLES, Role

STORE_FILE = "desk.sqlite"
_TABLES = """
CREATE TABLE IF NOT EXISTS drafts (name TEXT PRIMARY KEY, body TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS decisions (
    fingerprint TEXT NOT NULL, role TEXT NOT NULL, yes INTEGER NOT NULL, who TEXT NOT NULL,
    at_s REAL NOT NULL, PRIMARY KEY (fingerprint, role));
CREATE TABLE IF NOT EXISTS numbers (
    kind TEXT NOT NULL, number INTEGER NOT NULL, remote TEXT NOT NULL,
    PRIMARY KEY (kind, number), UNIQUE (kind, remote));
CREATE TABLE IF NOT EXISTS calls (key TEXT PRIMARY KEY, at_s REAL NOT NULL, answer TEXT);
"""
_FIRST = {"message": 100, "status": 1000}
_LAST = {"message": 999, "status": 9999}


class DeskStore:
    """Drafts, approvals and numbers in one file; any thread may ask.

    Args:
        path: the file; made if there is none.

    Raises:
        BBError: it cannot be opened, or is something else.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._lock = threading.RLock()
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            os.close(os.open(path, os.O_RDWR | os.O_CREAT, 0o600))
            self._db = sqlite3.connect(
                path, isolation_level=None, timeout=10.0, check_same_thread=False
            )
            self._db.execute("PRAGMA journal_mode = WAL")
            self._db.execute("PRAGMA synchronous = FULL")
            self._db.execute("PRAGMA secure_delete = ON")  # what was redacted is gone
            self._db.executescript(_TABLES)
        except (OSError, sqlite3.Error) as error:
            raise BBError(f"no desk: {error}", where=str(path), fix="name another folder") from None

    def close(self) -> None:
        """Close the file."""
        self._db.close()

    def get(self, name: str) -> Draft | None:
        """The draft of a name."""
        row = self._one("SELECT body FROM drafts WHERE name = ?", name)
        return Draft(**json.loads(row[0])) if row else None

    def put(self, draft: Draft) -> None:
        """Keep a draft."""
        body = json.dumps(asdict(draft), sort_keys=True)
        self._do("INSERT OR REPLACE INTO drafts VALUES (?, ?)", draft.id, body)

    def new_name(self, key: str | None) -> str:
        """A name for a new draft; with a key always the same one."""
        mark = hashlib.sha256(key.encode()).hexdigest() if key else secrets.token_hex(8)
        return f"draft-{mark[:16]}"

    def drafts(self) -> list[Draft]:
        """All drafts that are not published yet."""
        return [draft for draft in self._all() if not draft.number]

    def posted(self, channel: str) -> list[int]:
        """Numbers of the posts that drafts for a channel became."""
        return [d.number for d in self._all() if d.number and d.channel == channel]

    def _all(self) -> list[Draft]:
        with self._lock:
            rows = self._db.execute("SELECT body FROM drafts ORDER BY rowid").fetchall()
        return [Draft(**json.loads(body)) for (body,) in rows]

    def record_decision(self, draft: Draft, role: Role, *, yes: bool, who: str) -> None:
        """Record what somebody in a role decided about a draft as it stands.

        Raises:
            BBError: the draft was not checked.
        """
        if not draft.checked:
            raise BBError("was not checked", where=draft.id, fix="check it first")
        values = (draft.fingerprint, role, int(yes), who, time.time())
        self._do("INSERT OR REPLACE INTO decisions VALUES (?, ?, ?, ?, ?)", *values)

    def decide(self, draft: Draft, approver: Role, needed: Role) -> str:
        """Why an approver does not approve a draft; authors approve by asking."""
        if approver != needed:
            return f"the {approver} may not approve this"
        if approver == ROLES[0]:
            return ""
        query = "SELECT yes FROM decisions WHERE fingerprint = ? AND role = ?"
        row = self._one(query, draft.fingerprint, approver)
        if row is None:
            return f"{draft.id} waits for the {approver}"
        return "" if row[0] else f"the {approver} said no to {draft.id}"

    def number_of(self, kind: str, remote: str) -> int:
        """The number by which plans name a message or post of the server.

        Raises:
            BBError: there are no numbers left.
        """
        with self._transaction():
            row = self._one(
                "SELECT number FROM numbers WHERE kind = ? AND remote = ?", kind, remote
            )
            if row:
                return int(row[0])
            (most,) = self._one("SELECT max(number) FROM numbers WHERE kind = ?", kind) or (None,)
            number = _FIRST[kind] if most is None else int(most) + 1
            if number > _LAST[kind]:
                raise BBError(
                    f"no number left for a {kind}", where=str(self._path), fix="start anew"
                )
            self._do("INSERT INTO numbers VALUES (?, ?, ?)", kind, number, remote)
            return number

    def remote_of(self, kind: str, number: int) -> str | None:
        """What the server calls a message or post; None if the number was never given."""
        query = "SELECT remote FROM numbers WHERE kind = ? AND number = ?"
        row = self._one(query, kind, number)
        return str(row[0]) if row else None

    def begin(self, key: str) -> tuple[float | None, dict[str, Any] | None]:
        """Note that a call is about to be made.

        Returns:
            When it was first tried, in seconds since 1970, None if never; and its answer, if there
            was one.
        """
        with self._transaction():
            row = self._one("SELECT at_s, answer FROM calls WHERE key = ?", key)
            if row is None:
                self._do("INSERT INTO calls VALUES (?, ?, NULL)", key, time.time())
                return None, None
            return float(row[0]), json.loads(row[1]) if row[1] is not None else None

    def finish(self, key: str, answer: Mapping[str, Any]) -> None:
        """Note the answer of a call."""
        self._do("UPDATE calls SET answer = ? WHERE key = ?", json.dumps(answer), key)

    def forget(self, key: str) -> None:
        """Note that a call surely had no effect."""
        self._do("DELETE FROM calls WHERE key = ?", key)

    def _one(self, query: str, *values: Any) -> tuple[Any, ...] | None:
        with self._lock:
            found: tuple[Any, ...] | None = self._db.execute(query, values).fetchone()
        return found

    def _do(self, statement: str, *values: Any) -> None:
        try:
            with self._lock:
                self._db.execute(statement, values)
        except sqlite3.Error as error:
            raise BBError(
                f"not kept: {error}", where=str(self._path), fix="look at the disk"
            ) from None

    @contextmanager
    def _transaction(self) -> Iterator[None]:
        with self._lock:
            self._db.execute("BEGIN IMMEDIATE")
            try:
                yield
            except BaseException:
                self._db.execute("ROLLBACK")
                raise
            self._db.execute("COMMIT")
