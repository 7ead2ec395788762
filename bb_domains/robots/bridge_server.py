"""A small rosbridge server in front of a simulated robot: what a real one would answer.

Serves WebSocket and plain TCP on one port (a WebSocket client says `GET ` first). Services answer
at once; an action reports progress, takes `action_s`, and can be cancelled meanwhile, in which case
the robot does nothing. A goal whose id was seen before is answered with the old result.
"""

from __future__ import annotations

import json
import logging
import socket
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from jsonschema.exceptions import best_match

from bb_domains.robots.rosbridge import (
    ABORTED,
    CANCELED,
    SUCCEEDED,
    Interface,
    Message,
    load_interfaces,
)
from bb_domains.robots.simulated import BAD_VALUE
from bb_domains.robots.transports import JsonStream, Transport, decode_message
from bb_domains.robots.websocket import ConnectionLost, accept
from bb_domains.schema import PlanSchema, Tool
from bb_domains.tools import Adapters, ToolFailed
from bb_domains.validate import validator

_log = logging.getLogger(__name__)

HANDSHAKE_S, IDLE_S = 5.0, 600.0


@dataclass
class BridgeServer:
    """Serves one robot to any number of clients.

    Attributes:
        robot: carries the calls out.
        schema: says which arguments a call takes.
        action_s: how long every action takes.
        fragment_bytes: longer answers are sent in fragments of this size; 0 for never.
    """

    robot: Adapters
    schema: PlanSchema
    action_s: float = 0.0
    fragment_bytes: int = 0
    interfaces: Mapping[str, Interface] = field(default_factory=load_interfaces)

    def talk(self, transport: Transport) -> None:
        """Answer one client until it goes away."""
        session = _Session(self, transport)
        try:
            while (text := transport.receive(IDLE_S)) is not None:
                session.handle(decode_message(text, "client"))
        except ConnectionLost as lost:
            _log.info("%s", lost)
        finally:
            session.abandon()
            transport.close()

    def act(self, tool: str, args: Any, name: str) -> dict[str, Any]:
        """Carry a call out; the robot takes one at a time.

        Raises:
            ToolFailed: the arguments are wrong, or the robot refused.
        """
        error = best_match(validator(_resolved_args(self.schema.tools[tool])).iter_errors(args))
        if error is not None:
            raise ToolFailed(tool, BAD_VALUE, error.message)
        return self.robot.call(tool, args, name)

    def tool_of(self, name: object) -> str | None:
        """The tool behind a service or action."""
        found = (tool for tool, known in self.interfaces.items() if known.name == name)
        return next(found, None)


def _resolved_args(tool: Tool) -> dict[str, Any]:
    """JSON Schema of a tool's arguments with references resolved to names."""
    names = {arg: {"type": "string", "maxLength": 64} for arg in tool.handles}
    return {**tool.args, "properties": {**tool.properties, **names}, "additionalProperties": False}


class _Session:
    """What is under way for one client."""

    def __init__(self, server: BridgeServer, transport: Transport) -> None:
        self._server, self._transport = server, transport
        self._goals: dict[str, threading.Event] = {}
        self._sending, self._changing = threading.Lock(), threading.Lock()

    def handle(self, message: Message) -> None:
        """Answer one message."""
        name = str(message.get("id", ""))
        match message["op"]:
            case "call_service":
                self._service(message, name)
            case "send_action_goal":
                self._begin(message, name)
            case "cancel_action_goal":
                self._cancel(name)
            case other:
                self._say(op="status", level="error", id=name, msg=f"cannot handle {other}")

    def abandon(self) -> None:
        """Cancel what is under way."""
        with self._changing:
            for cancelled in self._goals.values():
                cancelled.set()

    def _begin(self, message: Message, name: str) -> None:
        """Start an action in a thread; a goal with an id under way is another, with the same id."""
        cancelled = threading.Event()
        with self._changing:
            self._goals[name] = cancelled
        arguments = (message, name, cancelled)
        threading.Thread(target=self._action, args=arguments, daemon=True).start()

    def _cancel(self, name: str) -> None:
        with self._changing:
            cancelled = self._goals.get(name)
        if cancelled is None:
            self._say(op="status", level="error", id=name, msg="no such goal is under way")
        else:
            cancelled.set()

    def _service(self, message: Message, name: str) -> None:
        service = message.get("service")
        tool = self._server.tool_of(service)
        if tool is None:
            self._say(op="status", level="error", id=name, msg=f"there is no service {service}")
            return
        ok, values = self._act(tool, message, name)
        self._say(op="service_response", id=name, service=service, values=values, result=ok)

    def _action(self, message: Message, name: str, cancelled: threading.Event) -> None:
        action = message.get("action")
        tool = self._server.tool_of(action)
        try:
            if tool is None:
                what = f"there is no action {action}"
                self._say(op="status", level="error", id=name, msg=what)
                return
            if message.get("feedback"):
                self._feedback(name, action, 0.0)
            if cancelled.wait(self._server.action_s):
                self._finish(name, action, CANCELED, {})
                return
            ok, values = self._act(tool, message, name)
            if message.get("feedback"):
                self._feedback(name, action, 1.0)
            self._finish(name, action, SUCCEEDED if ok else ABORTED, values)
        except ConnectionLost as lost:
            _log.info("%s", lost)
        finally:
            with self._changing:
                if self._goals.get(name) is cancelled:
                    del self._goals[name]

    def _act(self, tool: str, message: Message, name: str) -> tuple[bool, dict[str, Any]]:
        try:
            return True, self._server.act(tool, message.get("args") or {}, name)
        except ToolFailed as failed:
            return False, {"code": failed.status, "reason": failed.reason}

    def _feedback(self, name: str, action: Any, progress: float) -> None:
        self._say(op="action_feedback", id=name, action=action, values={"progress": progress})

    def _finish(self, name: str, action: Any, status: int, values: dict[str, Any]) -> None:
        done = status == SUCCEEDED
        self._say(
            op="action_result", id=name, action=action, values=values, status=status, result=done
        )

    def _say(self, **message: Any) -> None:
        text, size = json.dumps(message), self._server.fragment_bytes
        with self._sending:
            if not size or len(text) <= size:
                self._transport.send(text)
                return
            parts = [text[i : i + size] for i in range(0, len(text), size)]
            for i, part in enumerate(parts):
                named = {"op": "fragment", "id": message.get("id", ""), "data": part}
                self._transport.send(json.dumps({**named, "num": i, "total": len(parts)}))


@contextmanager
def serving(server: BridgeServer, host: str = "127.0.0.1", port: int = 0) -> Iterator[int]:
    """Serve in the background; the port is given. Port 0 lets the system choose.

    Raises:
        OSError: the port is taken.
    """
    with socket.create_server((host, port)) as listener:
        worker = threading.Thread(target=_listen, args=(listener, server), daemon=True)
        worker.start()
        try:
            yield listener.getsockname()[1]
        finally:
            listener.shutdown(socket.SHUT_RDWR)
            worker.join(timeout=5.0)


def _listen(listener: socket.socket, server: BridgeServer) -> None:
    while True:
        try:
            connection, address = listener.accept()
        except OSError:
            return  # closed
        peer = f"{address[0]}:{address[1]}"
        threading.Thread(target=_welcome, args=(connection, server, peer), daemon=True).start()


def _welcome(connection: socket.socket, server: BridgeServer, peer: str) -> None:
    """Find out which transport a client speaks, and talk to it."""
    transport: Transport
    try:
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        connection.settimeout(HANDSHAKE_S)
        first = connection.recv(1, socket.MSG_PEEK)
        if first == b"G":
            transport = accept(connection, HANDSHAKE_S, peer=peer)
        else:
            transport = JsonStream(connection, peer)
    except (OSError, ConnectionLost) as error:
        _log.info("%s: %s", peer, error)
        connection.close()
        return
    server.talk(transport)
