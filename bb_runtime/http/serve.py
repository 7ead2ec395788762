"""Running the server: its socket, its log, and its end.

On SIGINT or SIGTERM the server drains: it accepts no more connections, `/ready` says 503, requests
under way may take `drain_s` more, and runs of plans reach their end.
"""

from __future__ import annotations

import logging
import socket
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

import typer
import uvicorn
from fastapi import FastAPI

from bb_core.errors import BBError
from bb_runtime.http.gate import JsonLines, ServerState

_BACKLOG = 2048


class _Server(uvicorn.Server):
    """Says that it drains as soon as it is told to end."""

    def __init__(self, config: uvicorn.Config, state: ServerState) -> None:
        super().__init__(config)
        self._state = state

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        self._state.is_draining = True
        super().handle_exit(sig, frame)


def serve_app(app: FastAPI, name: str, address: tuple[str, int]) -> None:
    """Serve until interrupted.

    Args:
        app: from `create_app`.
        name: what is served, for the message.
        address: host and port; port 0 for a free one.

    Raises:
        BBError: the address is taken.
    """
    host, port = address
    service = app.state.service
    config = uvicorn.Config(
        app, log_config=None, access_log=False, server_header=False,
        timeout_graceful_shutdown=round(service.limits.drain_s),
    )  # fmt: skip
    with _listen(host, port) as listening, _logging():
        shown = listening.getsockname()
        typer.echo(f"{name} on http://{shown[0]}:{shown[1]}", err=True)
        _Server(config, service.state).run(sockets=[listening])


def answered_hosts(host: str, more: tuple[str, ...] = ()) -> tuple[str, ...]:
    """Names a request may use: the address, loopback, and those given; on all addresses, any."""
    if host in ("0.0.0.0", "::") and not more:  # noqa: S104 - compared, not bound
        return ("*",)
    return tuple(dict.fromkeys((host, "127.0.0.1", "localhost", "[::1]", *more)))


@contextmanager
def _logging() -> Iterator[None]:
    """JSON lines on stderr, for as long as the server runs."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(JsonLines())
    found = [logging.getLogger("bb_runtime"), logging.getLogger("uvicorn.error")]
    before = [(logger.level, logger.propagate) for logger in found]
    for logger, level in zip(found, (logging.INFO, logging.WARNING), strict=True):
        logger.addHandler(handler)
        logger.setLevel(level)
        logger.propagate = False
    try:
        yield
    finally:
        for logger, (level, propagate) in zip(found, before, strict=True):
            logger.removeHandler(handler)
            logger.setLevel(level)
            logger.propagate = propagate


def _listen(host: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        return socket.create_server((host, port), family=family, backlog=_BACKLOG)
    except OSError as error:
        raise BBError(
            f"cannot listen there: {error.strerror}",
            where=f"{host}:{port}",
            fix="choose another --host or --port",
        ) from error
