"""Recorders inside a service: ASGI and WSGI middleware.

They pass everything on as it is and copy what fits; a recorder that fails is reported in the log
and never in an answer. A middleware belongs inside of one that compresses answers.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Awaitable, Callable, Iterable, Iterator, MutableMapping
from io import BytesIO
from typing import Any
from urllib.parse import quote

from bb_domains.recording import MOST_BYTES, Exchange, Recorder

Message = MutableMapping[str, Any]
Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
AsgiApp = Callable[[Scope, Receive, Send], Awaitable[None]]
WsgiApp = Callable[[dict[str, Any], Callable[..., Any]], Iterable[bytes]]

_log = logging.getLogger(__name__)


class _Copy:
    """The beginning of a body, one byte more than may be recorded."""

    def __init__(self) -> None:
        self.bytes = b""

    def add(self, part: bytes) -> None:
        self.bytes += part[: max(0, MOST_BYTES + 1 - len(self.bytes))]


class RecordAsgi:
    """ASGI middleware that records HTTP exchanges.

    Args:
        app: the service.
        recorder: that gets them.
    """

    def __init__(self, app: AsgiApp, recorder: Recorder) -> None:
        self._app, self._recorder = app, recorder

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one connection, as ASGI 3 has it."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        asked, answered, status = _Copy(), _Copy(), 500
        start_s = time.perf_counter()

        async def receiving() -> Message:
            message = await receive()
            if message["type"] == "http.request":
                asked.add(message.get("body", b""))
            return message

        async def sending(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            elif message["type"] == "http.response.body":
                answered.add(message.get("body", b""))
            await send(message)

        try:
            await self._app(scope, receiving, sending)
        finally:
            raw = scope.get("raw_path") or quote(scope["path"]).encode()
            headers = {
                name.decode("latin-1").lower(): value.decode("latin-1")
                for name, value in scope["headers"]
            }
            exchange = Exchange(
                scope["method"],
                raw.decode("latin-1"),
                scope.get("query_string", b"").decode("latin-1"),
                headers,
                asked.bytes,
                status,
                answered.bytes,
                time.perf_counter() - start_s,
            )
            _record(self._recorder, exchange)


class RecordWsgi:
    """WSGI middleware that records HTTP exchanges.

    Args:
        app: the service.
        recorder: that gets them.
    """

    def __init__(self, app: WsgiApp, recorder: Recorder) -> None:
        self._app, self._recorder = app, recorder

    def __call__(
        self, environ: dict[str, Any], start_response: Callable[..., Any]
    ) -> Iterable[bytes]:
        """Answer one request, as PEP 3333 has it."""
        length = int(environ.get("CONTENT_LENGTH") or 0)
        body = environ["wsgi.input"].read(length) if length else b""
        environ = {**environ, "wsgi.input": BytesIO(body)}
        status = 500
        start_s = time.perf_counter()

        def starting(line: str, headers: list[tuple[str, str]], *more: Any) -> Any:
            nonlocal status
            status = int(line.split(" ", 1)[0])
            return start_response(line, headers, *more)

        parts = self._app(environ, starting)
        answered = _Copy()

        def passing() -> Iterator[bytes]:
            try:
                for part in parts:
                    answered.add(part)
                    yield part
            finally:
                close = getattr(parts, "close", None)
                if close is not None:
                    close()
                _record(
                    self._recorder,
                    _from_environ(
                        environ, body, status, answered.bytes, time.perf_counter() - start_s
                    ),
                )

        return passing()


def _from_environ(
    environ: dict[str, Any], body: bytes, status: int, answer: bytes, t_s: float
) -> Exchange:
    headers = {
        name[5:].replace("_", "-").lower(): value
        for name, value in environ.items()
        if name.startswith("HTTP_")
    }
    path = environ.get("SCRIPT_NAME", "") + environ.get("PATH_INFO", "")
    raw = quote(path.encode("latin-1"))
    query = environ.get("QUERY_STRING", "")
    return Exchange(environ["REQUEST_METHOD"], raw, query, headers, body, status, answer, t_s)


def _record(recorder: Recorder, exchange: Exchange) -> None:
    try:
        recorder.add(exchange, time.monotonic())
    except Exception:  # whatever happens here, the service's answer is on its way
        _log.exception("%s %s was not recorded", exchange.method, exchange.path)
