"""The streamable HTTP transport of the Model Context Protocol: one endpoint, one POST a message.

An answer is JSON, or a stream of events of which one is the answer.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import count
from typing import Any
from urllib.parse import urlsplit

import httpx

from bb_core.errors import BBError
from bb_core.files import decode_json

TIMEOUT_S = 30.0
MOST_BYTES = 8_000_000
_SESSION = "Mcp-Session-Id"
_ACCEPT = "application/json, text/event-stream"


@dataclass
class HttpPeer:
    """A server at a URL; `mcp.Peer`.

    Attributes:
        url: its endpoint.
        client: keeps the connection.
        headers: sent with every message.
    """

    url: str
    client: httpx.Client
    headers: dict[str, str] = field(repr=False)
    _numbers: Iterator[int] = field(default_factory=count, repr=False)

    def ask(self, method: str, params: Mapping[str, Any]) -> dict[str, Any]:
        """The result of one request.

        Raises:
            BBError: the server cannot be reached, refuses, or answers nothing of the kind.
        """
        number = next(self._numbers)
        sent = {"jsonrpc": "2.0", "id": number, "method": method, "params": dict(params)}
        for message in self._messages(sent):
            if not isinstance(message, dict) or message.get("id") != number:
                continue
            if "error" in message:
                fault = message["error"]
                said = fault.get("message") if isinstance(fault, Mapping) else fault
                raise self._fault(f"{method} is refused: {str(said)[:200]}")
            if isinstance(message.get("result"), dict):
                result: dict[str, Any] = message["result"]
                return result
        raise self._fault(f"{method} has no result")

    def tell(self, message: Mapping[str, Any]) -> None:
        """Send a message that needs no answer.

        Raises:
            BBError: the server cannot be reached, or refuses.
        """
        for _ in self._messages({"jsonrpc": "2.0", **message}):
            return

    def _messages(self, sent: Mapping[str, Any]) -> Iterator[Any]:
        """What comes back on a message."""
        try:
            with self.client.stream(
                "POST", self.url, json=sent, headers=self.headers, follow_redirects=False
            ) as answer:
                if not answer.is_success:
                    raise self._fault(f"answers {answer.status_code}")
                session = answer.headers.get(_SESSION)
                if session:
                    self.headers[_SESSION] = session
                if answer.headers.get("content-type", "").startswith("text/event-stream"):
                    yield from map(self._decoded, _events(self._bounded(answer.iter_lines())))
                else:
                    text = "\n".join(self._bounded(answer.iter_lines()))
                    yield from [self._decoded(text)] if text else []
        except httpx.HTTPError as error:
            said = str(error) or type(error).__name__
            raise self._fault(f"cannot be reached: {said}") from None

    def _bounded(self, lines: Iterable[str]) -> Iterator[str]:
        left = MOST_BYTES
        for line in lines:
            left -= len(line)
            if left < 0:
                raise self._fault(f"sent more than {MOST_BYTES} bytes")
            yield line

    def _decoded(self, text: str) -> Any:
        return decode_json(text, where=f"MCP server {self._shown}")

    @property
    def _shown(self) -> str:
        """The address without what may be secret in it."""
        parts = urlsplit(self.url)
        return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}{parts.path}"

    def _fault(self, what: str) -> BBError:
        return BBError(what, where=f"MCP server {self._shown}", fix="check its address and token")


@contextmanager
def connected(url: str, token: str = "", client: httpx.Client | None = None) -> Iterator[HttpPeer]:
    """A server at a URL.

    Args:
        url: of its endpoint.
        token: bearer token; none if empty.
        client: an open HTTP client; one of its own if None.

    Raises:
        BBError: the token is none.
    """
    if not (token.isascii() and token.isprintable()):  # else the transport's error would show it
        raise BBError("no bearer token", where="MCP server", fix="set it without a line end")
    headers = {"Accept": _ACCEPT} | ({"Authorization": f"Bearer {token}"} if token else {})
    if client is not None:
        yield HttpPeer(url, client, headers)
        return
    with httpx.Client(trust_env=False, timeout=TIMEOUT_S) as own:
        yield HttpPeer(url, own, headers)


def _events(lines: Iterable[str]) -> Iterator[str]:
    """The data of each event of a stream."""
    data: list[str] = []
    for line in lines:
        if line.startswith("data:"):
            data.append(line[5:].removeprefix(" "))
        elif not line and data:
            yield "\n".join(data)
            data = []
    if data:
        yield "\n".join(data)
