"""The adapters: what they send, where they refuse to go, and what they make of odd answers."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from typing import Any

import httpx
import pytest

from bb_core.errors import BBError
from bb_domains.api_json import plan_schema
from bb_domains.api_json.credentials import (
    PASSWORD_VARIABLE,
    USER_VARIABLE,
    credentials_from_environment,
)
from bb_domains.http_adapters import MOST_BYTES, HttpAdapters
from bb_domains.schema import parse_schema
from bb_domains.tools import ToolFailed

SECRETS = {USER_VARIABLE: "demo", PASSWORD_VARIABLE: "hidden-word"}
Answer = Callable[[httpx.Request], httpx.Response]
OK = {"id": "ord_1", "token": "t0ken-value"}


class Wire:
    """Stands for the far end of the wire: answers as told, and keeps what was sent."""

    def __init__(self) -> None:
        self.sent: list[httpx.Request] = []
        self.answer: Answer = lambda request: httpx.Response(200, json=OK)

    def __call__(self, request: httpx.Request) -> httpx.Response:
        self.sent.append(request)
        return self.answer(request)


@pytest.fixture
def wire() -> Wire:
    return Wire()


@pytest.fixture
def adapters(wire: Wire) -> Iterator[HttpAdapters]:
    with httpx.Client(transport=httpx.MockTransport(wire), follow_redirects=True) as client:
        yield HttpAdapters(plan_schema(), client, SECRETS)


@pytest.mark.parametrize(
    ("tool", "args", "line", "body"),
    [
        ("get_order", {"number": 1042}, "GET /orders/1042", None),
        (
            "refund_order",
            {"order": "ord_1", "amount": 25.5, "reason": "late"},
            "POST /orders/ord_1/refund",
            {"amount": 25.5, "reason": "late"},
        ),
        ("cancel_order", {"order": "../x?y#z"}, "POST /orders/..%2Fx%3Fy%23z/cancellation", None),
        (
            "find_customer",
            {"email": "a+b@c.example"},
            "GET /customers?email=a%2Bb%40c.example",
            None,
        ),
        (
            "add_note",
            {"customer": "cus_1", "tag": "vip"},
            "POST /customers/cus_1/notes",
            {"tag": "vip"},
        ),
    ],
)
def test_each_argument_goes_to_its_place(
    adapters: HttpAdapters, wire: Wire, tool: str, args: dict[str, Any], line: str, body: object
) -> None:
    adapters.call(tool, args)
    request = wire.sent[0]
    assert f"{request.method} {request.url.raw_path.decode()}" == line
    assert request.url.host == "127.0.0.1"
    assert (json.loads(request.content) if request.content else None) == body


def test_the_login_sends_secrets_and_keeps_the_token(adapters: HttpAdapters, wire: Wire) -> None:
    assert adapters.call("login", {}) == {"id": "ord_1"}
    assert json.loads(wire.sent[0].content) == {"username": "demo", "password": "hidden-word"}
    assert "Authorization" not in wire.sent[0].headers
    adapters.call("get_order", {"number": 1042})
    assert wire.sent[1].headers["Authorization"] == "Bearer t0ken-value"
    assert "t0ken-value" not in repr(adapters) and "hidden-word" not in repr(adapters)


def test_a_login_without_a_token_fails(adapters: HttpAdapters, wire: Wire) -> None:
    wire.answer = lambda request: httpx.Response(200, json={})
    with pytest.raises(ToolFailed, match="tool login: answered 200: the answer has no token"):
        adapters.call("login", {})


def test_a_key_goes_only_to_tools_that_honour_it(adapters: HttpAdapters, wire: Wire) -> None:
    adapters.call("get_order", {"number": 1042}, "run:b")
    adapters.call("cancel_order", {"order": "ord_1"}, "run:c")
    adapters.call("cancel_order", {"order": "ord_1"})
    keys = [request.headers.get("Idempotency-Key") for request in wire.sent]
    assert keys == [None, "run:c", None]


def test_a_missing_secret_is_named_before_anything_is_sent(wire: Wire) -> None:
    with httpx.Client(transport=httpx.MockTransport(wire)) as client:
        adapters = HttpAdapters(plan_schema(), client, {USER_VARIABLE: "demo"})
        with pytest.raises(BBError, match=f"secret {PASSWORD_VARIABLE} is not set; export"):
            adapters.call("login", {})
    assert wire.sent == []


def test_an_unknown_tool_is_named(adapters: HttpAdapters, wire: Wire) -> None:
    with pytest.raises(BBError, match="tool drop_tables: no such tool.*get_order"):
        adapters.call("drop_tables", {})
    assert wire.sent == []


@pytest.mark.parametrize(
    "base_url",
    ["http://evil.example", "http://127.0.0.1.evil.example:8077", "http://127.0.0.1@evil.example"],
)
def test_only_declared_hosts_are_reached(base_url: str) -> None:
    with (
        httpx.Client() as client,
        pytest.raises(BBError, match=r"is not a declared host; use one of 127\.0\.0\.1"),
    ):
        HttpAdapters(plan_schema(), client, SECRETS, base_url)


def test_a_declared_port_is_the_only_one() -> None:
    hosts = {"base_url": "http://127.0.0.1:8077", "hosts": ["127.0.0.1:8077"]}
    schema = parse_schema({"domain": "d", "service": hosts, "tools": {"t": {}}})
    with httpx.Client() as client:
        assert HttpAdapters(schema, client, {}).base_url == "http://127.0.0.1:8077"
        with pytest.raises(BBError, match=r"127\.0\.0\.1:9000 is not a declared host"):
            HttpAdapters(schema, client, {}, "http://127.0.0.1:9000")


def test_a_domain_without_a_service_is_said() -> None:
    schema = parse_schema({"domain": "d", "tools": {"t": {}}})
    with httpx.Client() as client, pytest.raises(BBError, match="domain d: declares no service"):
        HttpAdapters(schema, client, {})


def test_no_redirect_is_followed(adapters: HttpAdapters, wire: Wire) -> None:
    target = {"Location": "http://evil.example/orders/1042"}
    wire.answer = lambda request: httpx.Response(307, headers=target)
    with pytest.raises(ToolFailed, match="answered 307"):
        adapters.call("get_order", {"number": 1042})
    assert [request.url.host for request in wire.sent] == ["127.0.0.1"]


@pytest.mark.parametrize(
    ("response", "status", "reason"),
    [
        (httpx.Response(409, json={"reason": "refunded already"}), 409, "refunded already"),
        (httpx.Response(404, json={"reason": 7}), 404, "Not Found"),
        (httpx.Response(500, text="<html>"), 500, "Internal Server Error"),
        (httpx.Response(403, json=["no"]), 403, "Forbidden"),
        (httpx.Response(200, text="{"), 200, "not JSON"),
        (httpx.Response(200, content=b"\xff"), 200, "not JSON"),
        (httpx.Response(200, content=b" " * (MOST_BYTES + 1)), 200, "more than"),
    ],
)
def test_odd_answers_are_failures(
    adapters: HttpAdapters, wire: Wire, response: httpx.Response, status: int, reason: str
) -> None:
    wire.answer = lambda request: response
    with pytest.raises(ToolFailed, match=f"tool get_order: answered {status}: .*{reason}") as said:
        adapters.call("get_order", {"number": 1042})
    assert (said.value.tool, said.value.status) == ("get_order", status)
    assert reason in said.value.reason


@pytest.mark.parametrize(
    ("response", "result"),
    [
        (httpx.Response(204), {}),
        (httpx.Response(200, json=[1]), {"value": [1]}),
        (httpx.Response(201, json={"a": None}), {"a": None}),
    ],
)
def test_other_answers_become_objects(
    adapters: HttpAdapters, wire: Wire, response: httpx.Response, result: dict[str, Any]
) -> None:
    wire.answer = lambda request: response
    assert adapters.call("get_order", {"number": 1042}) == result


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (httpx.ConnectError("refused"), "cannot reach http://127.0.0.1:8077: refused"),
        (httpx.ReadTimeout(""), "no answer within 10 s"),
        (httpx.RemoteProtocolError(""), "RemoteProtocolError"),
    ],
)
def test_no_answer_has_status_0(
    adapters: HttpAdapters, wire: Wire, error: Exception, reason: str
) -> None:
    def fail(request: httpx.Request) -> httpx.Response:
        raise error

    wire.answer = fail
    with pytest.raises(ToolFailed, match="tool get_order: ") as said:
        adapters.call("get_order", {"number": 1042})
    assert said.value.status == 0 and reason in said.value.reason


def test_other_bodies_are_sent_as_declared(wire: Wire) -> None:
    def tool(body: str, place: dict[str, Any], schema: dict[str, Any]) -> dict[str, Any]:
        return {
            "operation": {"method": "POST", "path": "/up", "body": body},
            "args": {"type": "object", "properties": {"x": schema}},
            "places": {"x": place},
        }

    service = {"base_url": "http://127.0.0.1:1", "hosts": ["127.0.0.1"]}
    whole, text = {"in": "body", "whole": True}, {"type": "string"}
    tools = {
        "form": tool("form", {"in": "body", "name": "a b"}, text),
        "binary": tool("binary", whole, text),
        "json": tool("json", whole, {"type": "array"}),
        "header": tool("json", {"in": "header", "name": "X-Y"}, {"type": "integer"}),
        "query": tool("json", {"in": "query", "name": "q"}, {"type": "array"}),
    }
    schema = parse_schema({"domain": "d", "service": service, "tools": tools})
    with httpx.Client(transport=httpx.MockTransport(wire)) as client:
        adapters = HttpAdapters(schema, client, {})
        adapters.call("form", {"x": "1&2"})
        adapters.call("binary", {"x": "raw"})
        adapters.call("json", {"x": [1, "2"]})
        adapters.call("header", {"x": 7})
        adapters.call("query", {"x": [True, "no"]})
    assert [request.content for request in wire.sent[:3]] == [b"a+b=1%262", b"raw", b'[1,"2"]']
    assert wire.sent[3].headers["X-Y"] == "7"
    assert wire.sent[4].url.query == b"q=true&q=no"


def test_credentials_come_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(USER_VARIABLE, "demo")
    monkeypatch.delenv(PASSWORD_VARIABLE, raising=False)
    with pytest.raises(BBError, match=f"environment: {PASSWORD_VARIABLE} is not set; export"):
        credentials_from_environment()
    monkeypatch.setenv(PASSWORD_VARIABLE, "word")
    assert credentials_from_environment().password == "word"
