"""What stands around every request: bounds, hosts, ids, log, metrics, draining, page, faults."""

from __future__ import annotations

import asyncio
import json
import logging
import re
import socket
import threading
from pathlib import Path

import pytest
from fastapi.testclient import TestClient

import bb_runtime.http.constrain as constrain
from bb_core.errors import BBError
from bb_runtime.engine import Busy, Engine
from bb_runtime.http.app import create_app
from bb_runtime.http.gate import JsonLines
from bb_runtime.http.limit_body import LimitBody
from bb_runtime.http.limits import ServerLimits
from bb_runtime.http.serve import answered_hosts, serve_app

LIMITS = ServerLimits(
    max_body_bytes=4096, max_new_tokens=64, compile_timeout_s=0.2, compiling=1,
    hosts=("testserver",),
)  # fmt: skip


@pytest.fixture
def app(model, tokenizer):
    return create_app(Engine(model, tokenizer, "tiny"), LIMITS)


@pytest.fixture
def client(app):
    with TestClient(app) as client:
        yield client


def test_large_bodies_are_refused_whether_declared_or_not(client):
    body = json.dumps({"prompt": "x" * 5000})
    assert client.post("/v1/completions", content=body).status_code == 413

    def chunks():
        yield body[:3000].encode()
        yield body[3000:].encode()

    answer = client.post("/v1/completions", content=chunks())
    assert answer.status_code == 413
    assert "larger than 4096 bytes" in answer.json()["error"]["message"]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("{", "JSON"),
        ("[" * 4000, "body"),
        ("\xff", ""),
        ("null", "body"),
    ],
)
def test_bodies_that_are_no_request_are_400(client, content, message):
    answer = client.post(
        "/v1/completions", content=content.encode("latin-1"),
        headers={"content-type": "application/json"},
    )  # fmt: skip
    assert answer.status_code == 400 and message in answer.json()["error"]["message"]


def test_a_body_that_comes_too_slowly_is_refused():
    sent = []

    async def never():
        await asyncio.Event().wait()

    async def send(message):
        sent.append(message)

    async def app(*_):
        raise AssertionError("nothing is passed on")

    scope = {"type": "http", "headers": []}
    asyncio.run(LimitBody(app, 10, 0.01)(scope, never, send))
    assert sent[0]["status"] == 408 and b"not there after 0.01 s" in sent[1]["body"]


def test_other_hosts_are_refused(client):
    assert client.get("/health", headers={"host": "evil.example"}).status_code == 400


def test_hosts_that_are_answered():
    assert answered_hosts("0.0.0.0") == ("*",)
    assert answered_hosts("0.0.0.0", ("a.example",))[-1] == "a.example"
    assert "*" not in answered_hosts("0.0.0.0", ("a.example",))
    assert answered_hosts("127.0.0.1") == ("127.0.0.1", "localhost", "[::1]")


def test_a_taken_port_is_one_message(app):
    refused = pytest.raises(BBError, match="cannot listen there: .*; choose another --host")
    with socket.create_server(("127.0.0.1", 0)) as taken, refused:
        serve_app(app, "tiny", taken.getsockname())
    assert not logging.getLogger("bb_runtime").handlers


def test_unknown_paths_have_the_protocols_form(client):
    answer = client.get("/v1/embeddings")
    assert answer.status_code == 404 and answer.json()["error"]["type"] == "not_found_error"
    assert client.post("/health").json()["error"]["message"] == "Method Not Allowed"


def test_every_answer_bears_an_id_and_safe_headers(client):
    first, second = (client.get("/health").headers for _ in range(2))
    assert first["x-request-id"] != second["x-request-id"]
    assert first["x-content-type-options"] == "nosniff"
    policy = first["content-security-policy"]
    assert "default-src 'none'" in policy and "unsafe" not in policy
    assert "require-trusted-types-for 'script'" in policy
    mine = client.get("/health", headers={"x-request-id": "a-1"}).headers
    assert mine["x-request-id"] == "a-1"
    forged = client.get("/health", headers={"x-request-id": 'a"}\t'}).headers
    assert re.fullmatch("[0-9a-f]{32}", forged["x-request-id"])


def test_the_log_has_one_json_line_a_request_without_its_words(client, caplog):
    handler = JsonLines()
    with caplog.at_level(logging.INFO, "bb_runtime.http.access"):
        client.post(
            "/v1/completions?secret=1", json={"prompt": "my secret", "max_tokens": 2},
            headers={"x-request-id": "r-7", "authorization": "Bearer hidden"},
        )  # fmt: skip
    (record,) = (r for r in caplog.records if r.name == "bb_runtime.http.access")
    line = json.loads(handler.format(record))
    assert line["route"] == "/v1/completions" and line["status"] == 200
    assert line["key"] == "everybody" and line["level"] == "info"
    assert "secret" not in json.dumps(line) and "hidden" not in json.dumps(line)


def test_metrics_are_prometheus_text(client):
    client.post("/v1/completions", json={"prompt": "x", "max_tokens": 3})
    client.get("/nowhere/secret")
    answer = client.get("/metrics")
    assert answer.headers["content-type"].startswith("text/plain; version=0.0.4")
    lines = answer.text.splitlines()
    assert 'bb_http_requests_total{route="/v1/completions",method="POST",status="200"} 1' in lines
    assert 'bb_http_requests_total{route="(none)",method="GET",status="404"} 1' in lines
    assert "bb_engine_completion_tokens_total 3" in lines
    assert 'bb_engine_choices_total{reason="length"} 1' in lines
    assert 'bb_http_request_seconds_bucket{route="/v1/completions",le="+Inf"} 1' in lines
    assert "secret" not in answer.text
    for line in lines:
        assert re.fullmatch(
            r'# (HELP|TYPE) \w+ .+|\w+(\{\w+="[^"]*"(,\w+="[^"]*")*\})? [0-9.]+', line
        )


def test_a_server_that_drains_says_so(app, client):
    app.state.service.state.is_draining = True
    assert client.get("/ready").status_code == 503 and client.get("/health").status_code == 200
    answer = client.post("/v1/completions", json={"prompt": "x"})
    assert answer.status_code == 503 and answer.headers["retry-after"] == "5"
    assert answer.json()["error"]["code"] == "closing"


def test_the_end_of_the_app_closes_the_engine(app, model):
    engine = app.state.service.engine
    with TestClient(app):
        pass
    from bb_runtime.engine import Sampling

    with pytest.raises(Busy, match="the server is closing"):
        engine.submit("x", Sampling(max_new_tokens=1))


def test_a_fault_of_ours_is_500_without_its_details(client, app, monkeypatch, caplog):
    def broken(*_args, **_more):
        raise RuntimeError("inner secret")

    monkeypatch.setattr(app.state.service.engine, "submit", broken)
    answer = client.post("/v1/completions", json={"prompt": "x"}, headers={"x-request-id": "r-9"})
    assert answer.status_code == 500 and "inner secret" not in answer.text
    assert answer.json()["error"]["type"] == "server_error"
    assert answer.headers["x-request-id"] == "r-9"
    assert sum("inner secret" in str(r.exc_info) for r in caplog.records if r.exc_info) == 1


def test_a_constraint_that_takes_too_long_is_refused_and_holds_nobody_up(client, monkeypatch):
    release = threading.Event()
    compile_ = constrain.keep_to_regex

    def slow(tokenizer, regex):
        if regex == "slow":
            release.wait(20)
        return compile_(tokenizer, regex)

    monkeypatch.setattr(constrain, "keep_to_regex", slow)

    def ask(regex):
        return client.post(
            "/v1/completions", json={"prompt": "x", "structured_outputs": {"regex": regex}}
        )

    answer = ask("slow")
    assert answer.status_code == 400
    assert "not compiled within 0.2 s; simplify it" in answer.json()["error"]["message"]
    free = client.post("/v1/completions", json={"prompt": "x", "max_tokens": 1})
    assert free.status_code == 200  # what needs no compiling goes on
    release.set()
    for _ in range(200):
        if ask("ab").status_code == 200:
            break
    else:
        pytest.fail("the place of the slow one was not given back")


def test_busy_engines_are_429_with_retry_after(client, app, monkeypatch):
    def busy(*_args, **_more):
        raise Busy("too many requests wait", 7)

    monkeypatch.setattr(app.state.service.engine, "submit", busy)
    answer = client.post("/v1/completions", json={"prompt": "x", "stream": True})
    assert answer.status_code == 429 and answer.headers["retry-after"] == "7"
    assert answer.json()["error"]["type"] == "rate_limit_error"


# -- the page --------------------------------------------------------------------------------------


def test_the_page_and_its_parts(client):
    page = client.get("/")
    assert page.status_code == 200 and page.headers["content-type"].startswith("text/html")
    for name in re.findall(r'(?:src|href)="(/page/[^"]+)"', page.text):
        part = client.get(name)
        assert part.status_code == 200 and part.headers["cache-control"] == "no-cache"
    assert client.get("/page-data").json()["model"] == "tiny"
    assert client.get("/page/../app.py").status_code == 404
    assert client.get("/page/index.html").status_code == 404


def test_the_page_needs_nothing_its_policy_forbids(client):
    """No inline script or style, no markup made from text, every id that is used is there."""
    html = client.get("/").text
    names = ("page", "api", "decode", "drawing", "runs")
    script = "".join(client.get(f"/page/{name}.js").text for name in names)
    assert not re.search(r"<script(?![^>]*src=)|style=|\son\w+=", html)
    assert not re.search(r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|eval\(", script)
    ids = set(re.findall(r'id="([^"]+)"', html))
    assert set(re.findall(r'\$\("([^"]+)"\)', script)) <= ids
    imported = set(re.findall(r'import .* from "([^"]+)"', script))
    assert imported == {f"/page/{name}.js" for name in names[1:]}
    folder = Path(create_app.__code__.co_filename).parent / "page"
    served = {"index.html", "page.css", *(f"{name}.js" for name in names)}
    assert {file.name for file in folder.iterdir()} == served


@pytest.mark.parametrize("prompt", [r"\ud800", r"\uDC00x", r"\ud83d"])
def test_half_a_surrogate_pair_is_refused(client, prompt):
    body = f'{{"prompt":"{prompt}","max_tokens":2}}'.encode()
    answer = client.post(
        "/v1/completions", content=body, headers={"content-type": "application/json"}
    )
    assert answer.status_code == 400
    assert "half a surrogate pair; write whole" in answer.json()["error"]["message"]
    whole = body.replace(prompt.encode(), rb"\ud83d\ude00")
    assert client.post(
        "/v1/completions", content=whole, headers={"content-type": "application/json"}
    ).is_success
