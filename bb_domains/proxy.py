"""A reverse proxy to one service, to record what its users do without touching it.

It forwards to the one service it was made for, follows no redirect, and gives back status, headers
and body as they come; only what belongs to a connection (RFC 9110, 7.6.1) is left out. Compressed
answers are not asked for, so that they can be recorded.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable
from urllib.parse import urlsplit

import httpx

from bb_core.errors import UsageError
from bb_domains.middleware import AsgiApp, Receive, Scope, Send

TIMEOUT_S = 60.0

_HOP_BY_HOP = frozenset(
    {
        b"accept-encoding",
        b"connection",
        b"host",
        b"keep-alive",
        b"proxy-authenticate",
        b"proxy-authorization",
        b"te",
        b"trailer",
        b"transfer-encoding",
        b"upgrade",
        b"content-length",
    }
)


def reverse_proxy(upstream: str, client: httpx.AsyncClient) -> AsgiApp:
    """An ASGI application that forwards every request.

    Args:
        upstream: address of the service, such as `http://127.0.0.1:8077`.
        client: makes the requests; the caller closes it.

    Raises:
        UsageError: the address is none.
    """
    url = urlsplit(upstream)
    if url.scheme not in ("http", "https") or not url.netloc:
        fix = "write http://host:port"
        raise UsageError(f"{upstream!r} is no address", where="--upstream", fix=fix)
    base = upstream.rstrip("/")

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await _live(receive, send)
            return
        if scope["type"] != "http":
            return
        raw = scope.get("raw_path") or scope["path"].encode()
        if not raw.startswith(b"/"):  # after the address it would make another host of it
            await _answer(send, 400, b"the path does not begin with /")
            return
        query = scope.get("query_string", b"")
        target = base + raw.decode("latin-1") + ("?" + query.decode("latin-1") if query else "")
        request = client.build_request(
            scope["method"],
            target,
            headers=[*_passed_on(scope["headers"]), (b"accept-encoding", b"identity")],
            content=await _whole(receive),
            timeout=TIMEOUT_S,
        )
        try:
            answer = await client.send(request, stream=True, follow_redirects=False)
        except httpx.HTTPError as error:
            await _answer(send, 502, f"cannot reach the service: {type(error).__name__}".encode())
            return
        try:
            start = {"type": "http.response.start", "status": answer.status_code}
            await send({**start, "headers": _passed_on(answer.headers.raw)})
            async for part in answer.aiter_raw():
                await send({"type": "http.response.body", "body": part, "more_body": True})
            await send({"type": "http.response.body", "body": b"", "more_body": False})
        finally:
            await answer.aclose()

    return app


def _passed_on(headers: Iterable[tuple[bytes, bytes]]) -> list[tuple[bytes, bytes]]:
    return [(n.lower(), v) for n, v in headers if n.lower() not in _HOP_BY_HOP]


async def _whole(receive: Receive) -> bytes:
    return b"".join([part async for part in _parts(receive)])


async def _parts(receive: Receive) -> AsyncIterator[bytes]:
    while True:
        message = await receive()
        if message["type"] != "http.request":
            return
        yield message.get("body", b"")
        if not message.get("more_body"):
            return


async def _answer(send: Send, status: int, body: bytes) -> None:
    headers = [(b"content-type", b"text/plain; charset=utf-8")]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})


async def _live(receive: Receive, send: Send) -> None:
    while True:
        kind = (await receive())["type"]
        await send({"type": f"{kind}.complete"})
        if kind == "lifespan.shutdown":
            return
