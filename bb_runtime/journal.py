"""The journal: what a run needs to go on after a crash, in SQLite beside the log.

The log says for ever what happened, with private values as keyed hashes. The journal holds a plan
and what its steps answered as they are, for as long as the run may have to go on; a run that has
ended well, or was taken back, or is forgotten leaves nothing but its status.

A call is written down before it is made, and its answer before anything else happens. The file is
readable by its owner only, and freed pages are overwritten. Who holds the log (one process at a
time) holds its journal too.
"""

from __future__ import annotations

import contextlib
import json
import os
import sqlite3
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any, Literal

from bb_core.errors import BBError
from bb_runtime.errors import JournalError

Status = Literal["running", "done", "failed", "in_doubt", "interrupted", "undoing", "undone"]
CallStatus = Literal["called", "ok", "failed"]

SUFFIX = ".journal"
_WAIT_S = 10.0
_TABLES = """
CREATE TABLE IF NOT EXISTS runs (
  run TEXT PRIMARY KEY, at TEXT NOT NULL, domain TEXT NOT NULL, fingerprint TEXT NOT NULL,
  status TEXT NOT NULL, step TEXT NOT NULL, plan TEXT
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS calls (
  run TEXT NOT NULL REFERENCES runs(run), step TEXT NOT NULL, attempts INTEGER NOT NULL,
  at_s REAL NOT NULL, status TEXT NOT NULL, unknown INTEGER NOT NULL, answer TEXT NOT NULL,
  PRIMARY KEY (run, step)
) WITHOUT ROWID;
"""


@dataclass(frozen=True)
class CallRecord:
    """The last call of a step.

    Attributes:
        attempts: how often it was called.
        at_s: when the last call began, seconds since the epoch.
        status: "called" where no answer was written down.
        unknown: whether a failed call may have had its effect.
        result: the answer, if it succeeded.
    """

    attempts: int
    at_s: float
    status: CallStatus
    unknown: bool
    result: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class RunRecord:
    """A run.

    Attributes:
        run: its identifier.
        at: when it began, ISO 8601.
        domain: name of its domain.
        fingerprint: of that domain.
        status: "running" also where a crash ended it.
        step: where it stopped, "" if nowhere.
        plan: text of the plan; None once it is forgotten.
        calls: by step, or `undo:` and the step.
    """

    run: str
    at: str
    domain: str
    fingerprint: str
    status: Status
    step: str
    plan: str | None = field(repr=False)
    calls: Mapping[str, CallRecord] = field(default_factory=dict, repr=False)


def is_ok(record: RunRecord, step: str) -> bool:
    """Whether a step's last call is known to have succeeded."""
    call = record.calls.get(step)
    return call is not None and call.status == "ok"


def journal_path(log: Path) -> Path:
    """Where the journal of a log is."""
    return log.with_suffix(SUFFIX)


def open_journal(log: Path) -> Journal:
    """The journal of a log that has one.

    Raises:
        BBError: it has none, or it cannot be opened.
    """
    path = journal_path(log)
    if not path.exists():
        raise BBError("no run is known", where=str(path), fix="name the log by --log")
    return Journal(path)


class Journal:
    """An open journal.

    Args:
        path: the file; created if missing.

    Raises:
        BBError: it cannot be opened, or is something else.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            os.close(os.open(path, os.O_RDWR | os.O_CREAT, 0o600))
        except OSError as error:
            raise JournalError(
                f"cannot be opened: {error.strerror}", where=str(path), fix="choose another place"
            ) from error
        with self._safely():
            self._db = sqlite3.connect(
                path, timeout=_WAIT_S, isolation_level=None, check_same_thread=False
            )
            for pragma in ("journal_mode = WAL", "synchronous = FULL", "secure_delete = ON"):
                self._db.execute(f"PRAGMA {pragma}")
            self._db.executescript(_TABLES)

    def __enter__(self) -> Journal:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the file."""
        self._db.close()

    def begin(self, record: RunRecord) -> None:
        """Write a new run down.

        Raises:
            BBError: the disk refuses.
        """
        values = (record.run, record.at, record.domain, record.fingerprint, record.plan)
        with self._safely():
            self._db.execute("INSERT INTO runs VALUES (?, ?, ?, ?, 'running', '', ?)", values)

    def call(self, run: str, step: str, at_s: float) -> int:
        """Write down that a call is about to be made; returns which attempt it is, from 1.

        Raises:
            BBError: the disk refuses.
        """
        sql = (
            "INSERT INTO calls VALUES (?, ?, 1, ?, 'called', 0, '') ON CONFLICT (run, step) DO "
            "UPDATE SET attempts = attempts + 1, at_s = excluded.at_s, status = 'called', "
            "unknown = 0, answer = '' RETURNING attempts"
        )
        with self._safely():
            (attempts,) = self._db.execute(sql, (run, step, at_s)).fetchone()
        return int(attempts)

    def answer(
        self, run: str, step: str, result: Mapping[str, Any] | None, *, unknown: bool = False
    ) -> None:
        """Write down what a call answered; None if it failed.

        Raises:
            BBError: the disk refuses.
        """
        status = "failed" if result is None else "ok"
        text = "" if result is None else json.dumps(result, default=str)
        sql = "UPDATE calls SET status = ?, unknown = ?, answer = ? WHERE run = ? AND step = ?"
        with self._safely():
            self._db.execute(sql, (status, int(unknown), text, run, step))

    def settle(self, run: str, status: Status, step: str = "") -> None:
        """Write down how a run stands; one that is done or undone is forgotten as well.

        Raises:
            BBError: the disk refuses.
        """
        with self._safely():
            self._db.execute(
                "UPDATE runs SET status = ?, step = ? WHERE run = ?", (status, step, run)
            )
        if status in ("done", "undone"):
            self.forget(run)

    def forget(self, run: str) -> None:
        """Erase a run's plan and answers; it cannot go on afterwards.

        Raises:
            BBError: the disk refuses.
        """
        with self._safely():
            self._db.execute("BEGIN IMMEDIATE")
            self._db.execute("UPDATE runs SET plan = NULL WHERE run = ?", (run,))
            self._db.execute("UPDATE calls SET answer = '' WHERE run = ?", (run,))
            self._db.execute("COMMIT")
            self._db.execute("PRAGMA wal_checkpoint(TRUNCATE)")

    def runs(self) -> list[RunRecord]:
        """All runs, the oldest first, without their calls.

        Raises:
            BBError: the file cannot be read.
        """
        sql = "SELECT run, at, domain, fingerprint, status, step, plan FROM runs ORDER BY at, run"
        with self._safely():
            return [RunRecord(*row) for row in self._db.execute(sql)]

    def find(self, name: str = "") -> RunRecord:
        """A run by its identifier or the beginning of it, or the last one.

        Raises:
            BBError: there is none, or several begin so.
        """
        runs = self.runs()
        found = [record for record in runs if record.run.startswith(name)] if name else runs[-1:]
        if len(found) != 1:
            what = f"{len(found) or 'no'} runs {'begin with ' + name if name else 'are known'}"
            raise BBError(what, where=str(self.path), fix="look at bb plan status")
        (record,) = found
        sql = "SELECT step, attempts, at_s, status, unknown, answer FROM calls WHERE run = ?"
        with self._safely():
            rows = self._db.execute(sql, (record.run,)).fetchall()
        calls = {
            step: CallRecord(attempts, at_s, status, bool(unknown), json.loads(answer or "{}"))
            for step, attempts, at_s, status, unknown, answer in rows
        }
        return RunRecord(
            record.run,
            record.at,
            record.domain,
            record.fingerprint,
            record.status,
            record.step,
            record.plan,
            calls,
        )

    @contextlib.contextmanager
    def _safely(self) -> Iterator[None]:
        try:
            yield
        except sqlite3.Error as error:
            raise JournalError(
                f"database failed: {error}",
                where=str(self.path),
                fix="free some space, or move the file away: then its runs cannot go on",
            ) from error
