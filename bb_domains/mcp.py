"""Servers of the Model Context Protocol: their tools listed, and called.

The stdio transport: a child process, one JSON-RPC 2.0 message a line. Calls are made one at a time;
what the server asks of us is refused, its notifications are passed over. A server that does not
answer in time is killed.

Source: Model Context Protocol, revision 2025-06-18, lifecycle, stdio transport and tools.
"""

from __future__ import annotations

import json
import os
import selectors
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field
from itertools import count
from typing import Any

from bb_core.errors import BBError
from bb_domains.schema import PlanSchema
from bb_domains.tool_lists import tool_name
from bb_domains.tools import Adapters, ToolFailed

PROTOCOL = "2025-06-18"
TIMEOUT_S = 30.0
MOST_BYTES = 8_000_000
MOST_PAGES = 100
_CLOSE_S = 2.0


@dataclass
class McpServer:
    """A running server; made by `running_server`, `bb_domains.tools.Adapters`.

    Attributes:
        process: the child.
        timeout_s: how long a call may take.
        names: the server's name of each tool by its name in plans.
    """

    process: subprocess.Popen[bytes]
    timeout_s: float = TIMEOUT_S
    names: Mapping[str, str] = field(default_factory=dict)
    _numbers: Iterator[int] = field(default_factory=count, repr=False)
    _pending: bytes = b""

    def list_tools(self) -> list[dict[str, Any]]:
        """All tools as the server describes them, page by page.

        Raises:
            BBError: the server answers nothing of the kind.
        """
        tools: list[dict[str, Any]] = []
        cursor: str | None = None
        for _ in range(MOST_PAGES):
            page = self.ask("tools/list", {"cursor": cursor} if cursor else {})
            if not isinstance(page.get("tools"), list):
                raise self._fault("tools/list answers no list")
            tools += page["tools"]
            cursor = page.get("nextCursor")
            if not cursor:
                return tools
        raise self._fault(f"more than {MOST_PAGES} pages of tools")

    def call(
        self, tool: str, args: Mapping[str, Any], idempotency_key: str | None = None
    ) -> dict[str, Any]:
        """The tool's result: its structured content, or its text, decoded if it is an object.

        The protocol has no idempotency keys; a given one is not sent.

        Raises:
            ToolFailed: the tool reports an error, or the server gives no answer.
        """
        try:
            wanted = {"name": self.names.get(tool, tool), "arguments": dict(args)}
            answer = self.ask("tools/call", wanted)
        except BBError as error:
            raise ToolFailed(tool, 0, error.what) from error
        texts = [
            str(part.get("text", ""))
            for part in answer.get("content", ())
            if isinstance(part, Mapping) and part.get("type") == "text"
        ]
        text = "\n".join(texts)
        if answer.get("isError"):
            raise ToolFailed(tool, 0, text or "the tool reports an error")
        structured = answer.get("structuredContent")
        if isinstance(structured, dict):
            return structured
        try:
            value = json.loads(text)
        except ValueError:
            return {"text": text}
        return value if isinstance(value, dict) else {"value": value}

    def ask(self, method: str, params: Mapping[str, Any]) -> dict[str, Any]:
        """The result of one request.

        Raises:
            BBError: the server refuses, dies, or does not answer in time.
        """
        number = next(self._numbers)
        self.tell({"id": number, "method": method, "params": dict(params)})
        deadline_s = time.monotonic() + self.timeout_s
        while True:
            message = self._message(deadline_s)
            if "method" in message and "id" in message:  # the server asks something
                refusal = {"code": -32601, "message": "not offered"}
                self.tell({"id": message["id"], "error": refusal})
            elif message.get("id") == number and "method" not in message:
                break
        if "error" in message:
            fault = message["error"]
            said = fault.get("message") if isinstance(fault, Mapping) else fault
            raise self._fault(f"{method} is refused: {str(said)[:200]}")
        result = message.get("result")
        if not isinstance(result, dict):
            raise self._fault(f"{method} has no result")
        return result

    def tell(self, message: Mapping[str, Any]) -> None:
        """Send a message.

        Raises:
            BBError: the server has ended.
        """
        assert self.process.stdin is not None
        line = json.dumps({"jsonrpc": "2.0", **message}) + "\n"
        try:
            self.process.stdin.write(line.encode())
            self.process.stdin.flush()
        except OSError:
            raise self._fault("has ended") from None

    def _message(self, deadline_s: float) -> dict[str, Any]:
        """The next message; lines that are none, such as logs on stdout, are passed over."""
        while True:
            line, found, rest = self._pending.partition(b"\n")
            if not found:
                self._read(deadline_s)
                continue
            self._pending = rest
            try:
                value = json.loads(line)
            except ValueError:
                continue
            if isinstance(value, dict):
                return value

    def _read(self, deadline_s: float) -> None:
        assert self.process.stdout is not None
        with selectors.DefaultSelector() as selector:
            selector.register(self.process.stdout, selectors.EVENT_READ)
            if not selector.select(max(0.0, deadline_s - time.monotonic())):
                self.process.kill()
                raise self._fault(f"gave no answer within {self.timeout_s:g} s")
        part = os.read(self.process.stdout.fileno(), 1 << 16)
        if not part:
            raise self._fault("has ended")
        self._pending += part
        if len(self._pending) > MOST_BYTES:
            self.process.kill()
            raise self._fault(f"sent more than {MOST_BYTES} bytes in one message")

    def _fault(self, what: str) -> BBError:
        shown = str(self.process.args[0] if isinstance(self.process.args, list) else "")
        return BBError(what, where=f"MCP server {shown}", fix="try its command by hand")


@contextmanager
def running_server(
    command: Sequence[str],
    environment: Mapping[str, str] | None = None,
    timeout_s: float = TIMEOUT_S,
) -> Iterator[McpServer]:
    """Start a server and shake hands; it ends with the block.

    Args:
        command: program and arguments; no shell is involved.
        environment: of the child; this process's if None.
        timeout_s: how long each answer may take.

    Raises:
        BBError: it cannot be started, or does not speak the protocol.
    """
    try:
        process = subprocess.Popen(
            list(command),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env=None if environment is None else dict(environment),
        )
    except OSError as error:
        fix = "check the command"
        raise BBError(
            f"cannot be started: {error}", where=f"MCP server {command[0]}", fix=fix
        ) from error
    try:
        server = McpServer(process, timeout_s)
        hello = {"protocolVersion": PROTOCOL, "capabilities": {}, "clientInfo": _CLIENT}
        server.ask("initialize", hello)
        server.tell({"method": "notifications/initialized"})
        yield server
    finally:
        _end(process)


def opener(
    command: Sequence[str],
) -> Callable[[PlanSchema, Mapping[str, str]], AbstractContextManager[Adapters]]:
    """An `open_adapters` for the package of a domain whose tools a server carries out."""

    @contextmanager
    def open_adapters(schema: PlanSchema, environment: Mapping[str, str]) -> Iterator[Adapters]:
        with running_server(command, environment) as server:
            server.names = {
                tool_name(str(t.get("name"))): str(t.get("name")) for t in server.list_tools()
            }
            missing = [name for name in schema.tools if name not in server.names]
            if missing:
                raise BBError(
                    f"the server offers no {', '.join(missing)}",
                    where=f"domain {schema.domain}",
                    fix="import it again with bb domain import-mcp",
                )
            yield server

    return open_adapters


_CLIENT = {"name": "builderbrain", "version": "0.1.0"}


def _end(process: subprocess.Popen[bytes]) -> None:
    """Close the child's input, and kill it if it does not take the hint."""
    assert process.stdin is not None
    assert process.stdout is not None
    try:
        process.stdin.close()
    except OSError:
        process.kill()
    try:
        process.wait(_CLOSE_S)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
    process.stdout.close()


def package_text(command: Sequence[str]) -> str:
    """The `__init__.py` of a domain whose tools the server behind a command carries out."""
    words = json.dumps(list(command))
    return (
        '"""Tools of a server of the Model Context Protocol."""\n\n'
        "from pathlib import Path\n\n"
        "from bb_domains.mcp import opener\n"
        "from bb_domains.schema import load_schema\n\n"
        f"open_adapters = opener({words})\n\n\n"
        "def plan_schema():\n"
        '    """What the domain declares."""\n'
        '    return load_schema(Path(__file__).parent / "plan_schema.yaml")\n'
    )
