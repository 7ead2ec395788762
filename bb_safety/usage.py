"""What has been spent: submissions, evaluation sets and draws, and the decisions they led to.

The e-process is valid only for fresh draws, and the levels delta_j only if every submission counts.
Both are enforced here by one SQLite transaction that runs *before* anybody looks at the evidence:
a process killed while deciding has burnt its set and its submission, which errs on the safe side.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from bb_core.errors import BBError
from bb_safety.evidence import EvaluationSet

FloatArray = NDArray[np.float64]

_SCHEMA = """
CREATE TABLE IF NOT EXISTS submissions (
    number INTEGER PRIMARY KEY,
    candidate TEXT NOT NULL,
    incumbent TEXT NOT NULL,
    policy TEXT NOT NULL,
    state TEXT NOT NULL CHECK (state IN ('open', 'more_data', 'closed'))
);
CREATE TABLE IF NOT EXISTS evaluation_sets (
    digest TEXT PRIMARY KEY,
    name TEXT NOT NULL,
    submission INTEGER NOT NULL REFERENCES submissions (number),
    decision INTEGER
);
CREATE TABLE IF NOT EXISTS draws (
    digest TEXT PRIMARY KEY,
    evaluation_set TEXT NOT NULL REFERENCES evaluation_sets (digest)
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS decisions (
    sequence INTEGER PRIMARY KEY,
    submission INTEGER NOT NULL REFERENCES submissions (number),
    document TEXT NOT NULL,
    measurement TEXT NOT NULL
);
"""

_BUSY_TIMEOUT_S = 60.0


class ReusedEvidenceError(BBError):
    """Evidence was offered a second time; it is no longer independent of the candidate."""


@dataclass(frozen=True)
class Submission:
    """A candidate's place in the sequence, and what was seen of it before.

    Attributes:
        number: j, from 1; the level spent is delta_j.
        earlier: (n,) paired differences of earlier sets of this submission, which asked for more.
    """

    number: int
    earlier: FloatArray


@dataclass(frozen=True)
class Spent:
    """One row of the submissions table."""

    number: int
    candidate: str
    incumbent: str
    policy: str
    state: str


@dataclass(frozen=True)
class Recorded:
    """A decision as it was recorded: canonical JSON texts."""

    sequence: int
    submission: int
    document: str
    measurement: str


class UsageStore:
    """The tables in one SQLite file; safe for several processes.

    Args:
        path: the file; made if missing.
    """

    def __init__(self, path: Path | str) -> None:
        self.path = Path(path)
        self.path.parent.mkdir(parents=True, exist_ok=True)
        try:
            with closing(self._connect()) as connection:
                connection.executescript(_SCHEMA)
        except sqlite3.DatabaseError as error:
            raise BBError(
                f"cannot be used: {error}",
                where=str(self.path),
                fix="restore it from a backup; deleting it forgets which evidence is spent",
            ) from error

    def claim(
        self, candidate: str, incumbent: str, policy: str, evaluation_set: EvaluationSet
    ) -> Submission:
        """Mark an evaluation set as used, and give the candidate its place in the sequence.

        A candidate whose last decision asked for more data keeps its place as long as incumbent
        and policy are the same; every other call is a new submission.

        Raises:
            ReusedEvidenceError: the set, or a draw of it, was used before; nothing is claimed.
        """
        with self._transaction() as connection:
            _refuse_used(connection, evaluation_set)
            number, earlier = _continue(connection, candidate, incumbent, policy)
            if number is None:
                number = connection.execute(
                    "INSERT INTO submissions (candidate, incumbent, policy, state) "
                    "VALUES (?, ?, ?, 'open') RETURNING number",
                    (candidate, incumbent, policy),
                ).fetchone()[0]
            connection.execute(
                "INSERT INTO evaluation_sets (digest, name, submission) VALUES (?, ?, ?)",
                (evaluation_set.digest, evaluation_set.name, number),
            )
            connection.executemany(
                "INSERT INTO draws VALUES (?, ?)",
                [(draw, evaluation_set.digest) for draw in evaluation_set.draws()],
            )
        return Submission(number, earlier)

    def settle(self, decision: Recorded, evaluation_set: EvaluationSet, *, more_data: bool) -> None:
        """Record the decision that a claimed set led to."""
        with self._transaction() as connection:
            connection.execute(
                "INSERT INTO decisions VALUES (?, ?, ?, ?)",
                (decision.sequence, decision.submission, decision.document, decision.measurement),
            )
            connection.execute(
                "UPDATE evaluation_sets SET decision = ? WHERE digest = ?",
                (decision.sequence, evaluation_set.digest),
            )
            connection.execute(
                "UPDATE submissions SET state = ? WHERE number = ?",
                ("more_data" if more_data else "closed", decision.submission),
            )

    def decisions(self) -> list[Recorded]:
        """All decisions, oldest first."""
        with closing(self._connect()) as connection:
            return [
                Recorded(*row)
                for row in connection.execute("SELECT * FROM decisions ORDER BY sequence")
            ]

    def decision(self, sequence: int) -> Recorded | None:
        """The decision with this sequence number in the ledger, if there is one."""
        with closing(self._connect()) as connection:
            row = connection.execute(
                "SELECT * FROM decisions WHERE sequence = ?", (sequence,)
            ).fetchone()
        return Recorded(*row) if row else None

    def submissions(self) -> list[Spent]:
        """All submissions, oldest first; `open` ones never reached their decision."""
        with closing(self._connect()) as connection:
            return [
                Spent(*row)
                for row in connection.execute("SELECT * FROM submissions ORDER BY number")
            ]

    def evaluation_sets(self) -> dict[str, str]:
        """Name of every evaluation set that was used, by digest."""
        with closing(self._connect()) as connection:
            return dict(connection.execute("SELECT digest, name FROM evaluation_sets"))

    def differences(self, submission: int, until: int | None = None) -> FloatArray:
        """Paired differences that a submission's decisions rest on, in the order of drawing.

        Args:
            submission: j.
            until: sequence number of the last decision to include; all if None.
        """
        with closing(self._connect()) as connection:
            return _differences(connection, submission, until)

    def _connect(self) -> sqlite3.Connection:
        connection = sqlite3.connect(self.path, timeout=_BUSY_TIMEOUT_S, isolation_level=None)
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("PRAGMA synchronous = FULL")
        connection.execute("PRAGMA foreign_keys = ON")
        return connection

    @contextmanager
    def _transaction(self) -> Iterator[sqlite3.Connection]:
        with closing(self._connect()) as connection:
            connection.execute("BEGIN IMMEDIATE")
            try:
                yield connection
            except BaseException:
                connection.execute("ROLLBACK")
                raise
            connection.execute("COMMIT")


def _refuse_used(connection: sqlite3.Connection, evaluation_set: EvaluationSet) -> None:
    row = connection.execute(
        "SELECT name, submission, decision FROM evaluation_sets WHERE digest = ?",
        (evaluation_set.digest,),
    ).fetchone()
    if row:
        raise _reused(evaluation_set, "its requests are those of", *row)
    row = connection.execute(
        "SELECT name, submission, decision FROM evaluation_sets WHERE digest IN "
        "(SELECT evaluation_set FROM draws WHERE digest IN (SELECT value FROM json_each(?)))",
        (json.dumps(sorted(evaluation_set.draws())),),
    ).fetchone()
    if row:
        raise _reused(evaluation_set, "it shares draws with", *row)


def _reused(
    evaluation_set: EvaluationSet, how: str, name: str, submission: int, decision: int | None
) -> ReusedEvidenceError:
    spent_on = (
        f"decision {decision} (submission {submission})"
        if decision is not None
        else f"submission {submission}, which did not reach a decision"
    )
    return ReusedEvidenceError(
        f"{how} set {name!r}, used by {spent_on}",
        where=f"evaluation set {evaluation_set.name!r}",
        fix="draw fresh requests with a seed that was not used before",
    )


def _continue(
    connection: sqlite3.Connection, candidate: str, incumbent: str, policy: str
) -> tuple[int | None, FloatArray]:
    """Reopen the submission that asked for more data on exactly this question, if there is one."""
    row = connection.execute(
        "UPDATE submissions SET state = 'open' WHERE number = (SELECT max(number) FROM submissions "
        "WHERE candidate = ? AND incumbent = ? AND policy = ? AND state = 'more_data') "
        "RETURNING number",
        (candidate, incumbent, policy),
    ).fetchone()
    if row is None:
        return None, np.zeros(0)
    return int(row[0]), _differences(connection, int(row[0]), None)


def _differences(connection: sqlite3.Connection, submission: int, until: int | None) -> FloatArray:
    parts = [np.zeros(0)]
    for (text,) in connection.execute(
        "SELECT measurement FROM decisions WHERE submission = ? AND sequence <= ? "
        "ORDER BY sequence",
        (submission, until if until is not None else 2**62),
    ):
        measured = json.loads(text)
        parts.append(
            np.array(measured["candidate"], dtype=np.float64)
            - np.array(measured["incumbent"], dtype=np.float64)
        )
    return np.concatenate(parts)
