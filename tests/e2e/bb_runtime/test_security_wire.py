"""Requests as bytes, to the server as it runs: what two readers could read differently is refused.

One request is one request: what a body holds is never answered as a request of its own.
"""

from __future__ import annotations

import importlib.util
import json
import socket
import threading
from contextlib import nullcontext
from pathlib import Path

import pytest

import bb_runtime.http.serve as serve
from bb_core.store import Store
from bb_domains.domain import load_domain
from bb_runtime.http.app import create_app
from bb_runtime.http.keys import Key, Keys, key_hash
from bb_runtime.http.limits import ServerLimits
from bb_runtime.http.planning import Planner

HERE = Path(__file__).parent
KEY = "bb-wire"
PLAN = [{"id": "a", "tool": "login", "args": {}}]
BODY = json.dumps({"plan": PLAN, "run": True}).encode()
INNER = (
    b"POST /v1/plans HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
    b"Authorization: Bearer bb-wire\r\nContent-Length: %d\r\n\r\n%s" % (len(BODY), BODY)
)
LAST = b"GET /ready HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"


def made_engine():
    spec = importlib.util.spec_from_file_location("bb_e2e_served", HERE / "served_shop.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.make_engine(), module.SHOP


class Service:
    """What stands behind the tools; counts."""

    def __init__(self):
        self.calls = []

    def call(self, tool, args, idempotency_key=None):
        self.calls.append(tool)
        return {"ok": True}


class Server:
    """The server in a thread."""

    def __init__(self, folder):
        engine, shop = made_engine()
        self.service, started = Service(), threading.Event()
        planner = Planner(
            engine, [load_domain(shop)], folder / "plans.ledger",
            opened=lambda _: nullcontext(self.service),
        )  # fmt: skip
        key = Key(name="wire", sha256=key_hash(KEY), domains=("shop",), run=True)
        limits = ServerLimits(max_body_bytes=20_000, max_new_tokens=64, body_timeout_s=2,
                              hosts=("localhost",), drain_s=1)  # fmt: skip
        app = create_app(
            engine, limits, planner=planner, keys=Keys({key.sha256: key}),
            feedback=Store(folder / "store"),
        )  # fmt: skip
        outer = self

        class Kept(serve._Server):
            async def startup(self, sockets=None):
                await super().startup(sockets)
                outer.server, outer.address = self, sockets[0].getsockname()
                started.set()

        self._kept, serve._Server = serve._Server, Kept
        self.thread = threading.Thread(target=serve.serve_app, args=(app, "x", ("127.0.0.1", 0)))
        self.thread.start()
        assert started.wait(60)

    def close(self):
        serve._Server = self._kept
        self.server.should_exit = True
        self.thread.join(30)

    def send(self, content):
        """The answers to some bytes, as (status, body) pairs.

        A last request asks to close the connection; its answer is not among them.
        """
        received = b""
        with socket.create_connection(self.address, 10) as connection:
            try:
                connection.sendall(content + LAST)
                while part := connection.recv(65536):
                    received += part
            except (ConnectionResetError, BrokenPipeError):
                pass
        found = list(answers(received))
        is_last = bool(found) and found[-1] == (200, b'{"status":"ready"}')
        return found[:-1] if is_last else found


def answers(received):
    """The answers in what was received."""
    while received:
        head, _, rest = received.partition(b"\r\n\r\n")
        lines = head.split(b"\r\n")
        headers = {k.lower(): v.strip() for k, _, v in (line.partition(b":") for line in lines[1:])}
        assert lines[0].startswith(b"HTTP/1.1 "), received
        size = int(headers.get(b"content-length", len(rest)))
        yield int(lines[0].split()[1]), rest[:size]
        received = rest[size:]


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    made = Server(tmp_path_factory.mktemp("wire"))
    yield made
    made.close()


@pytest.fixture
def called(server):
    server.service.calls.clear()
    return server.service.calls


def request(*headers, body=BODY, line=b"POST /v1/plans HTTP/1.1"):
    fixed = (
        b"Host: localhost",
        b"Content-Type: application/json",
        b"Authorization: Bearer bb-wire",
    )
    return b"\r\n".join([line, *fixed, *headers, b"", body])


def test_the_request_itself_runs(server, called):
    ((status, body),) = server.send(request(b"Content-Length: %d" % len(BODY)))
    assert status == 200 and json.loads(body)["status"] == "done" and called == ["login"]
    chunks = b"%x\r\n%s\r\n0\r\n\r\n" % (len(BODY), BODY)
    ((status, _),) = server.send(request(b"Transfer-Encoding: chunked", body=chunks))
    assert status == 200 and len(called) == 2


CHUNKED = b"0\r\n\r\n" + INNER
LENGTH = b"Content-Length: %d" % len(CHUNKED)
AMBIGUOUS = {
    "both lengths": request(LENGTH, b"Transfer-Encoding: chunked", body=CHUNKED),
    "both, the other way": request(b"Transfer-Encoding: chunked", LENGTH, body=CHUNKED),
    "two lengths": request(b"Content-Length: 0", LENGTH, body=CHUNKED),
    "a list of lengths": request(b"Content-Length: 0, 5", body=INNER),
    "a negative length": request(b"Content-Length: -1", body=INNER),
    "a length with a sign": request(b"Content-Length: +0", body=INNER),
    "a length in hex": request(b"Content-Length: 0x0", body=INNER),
    "a length in words": request(b"Content-Length: none", body=INNER),
    "a length in other digits": request("Content-Length: ０".encode(), body=INNER),
    "a long length": request(b"Content-Length: " + b"9" * 5000, body=INNER),
    "an encoding twice": request(b"Transfer-Encoding: chunked, chunked", body=CHUNKED),
    "two encodings": request(
        b"Transfer-Encoding: identity", b"Transfer-Encoding: chunked", body=CHUNKED
    ),
    "another encoding": request(b"Transfer-Encoding: gzip, chunked", body=CHUNKED),
    "an encoding with a tail": request(b"Transfer-Encoding: chunked;x", body=CHUNKED),
    "a quoted encoding": request(b'Transfer-Encoding: "chunked"', body=CHUNKED),
    "an encoding with a tab": request(b"Transfer-Encoding: \x0bchunked", body=CHUNKED),
    "a space before the colon": request(b"Content-Length : 0", body=INNER),
    "a NUL in a header": request(b"X: a\x00b", b"Content-Length: 0"),
    "a line end in a name": request(b"X\rY: b", b"Content-Length: 0"),
    "a broken chunk": request(b"Transfer-Encoding: chunked", body=b"zz\r\n" + INNER),
    "a negative chunk": request(b"Transfer-Encoding: chunked", body=b"-5\r\nhello\r\n0\r\n\r\n"),
    "a huge chunk": request(b"Transfer-Encoding: chunked", body=b"f" * 40 + b"\r\n" + INNER),
    "no version": request(line=b"POST /v1/plans"),
    "two hosts": request(b"Host: evil.example", b"Content-Length: %d" % len(BODY)),
}


@pytest.mark.parametrize("name", AMBIGUOUS)
def test_ambiguous_requests_are_refused(server, called, name):
    found = server.send(AMBIGUOUS[name])
    assert all(400 <= status < 500 for status, _ in found), found
    assert len(found) <= 1 and called == []


OTHER_HOSTS = [
    b"evil.example", b"", b"localhost@evil.example", b"localhost.evil.example", b"LOCALHOST.",
    b"evil.example:8080", b"localhost, evil.example", b"127.0.0.1.nip.example",
]  # fmt: skip


@pytest.mark.parametrize("host", OTHER_HOSTS)
def test_other_hosts_are_refused(server, called, host):
    sent = request(b"Content-Length: %d" % len(BODY)).replace(b"Host: localhost", b"Host: " + host)
    found = server.send(sent)
    assert [status for status, _ in found] == [400] and called == []


def test_a_length_in_two_ways_ends_the_connection(server, called):
    """Else what one reader takes for the body is a request to the other."""
    for name in ("both lengths", "both, the other way"):
        ((status, body),) = server.send(AMBIGUOUS[name])
        assert status == 400 and b"ambiguous_length" in body and called == []


def test_made_up_methods_are_not_counted_one_by_one(server, called):
    for i in range(3):
        server.send(request(b"Content-Length: 0", line=b"CANARY%d /metrics HTTP/1.1" % i, body=b""))
    ((_, counted),) = server.send(request(line=b"GET /metrics HTTP/1.1", body=b""))
    assert b'method="(other)"' in counted and b"CANARY" not in counted


def test_what_a_body_holds_is_no_request(server, called):
    """A refused body, and one of a request without a body, end the connection or are skipped."""
    for sent in (
        request(b"Content-Length: %d" % len(INNER), body=INNER),
        request(b"Content-Length: %d" % len(INNER), body=INNER, line=b"GET /health HTTP/1.1"),
        request(b"Content-Length: %d" % (len(INNER) + 30_000), body=INNER),
        request(b"Content-Length: %d" % len(INNER), body=INNER, line=b"POST /nowhere HTTP/1.1"),
    ):
        found = server.send(sent)
        assert len(found) <= 1 and called == [], found


@pytest.mark.parametrize(
    "line",
    [
        b"POST http://evil.example/v1/plans HTTP/1.1", b"POST //v1/plans HTTP/1.1",
        b"POST /v1/../v1/plans HTTP/1.1", b"POST /v1%252fplans HTTP/1.1",
        b"POST /v1/plans%00 HTTP/1.1", b"POST /V1/PLANS HTTP/1.1", b"POST /v1/plans/ HTTP/1.1",
        b"POST /v1/plans;x HTTP/1.1", b"post /v1/plans HTTP/1.1",
        b"GET /v1/plans/../plans HTTP/1.1", b"CONNECT evil.example:80 HTTP/1.1",
        b"TRACE /v1/plans HTTP/1.1",
        b"POST * HTTP/1.1", b"PUT /v1/plans HTTP/1.1",
    ],
)  # fmt: skip
def test_other_spellings_of_a_path_run_nothing(server, called, line):
    found = server.send(request(b"Content-Length: %d" % len(BODY), line=line))
    assert all(300 <= status < 500 for status, _ in found), found
    assert called == []


def test_a_method_in_a_header_is_none(server, called):
    for name in (b"X-HTTP-Method-Override", b"X-HTTP-Method", b"X-Method-Override"):
        sent = request(name + b": POST", b"Content-Length: %d" % len(BODY),
                       line=b"GET /v1/plans HTTP/1.1")  # fmt: skip
        ((status, body),) = server.send(sent)
        assert status == 200 and b'"data"' in body and called == []


def test_huge_headers_and_paths_are_refused(server, called):
    big = b"x" * 200_000
    for sent in (
        request(b"X: " + big, b"Content-Length: %d" % len(BODY)),
        request(big + b": x", b"Content-Length: %d" % len(BODY)),
        request(*[b"X-%d: y" % i for i in range(20_000)], b"Content-Length: %d" % len(BODY)),
        request(b"Content-Length: %d" % len(BODY), line=b"POST /v1/plans?" + big + b" HTTP/1.1"),
    ):
        assert [status for status, _ in server.send(sent)] in ([400], [431], [414], [])
    assert called == []


def test_two_requests_one_after_the_other_are_two(server, called):
    """Pipelining is no smuggling: each is checked by itself, and each needs its key."""
    second = INNER.replace(b"Bearer bb-wire", b"Bearer bb-none")
    first = request(b"Content-Length: 0", line=b"GET /health HTTP/1.1", body=b"")
    assert [status for status, _ in server.send(first + second)] == [200, 401]
    assert called == []


def test_two_keys_are_none(server, called):
    """The first that is named is the one that counts, wherever the other stands."""
    for sent in (
        request(b"Content-Length: %d" % len(BODY)).replace(
            b"Authorization: Bearer bb-wire",
            b"Authorization: Bearer bb-none\r\nAuthorization: Bearer bb-wire",
        ),
        request(b"Content-Length: %d" % len(BODY)).replace(
            b"Bearer bb-wire", b"Bearer bb-none, Bearer bb-wire"
        ),
    ):
        assert [status for status, _ in server.send(sent)] == [401]
    assert called == []


def test_the_server_is_well_afterwards(server):
    ((status, body),) = server.send(request(line=b"GET /health HTTP/1.1", body=b""))
    assert status == 200 and json.loads(body)["status"] == "ok"
