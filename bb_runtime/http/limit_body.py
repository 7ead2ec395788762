"""Refuse request bodies that are too large, too slow, or no plain JSON, before they are read."""

from __future__ import annotations

import asyncio
import json

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from bb_runtime.http.plain_json import body_fault

_DIGITS = 15


class LimitBody:
    """ASGI middleware: 413 for a body above `max_bytes`, whether or not its length is declared.

    What `plain_json` finds fault with is answered 400.

    Args:
        app: what it stands around.
        max_bytes: largest body.
        timeout_s: longest time until the whole body is there; then 408.
    """

    def __init__(self, app: ASGIApp, max_bytes: int, timeout_s: float) -> None:
        self._app = app
        self._max_bytes, self._timeout_s = max_bytes, timeout_s

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on, with its whole body."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        headers = dict(scope["headers"])
        declared = headers.get(b"content-length", b"0")
        if not declared.isdigit() or len(declared) > _DIGITS or int(declared) > self._max_bytes:
            await self._refuse_size(send)
            return
        try:
            async with asyncio.timeout(self._timeout_s):
                body = await self._read(receive)
        except TimeoutError:
            what = f"the body was not there after {self._timeout_s:g} s; send it faster"
            await _refuse(send, 408, what, "body_too_slow")
            return
        if body is None:
            await self._refuse_size(send)
            return
        fault = body_fault(body, headers.get(b"content-type", b""))
        if fault:
            await _refuse(send, 400, fault, "invalid_json")
            return
        messages: list[Message] = [{"type": "http.request", "body": body, "more_body": False}]

        async def replay() -> Message:
            return messages.pop() if messages else await receive()

        await self._app(scope, replay, send)

    async def _read(self, receive: Receive) -> bytes | None:
        """The whole body, or None as soon as it is too large."""
        parts: list[bytes] = []
        size_bytes = 0
        while True:
            message = await receive()
            if message["type"] == "http.disconnect":
                return None  # nobody is left to read the answer
            parts.append(message.get("body", b""))
            size_bytes += len(parts[-1])
            if size_bytes > self._max_bytes:
                return None
            if not message.get("more_body", False):
                return b"".join(parts)

    async def _refuse_size(self, send: Send) -> None:
        what = f"the body is larger than {self._max_bytes} bytes; send less"
        await _refuse(send, 413, what, "body_too_large")


async def _refuse(send: Send, status: int, what: str, code: str) -> None:
    error = {"message": what, "type": "invalid_request_error", "param": None, "code": code}
    body = json.dumps({"error": error}).encode()
    headers = [(b"content-type", b"application/json"), (b"connection", b"close")]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})
