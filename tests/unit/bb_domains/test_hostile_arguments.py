"""Arguments that try to be more than arguments: other paths, further headers, other calls."""

from __future__ import annotations

import json
import socket
import threading
from collections.abc import Iterator
from typing import Any
from urllib.parse import unquote

import httpx
import pytest

from bb_core.errors import BBError
from bb_domains.errors import SchemaError
from bb_domains.http_adapters import HttpAdapters
from bb_domains.kit import Discreet
from bb_domains.mcp import McpServer
from bb_domains.phone.adb import AdbDevice
from bb_domains.robots.rosbridge import Interface, RosbridgeAdapters
from bb_domains.schema import PlanSchema, parse_schema
from bb_domains.tools import ToolFailed

BASE = "http://127.0.0.1:8077/v2"
HOSTILE = [
    "../admin", "..\\admin", "....//x", "/etc/passwd", "//evil.example/x", "http://evil.example/",
    "@evil.example", "\\\\evil.example", "%2e%2e", "%2f..%2f", "..%2f", "..;/x", "a?b=c", "a#b",
    "a&admin=true", "a;b=c", "x=1&x=2", "a b", "a+b", "{other}", "${jndi:ldap://x}", "a/../b",
    "。。", "․․", "．．／", "\u202e", "ﬁ", "\ufeff", "é", "🦊", "a\u0301", "~", "*", "null", "[1]",
]  # fmt: skip
CONTROLS = ["\r\nHost: evil", "\n", "\r", "\x00", "a\x00b", "\x1b[2J", "\x7f", "\t", "\x0b"]


def tool(places: dict[str, Any], path: str, method: str = "POST") -> dict[str, Any]:
    return {
        "operation": {"method": method, "path": path, "body": "json"},
        "args": {"type": "object", "properties": {name: {} for name in places}},
        "places": places,
    }


def schema() -> PlanSchema:
    tools = {
        "path": tool({"x": "path", "other": "path"}, "/items/{x}/of/{other}", "DELETE"),
        "file": tool({"x": "path"}, "/files/{x}.{x}"),
        "query": tool({"x": "query", "y": "query"}, "/find"),
        "header": tool({"x": {"in": "header", "name": "X-Note"}}, "/note"),
        "body": {
            **tool({"x": "body", "y": "body"}, "/put"),
            "secrets": {"password": "SHOP_PASSWORD"},
        },
        "form": tool({"x": "body"}, "/form") | {"operation": {
            "method": "POST", "path": "/form", "body": "form",
        }},
    }  # fmt: skip
    service = {"base_url": BASE, "hosts": ["127.0.0.1"]}
    return parse_schema({"domain": "d", "service": service, "tools": tools})


@pytest.fixture
def sent() -> list[httpx.Request]:
    return []


@pytest.fixture
def adapters(sent: list[httpx.Request]) -> Iterator[HttpAdapters]:
    def wire(request: httpx.Request) -> httpx.Response:
        sent.append(request)
        return httpx.Response(200, json={})

    with httpx.Client(transport=httpx.MockTransport(wire)) as client:
        yield HttpAdapters(schema(), client, {"SHOP_PASSWORD": "hidden-word"})


@pytest.mark.parametrize("text", HOSTILE)
def test_an_argument_stays_in_its_place(
    adapters: HttpAdapters, sent: list[httpx.Request], text: str
) -> None:
    adapters.call("path", {"x": text, "other": "7"})
    adapters.call("query", {"x": text, "y": "7"})
    adapters.call("body", {"x": text, "y": [text]})
    adapters.call("form", {"x": text})
    path, query, body, form = sent
    assert {request.url.netloc for request in sent} == {b"127.0.0.1:8077"}
    v2, items, x, of, other = path.url.raw_path.decode().removeprefix("/").split("/")
    assert (v2, items, unquote(x), of, other) == ("v2", "items", text, "of", "7")
    assert path.url.query == b""
    assert query.url.params.multi_items() == [("x", text), ("y", "7")]
    assert query.url.path == "/v2/find"
    assert json.loads(body.content) == {"password": "hidden-word", "x": text, "y": [text]}
    assert httpx.QueryParams(form.content.decode()).multi_items() == [("x", text)]


@pytest.mark.parametrize("text", ["", ".", ".."])
def test_an_argument_that_is_another_path_is_refused(
    adapters: HttpAdapters, sent: list[httpx.Request], text: str
) -> None:
    for args in ({"x": text, "other": "7"}, {"x": "7", "other": text}):
        with pytest.raises(BBError, match="which is another path; name what is meant"):
            adapters.call("path", args)
    adapters.call("query", {"x": text, "y": text})
    assert [request.url.path for request in sent] == ["/v2/find"]


def test_a_missing_part_of_a_path_is_refused(
    adapters: HttpAdapters, sent: list[httpx.Request]
) -> None:
    with pytest.raises(BBError, match="an argument is missing"):
        adapters.call("path", {"x": "7"})
    adapters.call("file", {"x": "."})  # three full stops are a name
    assert [request.url.raw_path for request in sent] == [b"/v2/files/..."]


@pytest.mark.parametrize("text", CONTROLS)
def test_control_characters_are_refused_unseen_in_paths_and_headers(
    adapters: HttpAdapters, sent: list[httpx.Request], text: str
) -> None:
    for name, args in (("path", {"x": f"se{text}cret", "other": "7"}), ("header", {"x": text})):
        with pytest.raises(BBError, match=r"argument x: control characters; leave them") as said:
            adapters.call(name, args)
        assert "cret" not in str(said.value) and "Host" not in str(said.value)
    adapters.call("query", {"x": text, "y": "7"})
    adapters.call("body", {"x": text})
    assert sent[0].url.params["x"] == text and json.loads(sent[1].content)["x"] == text
    assert not any(ord(char) < 32 for request in sent for char in str(request.url))


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("header", "é"), ("header", "a\ud800"), ("path", "\ud800"), ("query", "\udfff"),
        ("body", "\ud800"), ("body", float("nan")), ("body", float("inf")), ("body", {1, 2}),
        ("form", "\ud800"),
    ],
)  # fmt: skip
def test_what_cannot_be_sent_is_refused_as_an_error_of_ours(
    adapters: HttpAdapters, sent: list[httpx.Request], name: str, value: object
) -> None:
    with pytest.raises(BBError, match=f"tool {name}: an argument cannot be sent") as said:
        adapters.call(name, {"x": value, "other": "7"} if name == "path" else {"x": value})
    assert "\\ud800" not in str(said.value) and sent == []


def test_headers_reach_the_wire_as_one_line() -> None:
    """As bytes: one request, whose headers are those that were meant."""
    received = bytearray()
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def serve() -> None:
            connection, _ = listener.accept()
            with connection:
                received.extend(connection.recv(65536))
                connection.sendall(b"HTTP/1.1 204 No Content\r\n\r\n")

        thread = threading.Thread(target=serve)
        thread.start()
        base = f"http://127.0.0.1:{listener.getsockname()[1]}"
        with httpx.Client(trust_env=False) as client:
            HttpAdapters(schema(), client, {}, base).call("header", {"x": "a: b, c%0d%0aX: y"})
        thread.join()
    head = bytes(received).split(b"\r\n\r\n")[0].split(b"\r\n")
    assert head[0] == b"POST /note HTTP/1.1"
    assert [line for line in head if line.lower().startswith(b"x")] == [
        b"X-Note: a: b, c%0d%0aX: y"
    ]


@pytest.mark.parametrize(
    "name",
    ["Host", "content-length", "Transfer-Encoding", "Connection", "Upgrade", "TE", "Expect",
     "Idempotency-Key", "Proxy-Authorization", "X: y", "X\r\nY", "a b", "é"],
)  # fmt: skip
def test_headers_of_http_are_no_place_for_an_argument(name: str) -> None:
    data = {"domain": "d", "tools": {"t": tool({"x": {"in": "header", "name": name}}, "/x")}}
    with pytest.raises(SchemaError, match="belongs to HTTP; put it elsewhere, or drop the tool"):
        parse_schema(data)


@pytest.mark.parametrize(
    ("places", "more", "message"),
    [
        ({"x": "query", "y": {"in": "query", "name": "x"}}, {}, "'y' has the place of argument"),
        ({"x": {"in": "header", "name": "A"}, "y": {"in": "header", "name": "a"}}, {}, "place of"),
        ({"password": "body"}, {"secrets": {"password": "S"}}, "place of secret 'password'"),
        ({"x": {"in": "body", "name": "pin"}}, {"secrets": {"pin": "S"}}, "place of secret 'pin'"),
    ],
)
def test_no_argument_takes_the_place_of_another_or_of_a_secret(
    places: dict[str, Any], more: dict[str, Any], message: str
) -> None:
    data = {"domain": "d", "tools": {"t": {**tool(places, "/x"), **more}}}
    with pytest.raises(SchemaError, match=message):
        parse_schema(data)


# -- other adapters --------------------------------------------------------------------------------


class Line:
    """A transport of the robots and a peer of a tool server: keeps the text of each message."""

    def __init__(self) -> None:
        self.texts: list[str] = []

    def send(self, text: str) -> None:
        self.texts.append(text)

    def receive(self, timeout_s: float) -> str | None:
        name = json.loads(self.texts[-1])["id"]
        return json.dumps({"op": "service_response", "id": name, "result": True, "values": {}})

    def close(self) -> None:
        pass

    def ask(self, method: str, params: Any) -> dict[str, Any]:
        self.texts.append(json.dumps({"method": method, "params": dict(params)}))
        return {"structuredContent": {}}

    def tell(self, message: Any) -> None:
        raise AssertionError("nothing is told")


@pytest.mark.parametrize("text", [*HOSTILE, *CONTROLS, '","op":"cancel_action_goal","x":"', "}{"])
def test_messages_stay_one_message(text: str) -> None:
    line = Line()
    robot = RosbridgeAdapters(line, {"t": Interface(service="/t")}, {"t": 1.0})
    robot.call("t", {"x": text}, "run:a")
    (sent,) = line.texts
    found = json.loads(sent)
    assert (found["op"], found["service"], found["args"]) == ("call_service", "/t", {"x": text})
    assert not any(char < " " for char in sent)
    McpServer(line).call("t", {"x": text})
    found = json.loads(line.texts[-1])
    assert found["method"] == "tools/call"
    assert found["params"] == {"name": "t", "arguments": {"x": text}}


@pytest.mark.parametrize(
    "serial",
    ["-s", "a b", "a;reboot", "$(id)", "a\n", "../x", "--help", "é", "a|b", "`id`", "-P", " a"],
)
def test_a_serial_number_is_no_option_and_no_command(serial: str) -> None:
    with pytest.raises(BBError, match="is no serial number"):
        AdbDevice("/no/adb", serial)
    assert AdbDevice("/no/adb", "127.0.0.1:5555").command("shell")[1:3] == ["-s", "127.0.0.1:5555"]


@pytest.mark.parametrize(
    "name", ["-p", "a.b; reboot", "a.b\n", "../a.b", "a", "a.b c.d", "$(id).a"]
)
def test_an_app_is_no_option_and_no_command(name: str) -> None:
    with pytest.raises(BBError, match="is no package"):
        AdbDevice("/no/adb").launch(name)


# -- secrets in what services say ------------------------------------------------------------------


class Talker:
    """Adapters that say the secret in every way."""

    def call(self, tool: str, args: Any, idempotency_key: str | None = None) -> dict[str, Any]:
        if tool == "fail":
            raise ToolFailed(tool, 401, "the key s3cret-token, pin 4711, is wrong", sent=False)
        if tool == "break":
            raise BBError("s3cret-token", where="at s3cret-token", fix="x")
        return {"s3cret-token": ["a s3cret-token", {"n": 4711, "pin": "4711"}], "id": "o1"}


def test_secrets_are_taken_out_of_what_adapters_say() -> None:
    discreet = Discreet(Talker(), ["s3cret-token", "4711"])
    with pytest.raises(ToolFailed, match="the key …, pin …, is wrong") as failed:
        discreet.call("fail", {})
    assert (failed.value.status, failed.value.sent) == (401, False)
    with pytest.raises(BBError, match="at …: …; x"):
        discreet.call("break", {})
    answer = discreet.call("tell", {})
    assert answer == {"…": ["a …", {"n": 4711, "pin": "4711"}], "id": "o1"}
    assert "s3cret" not in repr(discreet)


def test_a_service_that_repeats_secrets_is_not_repeated() -> None:
    """What it says in a refusal and in an answer: the password, and the token it has given."""

    def wire(request: httpx.Request) -> httpx.Response:
        said = f"{json.loads(request.content or '{}').get('password')} and t0ken-value-long"
        if request.url.path == "/in":
            return httpx.Response(200, json={"t": "t0ken-value-long", "again": [said]})
        return httpx.Response(403, json={"reason": said})

    tools = {
        "log_in": {
            "operation": {"method": "POST", "path": "/in"},
            "secrets": {"password": "SHOP_PASSWORD"},
        },
        "fail": {
            "operation": {"method": "POST", "path": "/x"},
            "secrets": {"password": "SHOP_PASSWORD"},
        },
    }
    service = {
        "base_url": "http://127.0.0.1", "hosts": ["127.0.0.1"],
        "bearer": {"tool": "log_in", "field": "t"},
    }  # fmt: skip
    declared = parse_schema({"domain": "d", "service": service, "tools": tools})
    with httpx.Client(transport=httpx.MockTransport(wire)) as client:
        adapters = HttpAdapters(declared, client, {"SHOP_PASSWORD": "hidden-word"})
        assert adapters.call("log_in", {}) == {"again": ["… and …"]}
        with pytest.raises(ToolFailed, match="answered 403: … and …$"):
            adapters.call("fail", {})


@pytest.mark.parametrize("token", ["a\r\nX: y", "a b", "", "é", "a\x00", 7, None])
def test_a_login_whose_token_is_none_fails_unseen(token: object) -> None:
    tools = {"log_in": {"operation": {"method": "POST", "path": "/in"}}}
    service = {
        "base_url": "http://127.0.0.1", "hosts": ["127.0.0.1"],
        "bearer": {"tool": "log_in", "field": "t"},
    }  # fmt: skip
    declared = parse_schema({"domain": "d", "service": service, "tools": tools})
    answer = httpx.Response(200, json={"t": token})
    with httpx.Client(transport=httpx.MockTransport(lambda _: answer)) as client:
        adapters = HttpAdapters(declared, client, {})
        with pytest.raises(ToolFailed, match="the answer has no t$"):
            adapters.call("log_in", {})
