"""Tool calls as ROS services and actions, spoken to a rosbridge server.

Messages are those of the rosbridge v2 protocol: `call_service` and `service_response`,
`send_action_goal`, `action_feedback`, `action_result`, `cancel_action_goal`, `status`, `fragment`.
One call is under way at a time: it is one robot.

Source: ROSBRIDGE_PROTOCOL.md of RobotWebTools/rosbridge_suite; action_msgs/msg/GoalStatus.
"""

from __future__ import annotations

import json
import threading
import time
import uuid
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, ValidationError, model_validator

from bb_core.errors import BBError
from bb_core.files import read_yaml
from bb_domains.robots.transports import Transport, decode_message
from bb_domains.robots.websocket import MOST_BYTES, ConnectionLost
from bb_domains.tools import ToolFailed

INTERFACES = Path(__file__).parent / "ros_interfaces.yaml"
SUCCEEDED, CANCELED, ABORTED = 4, 5, 6  # action_msgs/msg/GoalStatus
CANCEL_S = 5.0  # how long before a call's deadline a late action is cancelled
CANCELLED_STATUS, REFUSED_STATUS = 408, 409
MOST_FRAGMENTS = 1000

Message = dict[str, Any]


class Interface(BaseModel):
    """One tool's interface: a service, or an action with its type."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    service: str = ""
    action: str = ""
    type: str = ""

    @model_validator(mode="after")
    def _one_of_two(self) -> Interface:
        if bool(self.service) == bool(self.action) or bool(self.action) != bool(self.type):
            raise ValueError("name a service, or an action with its type")
        return self

    @property
    def name(self) -> str:
        """Name of the service or action."""
        return self.service or self.action


@cache
def load_interfaces(path: Path = INTERFACES) -> Mapping[str, Interface]:
    """The interfaces of the tools, by tool.

    Raises:
        BBError: the file is broken.
    """
    data = read_yaml(path)
    found: dict[str, Interface] = {}
    for tool, value in (data if isinstance(data, dict) else {"": data}).items():
        try:
            found[tool] = Interface.model_validate(value)
        except ValidationError as error:
            what = error.errors()[0]["msg"]
            fix = "write {service: /name} or {action: /name, type: package/action/Name}"
            raise BBError(what, where=f"{path}: {tool}", fix=fix) from None
    return found


@dataclass
class RosbridgeAdapters:
    """Carries tools out on a robot behind a rosbridge server.

    Attributes:
        transport: carries the messages.
        interfaces: by tool.
        timeouts_s: by tool, how long a call may take; a late action is cancelled before that.
        on_feedback: called with the tool and what an action says of its progress.
    """

    transport: Transport
    interfaces: Mapping[str, Interface]
    timeouts_s: Mapping[str, float]
    on_feedback: Callable[[str, Mapping[str, Any]], object] | None = None
    _lock: threading.Lock = field(default_factory=threading.Lock, init=False, repr=False)
    _fragments: dict[str, dict[int, str]] = field(default_factory=dict, init=False, repr=False)

    def call(
        self, tool: str, args: Mapping[str, Any], idempotency_key: str | None = None
    ) -> dict[str, Any]:
        """Carry a tool call out and wait for its end.

        Args:
            tool: name of a tool with an interface.
            args: its arguments, resolved.
            idempotency_key: becomes the message's id. ROS does not promise that an id acts once.

        Raises:
            BBError: the tool has no interface or no deadline.
            ToolFailed: refused; or status 408, cancelled because it took too long; or status 0,
                nobody knows what became of it.
        """
        interface = self.interfaces.get(tool)
        if interface is None or tool not in self.timeouts_s:
            fix = f"add it to {INTERFACES.name}"
            raise BBError("has no ROS interface", where=f"tool {tool}", fix=fix)
        name = idempotency_key or uuid.uuid4().hex
        with self._lock:
            try:
                if interface.service:
                    return self._service(tool, interface, name, args)
                return self._action(tool, interface, name, args)
            except ConnectionLost as lost:
                raise ToolFailed(tool, 0, str(lost)) from None

    def close(self) -> None:
        """End the connection."""
        self.transport.close()

    def _service(
        self, tool: str, interface: Interface, name: str, args: Mapping[str, Any]
    ) -> dict[str, Any]:
        self._send(op="call_service", id=name, service=interface.service, args=dict(args))
        answer = self._await(tool, name, "service_response", self.timeouts_s[tool])
        if answer is None:
            raise ToolFailed(tool, 0, f"no answer within {self.timeouts_s[tool]:g} s")
        values = answer.get("values", {})
        if answer.get("result") is not True:
            raise _refusal(tool, values)
        return _result(tool, values)

    def _action(
        self, tool: str, interface: Interface, name: str, args: Mapping[str, Any]
    ) -> dict[str, Any]:
        action, kind = interface.action, interface.type
        self._send(
            op="send_action_goal",
            id=name,
            action=action,
            action_type=kind,
            args=dict(args),
            feedback=True,
        )
        cancel_s = min(CANCEL_S, self.timeouts_s[tool] / 2)
        action_s = self.timeouts_s[tool] - cancel_s
        answer = self._await(tool, name, "action_result", action_s)
        if answer is None:
            self._send(op="cancel_action_goal", id=name, action=action)
            answer = self._await(tool, name, "action_result", cancel_s)
        if answer is None:
            late = f"no result within {action_s:g} s, nor an answer to the cancellation"
            raise ToolFailed(tool, 0, late)
        status, values = _status_of(answer)
        if status == CANCELED:
            raise ToolFailed(tool, CANCELLED_STATUS, f"cancelled after {action_s:g} s")
        if status != SUCCEEDED:
            raise _refusal(tool, values)
        return _result(tool, values)

    def _send(self, **message: Any) -> None:
        self.transport.send(json.dumps(message, separators=(",", ":")))

    def _await(self, tool: str, name: str, op: str, timeout_s: float) -> Message | None:
        """The message that ends an interaction; others of the same id are handled meanwhile."""
        deadline = time.monotonic() + timeout_s
        while (left := deadline - time.monotonic()) > 0:
            text = self.transport.receive(left)
            if text is None:
                return None
            message: Message | None = decode_message(text, "rosbridge")
            if message and message["op"] == "fragment":
                message = self._joined(message)
            if message is None or message.get("id") != name:
                continue  # of an earlier call that was given up
            if message["op"] == op:
                return message
            if message["op"] == "action_feedback" and self.on_feedback is not None:
                self.on_feedback(tool, message.get("values", {}))
            elif message["op"] == "status" and message.get("level") == "error":
                raise ToolFailed(tool, REFUSED_STATUS, str(message.get("msg", "refused")))
        return None

    def _joined(self, part: Message) -> Message | None:
        """The message of which this is the last missing fragment; None until it comes."""
        name, data = str(part.get("id")), part.get("data")
        number, total = part.get("num"), part.get("total")
        if not (isinstance(number, int) and isinstance(total, int) and isinstance(data, str)):
            raise ConnectionLost("sent a broken fragment", where="rosbridge")
        if not 0 <= number < total <= MOST_FRAGMENTS:
            raise ConnectionLost("sent a fragment out of range", where="rosbridge")
        parts = self._fragments.setdefault(name, {})
        parts[number] = data
        if sum(map(len, parts.values())) > MOST_BYTES:
            raise ConnectionLost(f"sent more than {MOST_BYTES} bytes", where="rosbridge")
        if len(parts) < total:
            return None
        del self._fragments[name]
        return decode_message("".join(parts[i] for i in range(total)), "rosbridge")


def _status_of(answer: Message) -> tuple[int, Any]:
    """Goal status and values of an action's result.

    Servers before the status had a field of its own put both into the values.
    """
    values = answer.get("values", {})
    if "status" not in answer and isinstance(values, dict) and {"status", "result"} <= set(values):
        return values["status"], values["result"]
    status = answer.get("status")
    if status is None:
        return (SUCCEEDED if answer.get("result") is True else ABORTED), values
    return (status if answer.get("result") is not False or status == CANCELED else ABORTED), values


def _result(tool: str, values: Any) -> dict[str, Any]:
    if not isinstance(values, dict):
        raise ToolFailed(tool, 0, "the answer is no object")
    return values


def _refusal(tool: str, values: Any) -> ToolFailed:
    """What a refusal says: `{code, reason}`, or a text, or nothing."""
    if isinstance(values, dict):
        code = values.get("code")
        status = code if isinstance(code, int) and not isinstance(code, bool) else REFUSED_STATUS
        return ToolFailed(tool, status or REFUSED_STATUS, str(values.get("reason", "refused")))
    return ToolFailed(tool, REFUSED_STATUS, str(values) if values else "refused")
