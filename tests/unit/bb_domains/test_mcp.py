"""A server of the Model Context Protocol: listed, imported, called; and hostile ones."""

from __future__ import annotations

import json
import os
import shlex
import sys
from pathlib import Path
from typing import Any

import httpx
import pytest

from bb_core.cli import run_app
from bb_core.errors import BBError
from bb_domains.cli import app
from bb_domains.domain import load_domain
from bb_domains.kit import open_adapters
from bb_domains.mcp import McpServer, running_server
from bb_domains.mcp_http import connected
from bb_domains.mcp_stdio import PASSED, StdioPeer
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
    assert isinstance(server.peer, StdioPeer)
    assert server.peer.process.returncode == 3


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


TELLING = SERVER.replace(
    '"name": "math.double",', '"name": "math.double", "description": " ".join(sorted(os.environ)),'
).replace("import json, sys", "import json, os, sys")


def test_a_command_sees_what_it_needs_and_no_secret_of_another(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    server, out = tmp_path / "server.py", tmp_path / "doubles"
    server.write_text(TELLING)
    monkeypatch.setenv("OTHER_SECRET", "hunter2-hunter2")
    monkeypatch.setenv("MY_TOKEN", "mine")
    words = [sys.executable, str(server)]
    with pytest.raises(SystemExit) as stop:
        run_app(
            app, "x",
            ["import-mcp", "--command", shlex.join(words), "--env", "MY_TOKEN", "--out", str(out)],
        )  # fmt: skip
    assert not stop.value.code, capsys.readouterr().err
    domain = load_domain(out)
    seen = set(domain.schema.tools["math_double"].description.split())
    assert {"PATH", "MY_TOKEN"} <= seen <= {*PASSED, "MY_TOKEN"}
    with open_adapters(domain) as adapters:
        assert adapters.call("math_double", {"n": 1}) == {"n": 2}
    monkeypatch.delenv("MY_TOKEN")
    with pytest.raises(BBError, match="needs the variable MY_TOKEN; set"), open_adapters(domain):
        pass


def test_a_command_or_a_file_is_needed(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stop:
        run_app(app, "x", ["import-mcp", "--out", str(tmp_path / "x")])
    assert stop.value.code == 2
    assert "takes one of --command, --url and --file; give one" in capsys.readouterr().err


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


def endpoint(request: httpx.Request) -> httpx.Response:
    """A server that answers in JSON, or in events if it is a call; it insists on its session."""
    message: dict[str, Any] = json.loads(request.content)
    assert request.headers["accept"] == "application/json, text/event-stream"
    if request.headers.get("authorization") != "Bearer t":
        return httpx.Response(401)
    number, method = message.get("id"), message["method"]
    if method == "initialize":
        told = {"jsonrpc": "2.0", "id": number, "result": {"protocolVersion": "2025-06-18"}}
        return httpx.Response(200, json=told, headers={"Mcp-Session-Id": "s1"})
    assert request.headers["mcp-session-id"] == "s1"
    if number is None:
        return httpx.Response(202)
    if method == "tools/list":
        return httpx.Response(200, json={"id": number, "result": {"tools": [{"name": "up"}]}})
    if message["params"]["name"] == "gone":
        return httpx.Response(302, headers={"location": "http://elsewhere/"})
    progress = {"jsonrpc": "2.0", "method": "notifications/progress"}
    result = {"jsonrpc": "2.0", "id": number, "result": {"structuredContent": {"n": 3}}}
    text = f": hello\n\ndata: {json.dumps(progress)}\n\nevent: message\n"
    first, rest = json.dumps(result).split(" ", 1)
    text += f"data: {first}\ndata: {rest}\n\n"
    return httpx.Response(200, text=text, headers={"content-type": "text/event-stream"})


def test_a_server_at_a_url_is_listed_and_called() -> None:
    with (
        httpx.Client(transport=httpx.MockTransport(endpoint)) as client,
        connected("http://tools.example/mcp", "t", client) as peer,
    ):
        peer.ask("initialize", {})
        peer.tell({"method": "notifications/initialized"})
        server = McpServer(peer)
        assert [tool["name"] for tool in server.list_tools()] == ["up"]
        assert server.call("up", {"n": 2}) == {"n": 3}
        with pytest.raises(ToolFailed, match="tool gone: answers 302"):
            server.call("gone", {})


def test_a_server_at_a_url_that_refuses_is_named() -> None:
    with (
        httpx.Client(transport=httpx.MockTransport(endpoint)) as client,
        connected("http://tools.example/mcp", "wrong", client) as peer,
        pytest.raises(BBError, match=r"MCP server http://tools.example/mcp: answers 401; check"),
    ):
        peer.ask("initialize", {})


def test_a_server_at_a_url_where_nobody_is(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as stop:
        run_app(
            app, "x", ["import-mcp", "--url", "http://127.0.0.1:1/", "--out", str(tmp_path / "x")]
        )
    assert stop.value.code == 1
    assert "MCP server http://127.0.0.1:1/: cannot be reached: " in capsys.readouterr().err
    assert not (tmp_path / "x").exists()
