"""A service's life recorded: middleware, proxy, and the demonstration service behind both."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import httpx
import pytest

from bb_core.errors import BBError, UsageError
from bb_core.trace import Trace, load_traces
from bb_domains.api_json import plan_schema as api_json
from bb_domains.api_json.service import Operator, create_app
from bb_domains.errors import DomainError
from bb_domains.middleware import RecordAsgi, RecordWsgi
from bb_domains.privacy import Redactor
from bb_domains.proxy import reverse_proxy
from bb_domains.recording import MOST_BYTES, Exchange, Recorder
from bb_domains.schema import PlanSchema, parse_schema

SECRET = Redactor(b"k" * 32)


def schema(**service: Any) -> PlanSchema:
    return parse_schema(
        {
            "domain": "shelf",
            "service": {"base_url": "http://127.0.0.1:9/v1", "hosts": ["127.0.0.1:9"], **service},
            "tools": {
                "mine": {"operation": {"method": "GET", "path": "/books/mine"}},
                "get": {
                    "operation": {"method": "GET", "path": "/books/{id}"},
                    "args": {
                        "type": "object",
                        "properties": {
                            "id": {"type": "integer"},
                            "full": {"type": "boolean"},
                            "tags": {"type": "array", "items": {"type": "string"}},
                            "lang": {"type": "string"},
                        },
                        "required": ["id"],
                    },
                    "places": {
                        "id": "path",
                        "full": "query",
                        "tags": "query",
                        "lang": {"in": "header", "name": "X-Lang"},
                    },
                },
                "put": {
                    "operation": {"method": "POST", "path": "/books", "body": "form"},
                    "args": {"type": "object", "properties": {"n": {"type": "integer"}}},
                    "places": {"n": "body"},
                    "private": ["owner"],
                },
            },
        }
    )


def exchange(method: str, path: str, answer: Any = None, **more: Any) -> Exchange:
    path, _, query = path.partition("?")
    body = json.dumps(answer if answer is not None else {}).encode()
    told = {"headers": {}, "body": b"", "status": 200, **more}
    return Exchange(method, path, query, answer=body, t_s=0.25, **told)


def recorded(tmp_path: Path, *exchanges: Exchange, **service: Any) -> list[Trace]:
    out = tmp_path / "life.jsonl"
    recorder = Recorder(schema(**service), out, SECRET)
    for i, each in enumerate(exchanges):
        recorder.add(each, float(i))
    recorder.close()
    return load_traces(out) if out.exists() else []


def test_arguments_are_found_in_their_places(tmp_path: Path) -> None:
    (trace,) = recorded(
        tmp_path,
        exchange("GET", "/v1/books/7?full=true&tags=a&tags=b&x=1", headers={"x-lang": "de"}),
        exchange("GET", "/v1/books/mine"),
        exchange("POST", "/v1/books", {"owner": "Ana", "n": 3}, body=b"n=3&secret=x"),
        exchange("DELETE", "/v1/books/7"),
        exchange("GET", "/v2/books/7"),
        exchange("GET", "/v1/books/7/pages"),
    )
    assert [(s.tool, s.args) for s in trace.steps] == [
        ("get", {"id": 7, "full": True, "tags": ["a", "b"], "lang": "de"}),
        ("mine", {}),
        ("put", {"n": 3}),
    ]
    assert trace.steps[0].t_s == 0.25
    assert trace.steps[2].result == {"owner": SECRET.digest("Ana"), "n": 3}


def test_refusals_are_failures_with_their_reason(tmp_path: Path) -> None:
    (trace,) = recorded(
        tmp_path,
        exchange("GET", "/v1/books/7", {"reason": "no such book"}, status=404),
        exchange("GET", "/v1/books/7", {"detail": [{"private": 1}]}, status=422),
    )
    assert [(s.ok, s.result) for s in trace.steps] == [
        (False, {"status": 404, "reason": "no such book"}),
        (False, {"status": 422, "reason": ""}),
    ]


def test_sessions_are_told_apart_and_their_tokens_are_not_kept(tmp_path: Path) -> None:
    one, two = ({"authorization": f"Bearer {name}"} for name in ("one-token", "two-token"))
    login = {"bearer": {"tool": "mine", "field": "token"}}
    traces = recorded(
        tmp_path,
        exchange("GET", "/v1/books/mine", {"token": "one-token", "hello": 1}),
        exchange("GET", "/v1/books/mine", {"token": "two-token"}),
        exchange("GET", "/v1/books/1", headers=one),
        exchange("GET", "/v1/books/2", headers=two),
        exchange("GET", "/v1/books/3", headers=one),
        **login,
    )
    assert [[s.args.get("id") for s in trace.steps] for trace in traces] == [
        [None, 1, 3],
        [None, 2],
    ]
    assert traces[0].steps[0].result == {"hello": 1}
    assert "-token" not in (tmp_path / "life.jsonl").read_text()


def test_idle_and_long_sessions_end(tmp_path: Path) -> None:
    out = tmp_path / "life.jsonl"
    recorder = Recorder(schema(), out, SECRET, idle_s=10)
    for _ in range(27):
        recorder.add(exchange("GET", "/v1/books/mine"), 0)
    assert [len(trace.steps) for trace in load_traces(out)] == [26]
    recorder.add(exchange("GET", "/v1/books/mine"), 10.5)
    assert recorder.written == 2
    recorder.close()
    assert [len(trace.steps) for trace in load_traces(out)] == [26, 1, 1]
    assert len({trace.id for trace in load_traces(out)}) == 3


def test_what_is_held_is_bounded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("bb_domains.recording.MOST_SESSIONS", 3)
    monkeypatch.setattr("bb_domains.recording.MOST_HELD_BYTES", 1000)
    out = tmp_path / "life.jsonl"
    recorder = Recorder(schema(), out, SECRET)

    def add(user: str, answer: str = "") -> None:
        headers = {"authorization": user}
        recorder.add(
            exchange("GET", "/v1/books/1", {"user": user, "x": answer}, headers=headers), 0
        )

    for user in ("one", "two", "three", "one", "four"):
        add(user)
    assert [trace.steps[0].result["user"] for trace in load_traces(out)] == ["two"]
    add("five", "x" * 960)
    assert [t.steps[0].result["user"] for t in load_traces(out)[1:]] == ["three", "one", "four"]


def test_what_is_too_long_is_passed_over(tmp_path: Path) -> None:
    assert recorded(tmp_path, exchange("GET", "/v1/books/1", "x" * MOST_BYTES)) == []


def test_a_domain_without_operations_cannot_be_recorded(tmp_path: Path) -> None:
    bare = parse_schema({"domain": "x", "tools": {"t": {}}})
    with pytest.raises(DomainError, match="no tool has an operation; import the service's"):
        Recorder(bare, tmp_path / "x", SECRET)


def test_a_file_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    recorder = Recorder(schema(), tmp_path / "no" / "life.jsonl", SECRET)
    recorder.add(exchange("GET", "/v1/books/mine"), 0)
    with pytest.raises(BBError, match=r"life.jsonl: cannot be written: .*; make room"):
        recorder.close()


async def drive(client: httpx.AsyncClient) -> list[int]:
    """Log in, look an order up, confirm a wrong owner, track the shipment, and be refused."""
    statuses = []

    async def send(method: str, path: str, **more: Any) -> Any:
        answer = await client.request(method, path, **more)
        statuses.append(answer.status_code)
        return answer.json()

    login = {"username": "u", "password": "p-secret"}
    token = (await send("POST", "/login", json=login))["token"]
    headers = {"Authorization": f"Bearer {token}"}
    number = (await send("GET", "/audit/orders?limit=1", headers=headers))[0]["number"]
    order = (await send("GET", f"/orders/{number}", headers=headers))["id"]
    wrong = {"email": "someone@example.com"}
    await send("POST", f"/orders/{order}/owner", json=wrong, headers=headers)
    await send("GET", f"/orders/{order}/shipment", headers=headers)
    await send("GET", "/orders/9999999", headers=headers)
    return statuses


async def through(app: Any) -> list[int]:
    async with httpx.AsyncClient(
        transport=httpx.ASGITransport(app), base_url="http://127.0.0.1:8077"
    ) as client:
        return await drive(client)


async def proxied(service: Any, recorder: Recorder) -> list[int]:
    async with httpx.AsyncClient(transport=httpx.ASGITransport(service)) as client:
        return await through(RecordAsgi(reverse_proxy("http://127.0.0.1:8077", client), recorder))


@pytest.mark.parametrize("way", ["middleware", "proxy"])
def test_the_demonstration_service_is_recorded(way: str, tmp_path: Path) -> None:
    service = create_app(tmp_path / "service.db", 0, Operator("u", "p-secret"))
    out = tmp_path / "life.jsonl"
    recorder = Recorder(api_json(), out, SECRET)
    made = (
        through(RecordAsgi(service, recorder))
        if way == "middleware"
        else proxied(service, recorder)
    )
    statuses = asyncio.run(made)
    recorder.close()
    service.state.db.close()
    (trace,) = load_traces(out)
    assert [(step.tool, step.ok) for step in trace.steps] == [
        ("login", True),
        ("get_order", True),
        ("confirm_owner", False),
        ("track_shipment", True),
        ("get_order", False),
    ]
    assert statuses == [200, 200, 200, 403, 200, 422]
    address = SECRET.digest("someone@example.com")
    assert trace.steps[2].args == {"order": "$b.id", "email": address}
    assert trace.steps[3].args == {"order": "$b.id"}
    text = out.read_text()
    assert "p-secret" not in text and "someone@example" not in text and "token" not in text


def test_an_application_that_fails_is_recorded_and_fails(tmp_path: Path) -> None:
    async def broken(scope: Any, receive: Any, send: Any) -> None:
        raise ValueError("broken")

    out = tmp_path / "life.jsonl"
    recorder = Recorder(schema(), out, SECRET)

    async def ask() -> None:
        transport = httpx.ASGITransport(RecordAsgi(broken, recorder))
        async with httpx.AsyncClient(transport=transport, base_url="http://x") as client:
            await client.get("/v1/books/mine")

    with pytest.raises(ValueError, match="broken"):
        asyncio.run(ask())
    recorder.close()
    assert load_traces(out)[0].steps[0].result == {"status": 500, "reason": ""}


def test_a_service_that_cannot_be_reached_is_a_bad_gateway() -> None:
    def refuse(request: httpx.Request) -> httpx.Response:
        raise httpx.ConnectError("refused", request=request)

    async def ask() -> httpx.Response:
        async with httpx.AsyncClient(transport=httpx.MockTransport(refuse)) as upstream:
            transport = httpx.ASGITransport(reverse_proxy("http://127.0.0.1:1", upstream))
            async with httpx.AsyncClient(transport=transport, base_url="http://x") as client:
                return await client.get("/")

    answer = asyncio.run(ask())
    assert (answer.status_code, answer.text) == (502, "cannot reach the service: ConnectError")


def test_the_proxy_passes_on_what_it_is_given() -> None:
    seen: list[httpx.Request] = []

    def answer(request: httpx.Request) -> httpx.Response:
        seen.append(request)
        headers = {"location": "http://elsewhere/", "connection": "close", "x-mine": "1"}
        return httpx.Response(302, headers=headers, stream=httpx.ByteStream(request.content))

    async def ask() -> httpx.Response:
        async with httpx.AsyncClient(transport=httpx.MockTransport(answer)) as upstream:
            transport = httpx.ASGITransport(reverse_proxy("http://127.0.0.1:1/base/", upstream))
            async with httpx.AsyncClient(transport=transport, base_url="http://x") as client:
                return await client.post(
                    "/a%2Fb?q=%20", content=b"body", headers={"x-h": "2", "te": "gzip"}
                )

    found = asyncio.run(ask())
    assert (found.status_code, found.content, found.headers["x-mine"]) == (302, b"body", "1")
    assert "connection" not in found.headers
    (request,) = seen
    assert str(request.url) == "http://127.0.0.1:1/base/a%2Fb?q=%20"
    assert request.headers["x-h"] == "2"
    assert request.headers["accept-encoding"] == "identity"
    assert "te" not in request.headers


@pytest.mark.parametrize("address", ["", "ftp://x", "127.0.0.1:80"])
def test_addresses_are_checked(address: str) -> None:
    with pytest.raises(UsageError, match="is no address; write http://host:port"):
        reverse_proxy(address, httpx.AsyncClient())


def test_wsgi_services_are_recorded(tmp_path: Path) -> None:
    closed: list[bool] = []

    class Parts:
        def __iter__(self) -> Iterable[bytes]:
            return iter([b'{"owner": "Ana"', b', "n": 3}'])

        def close(self) -> None:
            closed.append(True)

    def service(environ: dict[str, Any], start: Callable[..., Any]) -> Iterable[bytes]:
        assert environ["wsgi.input"].read() == b"n=3"
        start("200 OK", [])
        return Parts()  # type: ignore[return-value]

    out = tmp_path / "life.jsonl"
    recorder = Recorder(schema(), out, SECRET)
    transport = httpx.WSGITransport(RecordWsgi(service, recorder))
    with httpx.Client(transport=transport, base_url="http://127.0.0.1:9") as client:
        answer = client.post("/v1/books", data={"n": 3})
    assert answer.json() == {"owner": "Ana", "n": 3}
    recorder.close()
    (trace,) = load_traces(out)
    assert [(s.tool, s.args) for s in trace.steps] == [("put", {"n": 3})]
    assert closed == [True]
