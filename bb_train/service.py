"""The demonstration service as the main job uses it, and what changes in its database."""

from __future__ import annotations

import socket
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import httpx

from bb_core.workspace import Workspace
from bb_domains.api_json.demo import Demo, connect, stored_credentials
from bb_domains.api_json.server import LOOPBACK, running_service

_SESSION_TABLES = ("sessions", "seen", "confirmed", "answers")

Rows = dict[tuple[str, ...], dict[str, Any]]
"""(table, *primary key) -> columns."""


def database(work: Workspace) -> Path:
    """The live service's SQLite file."""
    return work.caches / "service" / "service.db"


@contextmanager
def live_service(work: Workspace, *, seed: int, port: int) -> Iterator[str]:
    """Run the service on a new database; its credentials stay in the workspace.

    Args:
        work: workspace.
        seed: makes the data.
        port: preferred port on 127.0.0.1; another one is taken if it is busy.

    Yields:
        The base URL.
    """
    path = database(work)
    path.parent.mkdir(exist_ok=True)
    for suffix in ("", "-wal", "-shm"):
        path.with_name(path.name + suffix).unlink(missing_ok=True)
    login = stored_credentials(credentials_file(work))
    chosen = port if _is_free(port) else 0
    with running_service(path, seed=seed, credentials=login, port=chosen) as service:
        yield service.base_url


def credentials_file(work: Workspace) -> Path:
    """Where the live service's credentials are kept."""
    return work.caches / "service" / "credentials.env"


@contextmanager
def connected(work: Workspace, base_url: str) -> Iterator[Demo]:
    """Everything that talks to the live service, its domain imported from its OpenAPI document."""
    login = stored_credentials(credentials_file(work))
    with httpx.Client(trust_env=False) as client:
        yield connect(base_url, login, client)


def read_rows(path: Path) -> Rows:
    """Every row of the service's database but those of sessions, which hold hashes of tokens."""
    found: Rows = {}
    with closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True)) as connection:
        connection.row_factory = sqlite3.Row
        names = connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")
        for table in sorted({row[0] for row in names} - set(_SESSION_TABLES)):
            info = connection.execute(f"PRAGMA table_info({table})").fetchall()
            key = [column["name"] for column in info if column["pk"]]
            for row in connection.execute(f"SELECT * FROM {table}"):  # noqa: S608  its own names
                columns = dict(row)
                found[table, *(str(columns[name]) for name in key or columns)] = columns
    return found


def changed_rows(before: Rows, after: Rows) -> list[str]:
    """One line for each row that was added, removed or changed."""
    lines = []
    for key in sorted(before.keys() | after.keys()):
        old, new = before.get(key), after.get(key)
        if old != new:
            lines.append(f"{key[0]}: {_change(old, new)}")
    return lines


def _change(old: dict[str, Any] | None, new: dict[str, Any] | None) -> str:
    if old is None or new is None:
        columns = ", ".join(f"{name}={value!r}" for name, value in (old or new or {}).items())
        return f"{'new row' if old is None else 'row removed'} {columns}"
    name = next(iter(new))
    changes = [f"{k}: {old[k]!r} → {new[k]!r}" for k in new if old[k] != new[k]]
    return f"{name}={new[name]!r}: " + ", ".join(changes)


def _is_free(port: int) -> bool:
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as listener:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listener.bind((LOOPBACK, port))
        except OSError:
            return False
    return True
