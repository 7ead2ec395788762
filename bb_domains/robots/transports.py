"""Ways to carry rosbridge messages: WebSocket, and JSON objects one after the other over TCP."""

from __future__ import annotations

import json
import socket
import ssl
import time
from dataclasses import dataclass, field
from typing import Protocol
from urllib.parse import urlsplit

from bb_core.errors import BBError
from bb_domains import outgoing
from bb_domains.robots.websocket import (
    MOST_BYTES,
    ConnectionLost,
    connect,
    read_some,
    send_all,
)
from bb_domains.schema import Service

CONNECT_S = 5.0
_PORTS = {"ws": 9090, "wss": 443, "tcp": 9090}


class Transport(Protocol):
    """Carries texts to and from one peer."""

    def send(self, text: str) -> None:
        """Send one text."""
        ...

    def receive(self, timeout_s: float) -> str | None:
        """The next text; None if none came in time."""
        ...

    def close(self) -> None:
        """End the connection."""
        ...


@dataclass
class JsonStream:
    """JSON objects one after the other over TCP, with nothing or white space between them.

    Attributes:
        connection: the socket.
        peer: who is at the other end, for messages.
    """

    connection: socket.socket
    peer: str
    _received: bytearray = field(default_factory=bytearray, repr=False)

    def send(self, text: str) -> None:
        """Send one object.

        Raises:
            ConnectionLost: the peer went away.
        """
        send_all(self.connection, text.encode() + b"\n", self.peer)

    def receive(self, timeout_s: float) -> str | None:
        """The next object's text; None if none came whole in time.

        Raises:
            ConnectionLost: the peer went away, or sends something else.
        """
        deadline = time.monotonic() + timeout_s
        while True:
            size = object_end(self._received)
            if size:
                text = bytes(self._received[:size])
                del self._received[:size]
                return text.decode(errors="replace").strip()
            start = bytes(self._received.lstrip()[:1])
            if len(self._received) > MOST_BYTES or start not in (b"", b"{"):
                raise ConnectionLost("sends no JSON objects", where=self.peer)
            if not read_some(self.connection, self._received, deadline, self.peer):
                return None

    def close(self) -> None:
        """Close the socket."""
        self.connection.close()


def object_end(received: bytes | bytearray) -> int:
    """Bytes up to the end of the first JSON object; 0 if it is not all there."""
    depth, in_string, escaped = 0, False, False
    for i, octet in enumerate(received):
        if in_string:
            if escaped:
                escaped = False
            elif octet == 0x5C:  # a backslash
                escaped = True
            else:
                in_string = octet != 0x22  # a quotation mark
        elif octet == 0x22:
            in_string = True
        elif octet == 0x7B:  # {
            depth += 1
        elif octet == 0x7D:  # }
            depth -= 1
            if depth == 0:
                return i + 1
    return 0


def open_transport(url: str, service: Service) -> Transport:
    """Connect to `ws://`, `wss://` or `tcp://`.

    Args:
        url: where to.
        service: says which hosts may be reached; no other is, and nothing is redirected.

    Raises:
        BBError: the URL is none of these or its host is not declared, or nobody answers.
    """
    scheme, host, port, path = _parts(url)
    peer = f"{host}:{port}"
    try:
        connection = outgoing.connect(service, host, port, CONNECT_S)
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)  # messages are small
        if scheme == "wss":
            context = ssl.create_default_context()
            connection = context.wrap_socket(connection, server_hostname=host)
    except OSError as error:
        raise BBError(f"cannot be reached: {error}", where=peer, fix="start its bridge") from None
    if scheme == "tcp":
        return JsonStream(connection, peer)
    try:
        return connect(connection, peer, path, CONNECT_S, peer=peer)
    except ConnectionLost:
        connection.close()
        raise


def _parts(url: str) -> tuple[str, str, int, str]:
    """Scheme, host, port and path of a robot's address.

    Raises:
        BBError: it is none.
    """
    try:
        parts = urlsplit(url)
        scheme, host, port = parts.scheme, parts.hostname or "", parts.port
    except ValueError:
        scheme, host, port = "", "", None
    plain = url.isascii() and url.isprintable() and not set(url) & set(" @\\")
    if scheme not in _PORTS or not host or not plain:
        fix = "write ws://host:port, wss://host or tcp://host:port"
        raise BBError("that is no address of a robot", where="robots", fix=fix)
    return scheme, host, port or _PORTS[scheme], parts.path or "/"


def decode_message(text: str, peer: str) -> dict[str, object]:
    """A rosbridge message: an object with a text field `op`.

    Raises:
        ConnectionLost: it is none.
    """
    try:
        found = json.loads(text)
    except (ValueError, RecursionError):
        raise ConnectionLost("sent something that is not JSON", where=peer) from None
    if not isinstance(found, dict) or not isinstance(found.get("op"), str):
        raise ConnectionLost("sent a message without op", where=peer)
    return found
