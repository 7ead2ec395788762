"""Around every request: an id, a place in the counts, a line in the log, and safe headers.

The id is the client's `X-Request-Id` where that is harmless text, else a new one; the answer bears
it, and every line of the log. A fault of ours is logged here, and answered without its details.
While the server drains, new requests are told to go elsewhere. A request whose length is given in
two ways is refused, and its connection ended.
"""

from __future__ import annotations

import contextvars
import json
import logging
import re
import time
import uuid
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from starlette.datastructures import MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from bb_runtime.http.errors import error_data
from bb_runtime.http.metrics import Metrics

logger = logging.getLogger(__name__)
access = logging.getLogger("bb_runtime.http.access")

_HARMLESS = re.compile(r"[A-Za-z0-9_.:-]{1,64}")
_METHODS = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS")
_ALWAYS = ("/health", "/ready", "/metrics")
_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src data:; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'; "
    "require-trusted-types-for 'script'"
)
_CLOSING = {
    "error": {
        "message": "server: the server is closing; try again in 5 s",
        "type": "server_error",
        "param": None,
        "code": "closing",
    }
}

_AMBIGUOUS = {
    "error": {
        "message": "the request has a content-length and a transfer-encoding; send one of them",
        "type": "invalid_request_error",
        "param": None,
        "code": "ambiguous_length",
    }
}

request_id: contextvars.ContextVar[str] = contextvars.ContextVar("request_id", default="")


@dataclass
class ServerState:
    """Where the server is in its life.

    Attributes:
        is_warming: whether it still compiles what plans need; what is asked meanwhile waits for it.
        is_draining: whether it ends as soon as what it does is done.
    """

    is_warming: bool = False
    is_draining: bool = False

    @property
    def word(self) -> str:
        """What `/ready` says: `ready`, or why not."""
        return "draining" if self.is_draining else "warming up" if self.is_warming else "ready"


class Gate:
    """ASGI middleware; see above.

    Args:
        app: what it stands around.
        metrics: where requests are counted.
        state: whether new requests are taken.
    """

    def __init__(self, app: ASGIApp, metrics: Metrics, state: ServerState) -> None:
        self._app, self._metrics, self._state = app, metrics, state

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        headers = dict(scope["headers"])
        given = headers.get(b"x-request-id", b"").decode("latin-1")
        name = given if _HARMLESS.fullmatch(given) else uuid.uuid4().hex
        request_id.set(name)  # the server runs each request in a context of its own
        started_s, status = time.monotonic(), 0
        scope.setdefault("state", {})["key_name"] = ""

        async def sending(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                _add_headers(MutableHeaders(scope=message), name)
            await send(message)

        self._metrics.begin()
        try:
            if self._state.is_draining and scope["path"] not in _ALWAYS:
                await _answer(sending, 503, _CLOSING, (b"retry-after", b"5"))
            elif b"content-length" in headers and b"transfer-encoding" in headers:
                # Who stands before the server may have gone by the other one: what follows the
                # body could be a request that nobody has looked at, so the connection ends here.
                await _answer(sending, 400, _AMBIGUOUS)
            else:
                await self._app(scope, receive, sending)
        except Exception as error:
            logger.exception("%s %s failed", _method(scope), _route(scope))
            if status == 0:
                await _answer(sending, 500, error_data(error))
            else:
                raise  # only closing the connection can tell the client now
        finally:
            seconds = time.monotonic() - started_s
            self._metrics.end(_route(scope), _method(scope), status, seconds)
            self._log(scope, status, seconds)

    def _log(self, scope: Scope, status: int, seconds: float) -> None:
        access.info(
            "%s %s %s", _method(scope), _route(scope), status,
            extra={"data": {
                "method": _method(scope), "route": _route(scope), "status": status,
                "seconds": round(seconds, 6), "key": scope["state"]["key_name"],
            }},
        )  # fmt: skip


def _method(scope: Scope) -> str:
    """The method, if it is one: a client may send any word."""
    return scope["method"] if scope["method"] in _METHODS else "(other)"


def _route(scope: Scope) -> str:
    """The route's pattern, so that what a path holds is neither logged nor counted by."""
    return str(getattr(scope.get("route"), "path", "(none)"))


def _add_headers(headers: MutableHeaders, name: str) -> None:
    headers["x-request-id"] = name
    headers["x-content-type-options"] = "nosniff"
    headers["referrer-policy"] = "no-referrer"
    headers["content-security-policy"] = _POLICY


async def _answer(
    send: Send, status: int, data: dict[str, Any], *headers: tuple[bytes, bytes]
) -> None:
    sent = [(b"content-type", b"application/json"), (b"connection", b"close"), *headers]
    await send({"type": "http.response.start", "status": status, "headers": sent})
    await send({"type": "http.response.body", "body": json.dumps(data).encode()})


class JsonLines(logging.Formatter):
    """One JSON object a line: time, level, logger, request id, message, and `data`."""

    def format(self, record: logging.LogRecord) -> str:
        """A record as a line."""
        found = {
            "at": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "request": request_id.get(),
            "message": record.getMessage(),
            **getattr(record, "data", {}),
        }
        if record.exc_info:
            found["error"] = self.formatException(record.exc_info)
        return json.dumps(found, ensure_ascii=False)
