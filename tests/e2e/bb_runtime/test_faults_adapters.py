"""A service that hangs, trickles, breaks off or is late: no hang, and doubt where it is due."""

from __future__ import annotations

import json
import socket
import threading
import time
from contextlib import contextmanager

import pytest

from bb_core.plan import parse_plan
from bb_domains.domain import make_domain
from bb_domains.kit import open_adapters
from bb_domains.schema import parse_schema
from bb_runtime.check import check_plan
from bb_runtime.execute import execute, resume
from bem_kernel.ledger.chain import Ledger, read_entries, verify

TIMEOUT_S = 0.4
LATEST_S = 20.0  # three tries, their pauses, and a busy machine
ANSWER = b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: %d\r\n\r\n%s"


def whole(body=b'{"ok":true}'):
    return ANSWER % (len(body), body)


class Peer:
    """A service on loopback; what it does to a path is a function of the connection."""

    def __init__(self):
        self.listening = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self.listening.getsockname()[1]}"
        self.acts, self.seen, self.ended = {}, [], threading.Event()
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self):
        while True:
            try:
                connection, _ = self.listening.accept()
            except OSError:
                return
            threading.Thread(target=self._answer, args=(connection,), daemon=True).start()

    def _answer(self, connection):
        with connection:
            head = b""
            try:
                while b"\r\n\r\n" not in head:
                    more = connection.recv(65536)
                    if not more:
                        return
                    head += more
                path = head.split()[1].decode()
                keys = [line.split(b": ")[1].decode() for line in head.split(b"\r\n")
                        if line.lower().startswith(b"idempotency-key")]  # fmt: skip
                self.seen.append((path, *keys))
                self.acts.get(path, send(whole()))(connection, self.ended)
            except OSError:
                pass  # the other side has gone

    def close(self):
        self.ended.set()
        self.listening.close()


def send(*parts, every_s=0.0):
    """Send these; then close."""

    def act(connection, ended):
        for part in parts:
            connection.sendall(part)
            if every_s and ended.wait(every_s):
                return

    return act


def hang(connection, ended):
    ended.wait(60)


def trickle_body(connection, ended):
    connection.sendall(b"HTTP/1.1 200 OK\r\ncontent-length: 100000\r\n\r\n")
    while not ended.wait(0.05):
        connection.sendall(b" ")


def trickle_head(connection, ended):
    connection.sendall(b"HTTP/1.1 200 OK\r\nx: ")
    while not ended.wait(0.05):
        connection.sendall(b"y")


def late(connection, ended):
    ended.wait(3 * TIMEOUT_S)
    connection.sendall(whole())


BREAKS = {
    "hang": hang,
    "trickle_body": trickle_body,
    "trickle_head": trickle_head,
    "late": late,
    "closed at once": send(),
    "closed in its head": send(b"HTTP/1.1 200 O"),
    "closed in its body": send(whole(b'{"ok":true}')[:-4]),
    "garbage": send(b"\x16\x03\x01\x02" * 40),
    "no JSON": send(whole(b'{"ok":')),
    "deep JSON": send(whole(b"[" * 100_000)),
    "too much": send(b"HTTP/1.1 200 OK\r\n\r\n", b" " * 1_100_000),
    "moved": send(b"HTTP/1.1 303 See Other\r\nlocation: /done\r\ncontent-length: 0\r\n\r\n"),
    "broken": send(b"HTTP/1.1 500 Oh\r\ncontent-length: 0\r\n\r\n"),
}
PASSING = {"hang", "trickle_body", "trickle_head", "late", "closed at once", "closed in its head",
           "closed in its body", "garbage", "broken"}  # fmt: skip


FEW = {"trickle_head", "closed in its body", "moved"}
ALL = [how if how in FEW else pytest.param(how, marks=pytest.mark.slow) for how in BREAKS]


@pytest.fixture
def peer():
    peer = Peer()
    yield peer
    peer.close()


@pytest.fixture
def domain(peer):
    def tool(method, path, **more):
        operation = {"method": method, "path": path}
        return {"operation": operation, "timeout_s": TIMEOUT_S, "retries": 1, **more}

    return make_domain(
        parse_schema(
            {
                "domain": "peer",
                "service": {"base_url": peer.url, "hosts": ["127.0.0.1"]},
                "tools": {
                    "look": tool("GET", "/look", effect="read"),
                    "pay": tool("POST", "/pay", effect="write"),
                    "pay_once": tool("POST", "/once", effect="write", idempotent=True),
                },
            }
        )
    )


@contextmanager
def in_time():
    start_s = time.monotonic()
    yield
    assert time.monotonic() - start_s < LATEST_S


def run(domain, log, *tools):
    steps = [{"id": "abc"[i], "tool": tool, "args": {}} for i, tool in enumerate(tools)]
    plan = parse_plan(json.dumps({"plan": steps}))
    with in_time(), Ledger(log) as ledger, open_adapters(domain) as adapters:
        return execute(domain, plan, check_plan(domain, plan), adapters, ledger)


@pytest.mark.parametrize("how", ALL)
def test_a_write_that_breaks_off_is_in_doubt_and_never_repeated(peer, domain, tmp_path, how):
    peer.acts["/pay"] = BREAKS[how]
    log = tmp_path / "x.ledger"
    done = run(domain, log, "look", "pay", "look")
    assert (done.status, done.step) == ("in_doubt", "b"), done.reason
    assert [path for path, *_ in peer.seen] == ["/look", "/pay"]
    del peer.acts["/pay"]
    with in_time(), Ledger(log) as ledger, open_adapters(domain) as adapters:
        assert resume(domain, "", adapters, ledger).status == "in_doubt"
        assert resume(domain, "", adapters, ledger, words={"b": True}).status == "done"
    assert [path for path, *_ in peer.seen].count("/pay") == 1
    assert verify(log).ok


@pytest.mark.parametrize("how", ALL)
def test_a_write_with_a_key_is_repeated_under_it(peer, domain, tmp_path, how):
    peer.acts["/once"] = BREAKS[how]
    done = run(domain, tmp_path / "x.ledger", "pay_once")
    assert done.status == "in_doubt"
    assert len(peer.seen) == (2 if how in PASSING else 1) and len(set(peer.seen)) == 1
    del peer.acts["/once"]
    with Ledger(tmp_path / "x.ledger") as ledger, open_adapters(domain) as adapters:
        assert resume(domain, "", adapters, ledger).status == "done"
    assert len(set(peer.seen)) == 1


@pytest.mark.parametrize("how", ALL)
def test_a_read_that_breaks_off_fails(peer, domain, tmp_path, how):
    peer.acts["/look"] = BREAKS[how]
    done = run(domain, tmp_path / "x.ledger", "look", "pay")
    assert (done.status, done.step, done.rule) == ("failed", "a", "tool")
    assert not any(path == "/pay" for path, *_ in peer.seen)


def test_a_late_answer_changes_nothing_any_more(peer, domain, tmp_path):
    """The answer is there before the run is looked at again; the doubt stays."""
    peer.acts["/pay"] = late
    log = tmp_path / "x.ledger"
    assert run(domain, log, "pay").status == "in_doubt"
    ends = [entry for entry in read_entries(log) if entry["event"] == "result"]
    assert [entry["in_doubt"] for entry in ends] == [True]
