"""A server of the Model Context Protocol: listed, imported, called; and hostile ones."""

from __future__ import annotations

import os
import shlex
import sys
from pathlib import Path

import pytest

from bb_core.cli import run_app
from bb_core.errors import BBError
from bb_domains.cli import app
from bb_domains.domain import load_domain
from bb_domains.kit import open_adapters
from bb_domains.mcp import running_server
from bb_domains.tools import ToolFailed

SERVER = '''
"""A small server: two pages of tools, logs on stdout, a question of its own."""
import json, sys

def send(**message):
    print(json.dumps({"jsonrpc": "2.0", **message}), flush=True)

ARGS = {"type": "object", "properties": {"n": {"type": "integer"}}, "required": ["n"]}
state = "new"
print("starting up", flush=True)
for line in sys.stdin:
    message = json.loads(line)
    method, number = message.get("method"), message.get("id")
    if method == "initialize":
        assert message["params"]["protocolVersion"]
        send(id=number, result={"protocolVersion": "2025-06-18", "capabilities": {}})
    elif method == "notifications/initialized":
        state = "ready"
        send(method="notifications/message", params={"level": "info"})
        send(id="q", method="roots/list")
    elif method is None:
        assert message["error"]["code"] == -32601
    elif state != "ready":
        send(id=number, error={"code": -1, "message": "not initialized"})
    elif method == "tools/list" and "cursor" not in message["params"]:
        tool = {"name": "math.double", "inputSchema": ARGS, "annotations": {"readOnlyHint": True}}
        send(id=number, result={"tools": [tool], "nextCursor": "2"})
    elif method == "tools/list":
        send(id=number, result={"tools": [{"name": "fail", "inputSchema": ARGS}]})
    elif message["params"]["name"] == "math.double":
        n = 2 * message["params"]["arguments"]["n"]
        if n == 2:
            send(id=number, result={"content": [], "structuredContent": {"n": n}})
        elif n == 4:
            send(id=number, result={"content": [{"type": "text", "text": json.dumps({"n": n})}]})
        elif n == 6:
            send(id=number, result={"content": [{"type": "text", "text": "six"}]})
        elif n == 8:
            sys.exit(3)
        else:
            send(id=number, error={"code": -2, "message": "too large"})
    else:
        said = [{"type": "text", "text": "no such thing"}]
        send(id=number, result={"content": said, "isError": True})
'''


@pytest.fixture
def command(tmp_path: Path) -> list[str]:
    path = tmp_path / "server.py"
    path.write_text(SERVER)
    return [sys.executable, str(path)]


def test_tools_are_listed_and_called(command: list[str]) -> None:
    with running_server(command) as server:
        assert [tool["name"] for tool in server.list_tools()] == ["math.double", "fail"]
        server.names = {"math_double": "math.double"}
        assert server.call("math_double", {"n": 1}) == {"n": 2}
        assert server.call("math_double", {"n": 2}) == {"n": 4}
        assert server.call("math_double", {"n": 3}, "a key") == {"text": "six"}
        with pytest.raises(ToolFailed, match="tool fail: no such thing"):
            server.call("fail", {})
        with pytest.raises(ToolFailed, match="tools/call is refused: too large"):
            server.call("math_double", {"n": 9})
        with pytest.raises(ToolFailed, match="has ended"):
            server.call("math_double", {"n": 4})
    assert server.process.returncode == 3


def test_a_server_becomes_a_domain_that_runs(
    command: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "doubles"
    with pytest.raises(SystemExit) as stop:
        run_app(app, "x", ["import-mcp", "--command", shlex.join(command), "--out", str(out)])
    assert not stop.value.code
    assert "doubles: 2 tools" in capsys.readouterr().out
    domain = load_domain(out)
    assert {name: tool.effect for name, tool in domain.schema.tools.items()} == {
        "math_double": "read",
        "fail": "write",
    }
    with open_adapters(domain, dict(os.environ)) as adapters:
        assert adapters.call("math_double", {"n": 1}) == {"n": 2}


def test_a_command_or_a_file_is_needed(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stop:
        run_app(app, "x", ["import-mcp", "--out", str(tmp_path / "x")])
    assert stop.value.code == 2
    assert "takes --command or --file; give one of them" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("program", "said"),
    [
        ("pass", "has ended"),
        ("import time; time.sleep(60)", "gave no answer within 0.2 s"),
        ('print(\'{"id": 0, "result": 3}\', flush=True); input()', "has no result"),
        ("print('[]\\n{'); input(); print('null')", "has ended"),
    ],
)
def test_what_does_not_speak_the_protocol_is_refused(program: str, said: str) -> None:
    timeout_s = 0.2 if "sleep" in program else 10.0
    with (
        pytest.raises(BBError, match=said),
        running_server([sys.executable, "-c", program], timeout_s=timeout_s),
    ):
        pass


def test_a_command_that_is_none_is_named() -> None:
    with (
        pytest.raises(BBError, match=r"MCP server /no/such/program: cannot be started"),
        running_server(["/no/such/program"]),
    ):
        pass
