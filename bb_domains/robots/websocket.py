"""WebSocket messages over a socket (RFC 6455), as much of it as text messages need.

No extensions. Every frame is checked: masks where they belong, lengths in their shortest form,
control frames whole and short, text in UTF-8; what breaks a rule ends the connection.
"""

from __future__ import annotations

import base64
import hashlib
import os
import socket
import time
from dataclasses import dataclass, field

from bb_core.errors import BBError

MOST_BYTES = 1_000_000  # of a message
MOST_HEADER_BYTES = 16_384
_GUID = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"  # RFC 6455, 1.3
_CONTINUATION, _TEXT, _BINARY, _CLOSE, _PING, _PONG = 0x0, 0x1, 0x2, 0x8, 0x9, 0xA


class ConnectionLost(BBError):  # noqa: N818 - what happened
    """The peer went away or broke the protocol; what was under way is in doubt."""


@dataclass(frozen=True)
class _Frame:
    final: bool
    opcode: int
    payload: bytes


@dataclass
class WebSocket:
    """One connection after its handshake.

    Attributes:
        connection: the socket.
        is_client: clients mask what they send, servers do not.
        peer: who is at the other end, for messages.
    """

    connection: socket.socket
    is_client: bool
    peer: str
    _received: bytearray = field(default_factory=bytearray, repr=False)
    _message: bytearray = field(default_factory=bytearray, repr=False)
    _fragmented: bool = False

    def send(self, text: str) -> None:
        """Send one text message.

        Raises:
            ConnectionLost: the peer went away.
        """
        self._send_frame(_TEXT, text.encode())

    def receive(self, timeout_s: float) -> str | None:
        """The next text message; None if none came whole within the time.

        Pings are answered. What has come of a message is kept for the next call.

        Raises:
            ConnectionLost: the peer closed, went away or broke the protocol.
        """
        deadline = time.monotonic() + timeout_s
        while True:
            frame = _parse(self._received, masked=not self.is_client, peer=self.peer)
            if frame is None:
                if not read_some(self.connection, self._received, deadline, self.peer):
                    return None
                continue
            text = self._take(frame)
            if text is not None:
                return text

    def close(self) -> None:
        """Say good-bye and close the socket; never fails."""
        try:
            self._send_frame(_CLOSE, (1000).to_bytes(2, "big"))
        except ConnectionLost:
            pass
        finally:
            self.connection.close()

    def _take(self, frame: _Frame) -> str | None:
        """Handle a frame; the text of a message that it completes."""
        if frame.opcode == _PING:
            self._send_frame(_PONG, frame.payload)
        elif frame.opcode == _CLOSE:
            raise ConnectionLost("closed the connection", where=self.peer)
        elif frame.opcode in (_TEXT, _CONTINUATION):
            if (frame.opcode == _CONTINUATION) != self._fragmented:
                raise ConnectionLost("sent a fragment out of order", where=self.peer)
            self._message += frame.payload
            if len(self._message) > MOST_BYTES:
                raise ConnectionLost(f"sent more than {MOST_BYTES} bytes", where=self.peer)
            self._fragmented = not frame.final
            if frame.final:
                whole, self._message = bytes(self._message), bytearray()
                return _decoded(whole, self.peer)
        elif frame.opcode != _PONG:
            raise ConnectionLost(f"sent opcode {frame.opcode:#x}, not text", where=self.peer)
        return None

    def _send_frame(self, opcode: int, payload: bytes) -> None:
        size = len(payload)
        if size < 126:
            length = bytes([size])
        elif size < 1 << 16:
            length = bytes([126]) + size.to_bytes(2, "big")
        else:
            length = bytes([127]) + size.to_bytes(8, "big")
        head = bytes([0x80 | opcode])
        if self.is_client:
            mask = os.urandom(4)
            frame = head + bytes([length[0] | 0x80]) + length[1:] + mask + _masked(payload, mask)
        else:
            frame = head + length + payload
        send_all(self.connection, frame, self.peer)


def connect(
    connection: socket.socket, host: str, path: str, timeout_s: float, *, peer: str
) -> WebSocket:
    """Shake hands as a client.

    Args:
        connection: a connected socket.
        host: for the `Host` header, with the port.
        path: what to ask for.
        timeout_s: how long the whole handshake may take.
        peer: who is at the other end, for messages.

    Raises:
        ConnectionLost: the other side speaks no WebSocket, or not in time.
    """
    key = base64.b64encode(os.urandom(16)).decode()
    request = (
        f"GET {path} HTTP/1.1\r\nHost: {host}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        f"Sec-WebSocket-Key: {key}\r\nSec-WebSocket-Version: 13\r\n\r\n"
    )
    send_all(connection, request.encode(), peer)
    status, headers, rest = _read_header(connection, time.monotonic() + timeout_s, peer)
    good = status.split(" ")[1:2] == ["101"] and headers.get("upgrade", "").lower() == "websocket"
    if not good or headers.get("sec-websocket-accept") != accept_key(key):
        raise ConnectionLost(f"answered {status!r} to the WebSocket handshake", where=peer)
    return WebSocket(connection, True, peer, rest)


def accept(connection: socket.socket, timeout_s: float, *, peer: str) -> WebSocket:
    """Shake hands as a server.

    Raises:
        ConnectionLost: the client speaks no WebSocket, or not in time.
    """
    status, headers, rest = _read_header(connection, time.monotonic() + timeout_s, peer)
    key = headers.get("sec-websocket-key", "")
    good = status.startswith("GET ") and headers.get("upgrade", "").lower() == "websocket" and key
    if not good or headers.get("sec-websocket-version") != "13":
        send_all(connection, b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n", peer)
        raise ConnectionLost("sent no WebSocket handshake", where=peer)
    answer = (
        "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        f"Sec-WebSocket-Accept: {accept_key(key)}\r\n\r\n"
    )
    send_all(connection, answer.encode(), peer)
    return WebSocket(connection, False, peer, rest)


def accept_key(key: str) -> str:
    """The proof that a server has read the client's key (RFC 6455, 4.2.2)."""
    digest = hashlib.sha1((key + _GUID).encode(), usedforsecurity=False).digest()
    return base64.b64encode(digest).decode()


def read_some(connection: socket.socket, into: bytearray, deadline: float, peer: str) -> bool:
    """Read what is there into a buffer; False if nothing comes before the deadline.

    Raises:
        ConnectionLost: the peer went away.
    """
    left = deadline - time.monotonic()
    if left <= 0:
        return False
    try:
        connection.settimeout(left)
        part = connection.recv(65_536)
    except TimeoutError:
        return False
    except OSError as error:
        raise ConnectionLost(f"is gone: {error}", where=peer) from None
    if not part:
        raise ConnectionLost("closed the connection", where=peer)
    into += part
    return True


def send_all(connection: socket.socket, content: bytes, peer: str) -> None:
    """Send everything.

    Raises:
        ConnectionLost: the peer went away, or takes nothing.
    """
    try:
        connection.settimeout(10.0)
        connection.sendall(content)
    except OSError as error:
        raise ConnectionLost(f"is gone: {error}", where=peer) from None


def _parse(received: bytearray, *, masked: bool, peer: str) -> _Frame | None:
    """Take one whole frame off a buffer; None if it is not all there yet."""
    if len(received) < 2:
        return None
    first, second = received[0], received[1]
    opcode, final, size, at = first & 0x0F, bool(first & 0x80), second & 0x7F, 2
    if first & 0x70 or bool(second & 0x80) != masked:
        raise ConnectionLost("sent a frame with wrong bits", where=peer)
    if opcode & 0x8 and (not final or size > 125):
        raise ConnectionLost("sent a control frame too long or in parts", where=peer)
    if size >= 126:
        width = 2 if size == 126 else 8
        if len(received) < at + width:
            return None
        least = 126 if width == 2 else 1 << 16
        size, at = int.from_bytes(received[at : at + width], "big"), at + width
        if not least <= size <= MOST_BYTES:
            raise ConnectionLost(f"sent a frame of {size} bytes", where=peer)
    mask = b""
    if masked:
        mask, at = bytes(received[at : at + 4]), at + 4
    if len(received) < at + size:
        return None
    payload = bytes(received[at : at + size])
    del received[: at + size]
    return _Frame(final, opcode, _masked(payload, mask) if masked else payload)


def _masked(payload: bytes, mask: bytes) -> bytes:
    """The payload XORed with a mask of four bytes, over and over."""
    size = len(payload)
    stream = (mask * (size // 4 + 1))[:size]
    return (int.from_bytes(payload, "big") ^ int.from_bytes(stream, "big")).to_bytes(size, "big")


def _decoded(message: bytes, peer: str) -> str:
    try:
        return message.decode()
    except UnicodeDecodeError:
        raise ConnectionLost("sent text that is not UTF-8", where=peer) from None


def _read_header(
    connection: socket.socket, deadline: float, peer: str
) -> tuple[str, dict[str, str], bytearray]:
    """First line and header fields of an HTTP message, and what came after them."""
    received = bytearray()
    while b"\r\n\r\n" not in received:
        if len(received) > MOST_HEADER_BYTES:
            raise ConnectionLost("sent a header too long", where=peer)
        if not read_some(connection, received, deadline, peer):
            raise ConnectionLost("did not finish the handshake in time", where=peer)
    head, _, rest = bytes(received).partition(b"\r\n\r\n")
    status, *lines = head.decode("latin-1").split("\r\n")
    pairs = (line.partition(":") for line in lines)
    return (
        status,
        {name.lower().strip(): value.strip() for name, _, value in pairs},
        bytearray(rest),
    )
