"""`bb domain record` before the running demonstration service."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import httpx
import pytest

from bb_core.trace import load_traces
from bb_domains.api_json.demo import running_demo
from bb_domains.api_json.exploration import Explorer
from bb_domains.api_json.planner import World
from bb_domains.derive import derive
from bb_domains.domain import make_domain


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def wait_for(port: int, process: subprocess.Popen[bytes]) -> None:
    deadline_s = time.monotonic() + 30
    while time.monotonic() < deadline_s:
        assert process.poll() is None
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return
    raise AssertionError("the recorder does not listen")


@pytest.mark.slow
def test_what_users_do_is_recorded_and_teaches_the_rules(tmp_path: Path) -> None:
    out, port = tmp_path / "life.jsonl", free_port()
    bb = Path(sys.executable).with_name("bb")
    with running_demo(tmp_path / "service.db", seed=3) as demo, httpx.Client() as client:
        command = [bb, "domain", "record", "api_json", "--upstream", demo.base_url]
        process = subprocess.Popen([*command, "--out", out, "--port", str(port)])
        try:
            wait_for(port, process)
            through = f"http://127.0.0.1:{port}"
            users = Explorer(
                World.read(demo.auditor),
                lambda: replace(demo.adapters, client=client, base_url=through),
                3,
            )
            asked = list(users.explore(12))
        finally:
            process.send_signal(signal.SIGINT)
            process.wait(20)
    traces = load_traces(out)
    login = [trace for trace in traces if trace.steps[0].tool == "login"]
    assert len(login) >= 8
    calls = sum(len(trace.steps) for trace in traces)
    assert calls == sum(len(trace.steps) for trace in asked)
    text = out.read_text()
    assert "@" not in text and os.environ.get("BB_API_JSON_PASSWORD", "no password") not in text
    assert "$b.id" in text and "hmac:" in text
    assert (tmp_path / "life.jsonl.key").stat().st_mode & 0o077 == 0
    learned = make_domain(derive(traces, "learned").schema)
    assert "get_order_done(order)" in learned.schema.tools["track_shipment"].pre
