"""The demonstration service as a process of its own on the loopback interface.

The child binds the port itself (0 means a free one), says on its standard output when it is ready,
and ends when its standard input closes: so it dies with its parent, however the parent ends. It has
its own process group, hence Ctrl-C reaches the parent only, which then stops the child.
"""

from __future__ import annotations

import argparse
import json
import os
import select
import socket
import sqlite3
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from bb_core.errors import BBError
from bb_domains.api_json.credentials import (
    PASSWORD_VARIABLE,
    USER_VARIABLE,
    Credentials,
    credentials_from_environment,
)

if TYPE_CHECKING:
    import uvicorn

LOOPBACK = "127.0.0.1"
START_TIMEOUT_S = 30.0
STOP_TIMEOUT_S = 5.0


@dataclass(frozen=True)
class RunningService:
    """A service that answers.

    Attributes:
        base_url: for example `http://127.0.0.1:8077`.
        pid: process id.
    """

    base_url: str
    pid: int


@contextmanager
def running_service(
    db_path: Path, *, seed: int, credentials: Credentials, port: int = 0
) -> Iterator[RunningService]:
    """Run the service in a child process for as long as the context lasts.

    Args:
        db_path: SQLite file; created and filled from `seed` if it is new.
        seed: makes the data of a new file.
        credentials: what the service accepts at its login; handed over through the environment.
        port: port on 127.0.0.1, 0 for a free one.

    Raises:
        BBError: the service does not come up, for example because the port is taken.
    """
    process = _start(db_path, seed, credentials, port)
    try:
        yield RunningService(f"http://{LOOPBACK}:{_wait_until_ready(process)}", process.pid)
    finally:
        _stop(process)


def _start(db_path: Path, seed: int, credentials: Credentials, port: int) -> subprocess.Popen[str]:
    arguments = ["--db", str(db_path), "--seed", str(seed), "--port", str(port)]
    environment = {
        **os.environ,
        USER_VARIABLE: credentials.username,
        PASSWORD_VARIABLE: credentials.password,
    }
    return subprocess.Popen(
        [sys.executable, "-m", "bb_domains.api_json.server", *arguments],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env=environment,
        start_new_session=True,
    )


def _wait_until_ready(process: subprocess.Popen[str]) -> int:
    """The port, once the child has said that it answers."""
    assert process.stdout is not None
    readable, _, _ = select.select([process.stdout], [], [], START_TIMEOUT_S)
    line = process.stdout.readline() if readable else ""
    if not line:
        raise BBError(
            "the service did not start",
            where="demonstration service",
            fix="read its message above; if the port is taken, use --port 0",
        )
    port = json.loads(line)["port"]
    assert isinstance(port, int)
    return port


def _stop(process: subprocess.Popen[str]) -> None:
    process.terminate()
    try:
        process.wait(STOP_TIMEOUT_S)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
    for pipe in (process.stdin, process.stdout):
        if pipe is not None:
            pipe.close()


def serve(
    db_path: Path, *, seed: int, credentials: Credentials, port: int, watch_stdin: bool
) -> None:
    """Serve in this process until it is told to stop.

    Args:
        db_path: SQLite file.
        seed: makes the data of a new file.
        credentials: what the service accepts at its login.
        port: port on 127.0.0.1, 0 for a free one.
        watch_stdin: stop when standard input closes.

    Raises:
        BBError: the port cannot be bound, or the file is not the service's database.
    """
    import uvicorn

    from bb_domains.api_json.service import Operator, create_app

    listener = _bind(port)
    try:
        app = create_app(db_path, seed, Operator(credentials.username, credentials.password))
    except sqlite3.Error as error:
        fix = "delete it to have it made anew, or name another place"
        raise BBError(f"cannot be used: {error}", where=str(db_path), fix=fix) from None
    config = uvicorn.Config(app, log_level="warning", access_log=False, lifespan="off")
    server = uvicorn.Server(config)
    if watch_stdin:
        threading.Thread(target=_stop_at_end_of_input, args=(server,), daemon=True).start()
    sys.stdout.write(json.dumps({"port": listener.getsockname()[1]}) + "\n")
    sys.stdout.flush()
    server.run(sockets=[listener])


def _bind(port: int) -> socket.socket:
    # asyncio switches Nagle's algorithm off only for sockets that say IPPROTO_TCP; left on, it
    # made each answer take 40 ms.
    listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((LOOPBACK, port))
        listener.listen(128)
    except OSError as error:
        listener.close()
        raise BBError(
            f"cannot listen on {LOOPBACK}:{port}: {error.strerror}",
            where="demonstration service",
            fix="stop the program that uses the port, or use --port 0 for a free one",
        ) from None
    return listener


def _stop_at_end_of_input(server: uvicorn.Server) -> None:
    while sys.stdin.buffer.read(4096):
        pass
    server.should_exit = True


def main() -> None:
    """Entry point of the child process."""
    parser = argparse.ArgumentParser(prog="python -m bb_domains.api_json.server")
    parser.add_argument("--db", type=Path, required=True)
    parser.add_argument("--seed", type=int, required=True)
    parser.add_argument("--port", type=int, required=True)
    options = parser.parse_args()
    try:
        serve(
            options.db,
            seed=options.seed,
            credentials=credentials_from_environment(),
            port=options.port,
            watch_stdin=True,
        )
    except BBError as error:
        sys.stderr.write(f"error: {error}\n")
        sys.exit(error.exit_code)


if __name__ == "__main__":
    main()
