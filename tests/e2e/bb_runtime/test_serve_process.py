"""The server as a process: it drains on SIGTERM, and what it ran survives `kill -9`."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import httpx
import pytest

from bb_domains.domain import load_domain
from bb_runtime.execute import resume
from bem_kernel.ledger.chain import Ledger, read_entries, verify

ROOT = Path(__file__).parents[3]
SHOP = ROOT / "tests" / "unit" / "bb_runtime" / "shop"
STEPS = [
    {"id": "a", "tool": "login", "args": {}},
    {"id": "b", "tool": "get_order", "args": {"number": 1042}},
    {"id": "c", "tool": "confirm_owner", "args": {"order": "$b.id", "email": "ana@example.com"}},
    {
        "id": "d",
        "tool": "refund_order",
        "args": {"order": "$b.id", "amount": 12.07, "reason": "late"},
    },
]
RUN = {"plan": STEPS, "run": True, "background": True}
WAIT_S = 60

pytestmark = pytest.mark.slow


class Served:
    """A server process, its address, its client and its log lines."""

    def __init__(self, folder):
        self.process = subprocess.Popen(
            [sys.executable, str(Path(__file__).parent / "served_shop.py")],
            stderr=subprocess.PIPE, text=True, cwd=folder,
            env=os.environ | {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"},
        )  # fmt: skip
        self.lines, url, ready = [], [], threading.Event()

        def read():
            for line in self.process.stderr:
                self.lines.append(line)
                if not url and "http://" in line:
                    url.append(line.split()[-1])
                    ready.set()
            ready.set()

        self.reader = threading.Thread(target=read)
        self.reader.start()
        assert ready.wait(WAIT_S) and url, self.lines
        self.client = httpx.Client(base_url=url[0], trust_env=False, timeout=WAIT_S)

    def end(self, sig):
        """Send a signal, and wait until nothing is left of the process."""
        if self.process.poll() is None:
            self.process.send_signal(sig)
        self.process.wait(WAIT_S)
        self.reader.join(WAIT_S)
        self.process.stderr.close()
        self.client.close()


@pytest.fixture
def serve(tmp_path):
    servers = []

    def start():
        servers.append(Served(tmp_path))
        return servers[-1]

    yield start
    for server in servers:
        server.end(signal.SIGKILL)


def until(condition):
    until_s = time.monotonic() + WAIT_S
    while not condition():
        assert time.monotonic() < until_s
        threading.Event().wait(0.01)


def calls(folder):
    file = folder / "calls"
    return file.read_text().split() if file.exists() else []


def test_sigterm_lets_streams_and_runs_end(serve, tmp_path):
    server = serve()
    assert server.client.post("/v1/plans", json=RUN).status_code == 202
    until(lambda: "get_order" in calls(tmp_path))
    body = {"prompt": "x", "max_tokens": 300, "stream": True}
    with server.client.stream("POST", "/v1/completions", json=body) as answer:
        lines = answer.iter_lines()
        told = [next(lines)]
        server.process.send_signal(signal.SIGTERM)
        (tmp_path / "go").touch()
        told += lines
    assert [line for line in told if line][-1] == "data: [DONE]"
    server.end(signal.SIGTERM)
    entries = read_entries(tmp_path / "plans.ledger")
    assert [entry["status"] for entry in entries if entry["event"] == "end"] == ["done"]
    logged = [json.loads(line) for line in server.lines if line.startswith("{")]
    assert {"/v1/plans", "/v1/completions"} <= {line.get("route") for line in logged}
    assert "ana@example.com" not in "".join(server.lines)


def test_a_run_that_was_killed_is_in_the_log_and_goes_on_once(serve, tmp_path):
    server = serve()
    server.client.post("/v1/plans", json=RUN)
    until(lambda: "get_order" in calls(tmp_path))
    server.end(signal.SIGKILL)
    assert verify(tmp_path / "plans.ledger").ok
    again = serve()
    (view,) = again.client.get("/v1/plans").json()["data"]
    assert view["status"] == "interrupted"
    assert [step["status"] for step in view["steps"][:2]] == ["ok", "called"]
    assert again.client.get(f"/v1/plans/{view['run']}").json() == view
    again.end(signal.SIGKILL)
    called = []

    class Service:
        def call(self, tool, args, idempotency_key=None):
            called.append(tool)
            if tool == "get_order":
                return {"id": "o1042", "total": 100.0, "email": "ana@example.com"}
            return {"ok": True}

    with Ledger(tmp_path / "plans.ledger") as ledger:
        done = resume(load_domain(SHOP), "", Service(), ledger)
    assert done.status == "done" and called.count("refund_order") == 1
