"""The stdio transport of the Model Context Protocol: a child process, one message a line.

A server that does not answer in time is killed. Lines that are no messages, such as logs on stdout,
are passed over; what the server asks of us is refused. Of this process's variables the child sees
those that any program needs, and those that its domain names: never another's secrets.
"""

from __future__ import annotations

import json
import os
import selectors
import subprocess
import time
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import count
from typing import Any

from bb_core.errors import BBError

TIMEOUT_S = 30.0
MOST_BYTES = 8_000_000
PASSED = (
    "HOME", "LANG", "LC_ALL", "LC_CTYPE", "LOGNAME", "PATH", "SHELL", "TERM", "TMPDIR", "TZ",
    "USER",
)  # fmt: skip
"""Variables that a child sees without being named; the protocol's own libraries pass such."""

_CLOSE_S = 2.0


@dataclass
class StdioPeer:
    """A server behind its stdin and stdout; `mcp.Peer`.

    Attributes:
        process: the child.
        timeout_s: how long an answer may take.
    """

    process: subprocess.Popen[bytes]
    timeout_s: float = TIMEOUT_S
    _numbers: Iterator[int] = field(default_factory=count, repr=False)
    _pending: bytes = b""

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
def started(
    command: Sequence[str],
    environment: Mapping[str, str],
    variables: Collection[str] = (),
    timeout_s: float = TIMEOUT_S,
) -> Iterator[StdioPeer]:
    """Start a server; it ends with the block.

    Args:
        command: program and arguments; no shell is involved.
        environment: what there is; the child sees `PASSED` of it.
        variables: names of those that it sees besides.
        timeout_s: how long each answer may take.

    Raises:
        BBError: a variable that it is to see is not set, or it cannot be started.
    """
    for name in variables:
        if name not in environment:
            where = f"MCP server {command[0]}"
            raise BBError(f"needs the variable {name}", where=where, fix=f"set {name}")
    try:
        process = subprocess.Popen(
            list(command),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env={n: v for n, v in environment.items() if n in PASSED or n in variables},
        )
    except OSError as error:
        fix = "check the command"
        raise BBError(
            f"cannot be started: {error}", where=f"MCP server {command[0]}", fix=fix
        ) from error
    try:
        yield StdioPeer(process, timeout_s)
    finally:
        _end(process)


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
