"""`bb serve` is killed at random while it runs plans against the demonstration service.

The service's own books are the oracle: whatever was killed when, each voucher that a plan asked for
is there once in the end, and until somebody was asked none was there twice.
"""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path
from random import Random

import httpx
import pytest

from bb_core.files import write_atomic
from bb_domains.api_json.credentials import PASSWORD_VARIABLE, USER_VARIABLE, new_credentials
from bb_domains.api_json.demo import running_demo
from bb_domains.domain import make_domain
from bb_domains.schema import parse_schema, schema_data, schema_yaml
from bem_kernel.ledger.chain import verify

ROOT = Path(__file__).parents[3]
SERVE = """
from bb_core.cli import run_app
from bb_runtime.serve_cli import app
run_app(app, "bb serve")
"""
WAIT_S = 120
KILLS = 21
PLANS = 3  # sent before each kill

pytestmark = pytest.mark.slow


class Server:
    """A process of `bb serve`, and its client."""

    def __init__(self, folder, env, *options):
        command = [sys.executable, "-c", SERVE, "--domain", folder / "domain", "--work",
                   folder / "work", "--port", "0", "--allow-run", *options]  # fmt: skip
        self.process = subprocess.Popen(
            [*map(str, command)], stderr=subprocess.PIPE, text=True, env=env
        )
        self.lines, found, ready = [], [], threading.Event()

        def read():
            for line in self.process.stderr:
                self.lines.append(line)
                if not found and " on http://" in line:
                    found.append(line.split()[-1])
                    ready.set()
            ready.set()

        self._reader = threading.Thread(target=read)
        self._reader.start()
        assert ready.wait(WAIT_S) and found, self.lines
        self.client = httpx.Client(base_url=found[0], trust_env=False, timeout=WAIT_S)
        until(lambda: self.client.get("/ready").is_success)

    def kill(self):
        self.process.send_signal(signal.SIGKILL)
        self.process.wait(WAIT_S)
        self._reader.join(WAIT_S)
        self.process.stderr.close()
        self.client.close()

    def runs(self):
        """Runs in the log, by identifier."""
        return {view["run"]: view for view in self.client.get("/v1/plans").json()["data"]}


def until(condition):
    until_s = time.monotonic() + WAIT_S
    while not condition():
        assert time.monotonic() < until_s
        threading.Event().wait(0.02)


def with_a_tool_without_key(schema):
    """The service's domain, and once more its voucher as a tool that honours no key."""
    data = schema_data(make_domain(schema).schema)
    voucher = data["tools"]["issue_voucher"]
    assert voucher["idempotent"]
    data["tools"]["give_voucher"] = voucher | {"idempotent": False}
    return parse_schema(data)


def amount_of(number):
    return round(1.01 + number / 100, 2)


def plan(number, with_key, without):
    """A voucher for each of two customers; its cents tell the plans apart."""
    amount = amount_of(number)
    steps = [
        ("login", {}),
        ("find_customer", {"email": with_key["email"]}),
        ("issue_voucher", {"customer": "$b.id", "amount": amount}),
        ("find_customer", {"email": without["email"]}),
        ("give_voucher", {"customer": "$d.id", "amount": amount}),
    ]
    return [{"id": "abcde"[i], "tool": tool, "args": args} for i, (tool, args) in enumerate(steps)]


class Books:
    """What the service has on its books of the customers of each plan."""

    def __init__(self, demo):
        self._auditor, customers = demo.auditor, demo.auditor.customers()
        self.pairs = list(zip(customers[::2], customers[1::2], strict=False))

    def vouchers(self, number):
        """How many of a plan's vouchers each of its two customers has."""
        ids = [customer["id"] for customer in self.pairs[number]]
        state = self._auditor.state([], ids)["customers"]
        amount = amount_of(number)
        return [state[name]["vouchers"].count(amount) for name in ids]


def number_of(view):
    """The number of a run's plan."""
    return round((view["steps"][2]["args"]["amount"] - 1.01) * 100)


def is_over(view):
    """Whether a run is done, or was killed between log and journal, before it called anything."""
    return view["status"] == "done" or view["reason"].endswith("before any call")


def go_on(server, books, chance, asked):
    """Let stopped runs go on: unasked first; then with what the books say of a doubt."""
    for run, view in server.runs().items():
        if view["status"] == "running" or is_over(view):
            continue
        body = {"background": chance.random() < 0.5}
        if view["status"] == "in_doubt":
            happened = books.vouchers(number_of(view))[1] == 1
            body |= {"happened": {"e": True}} if happened else {"not_happened": ["e"]}
            asked.append(happened)
        answer = server.client.post(f"/v1/plans/{run}/resume", json=body)
        assert answer.status_code in (200, 202, 409), answer.text


def check(books, sent, views):
    """Nothing twice; nothing that is not in the log; what ended well is there."""
    known = {number_of(view): view for view in views.values()}
    for number in range(sent):
        counts = books.vouchers(number)
        assert max(counts) <= 1, (number, counts)
        view = known.get(number)
        if view is None or is_over(view):
            wanted = [1, 1] if view is not None and view["status"] == "done" else [0, 0]
            assert counts == wanted, number


def test_a_killed_server_loses_nothing_and_repeats_nothing(tmp_path):
    chance, credentials = Random(5), new_credentials()
    env = os.environ | {
        USER_VARIABLE: credentials.username, PASSWORD_VARIABLE: credentials.password,
        "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1",
    }  # fmt: skip
    log = tmp_path / "work" / "logs" / "plans.ledger"
    sent, interrupted, asked = 0, 0, list[bool]()
    with running_demo(tmp_path / "s.db", seed=7, credentials=credentials) as demo:
        (tmp_path / "domain").mkdir()
        schema = with_a_tool_without_key(demo.schema)
        write_atomic(tmp_path / "domain" / "plan_schema.yaml", schema_yaml(schema))
        books = Books(demo)
        for kill in range(KILLS):
            server = Server(tmp_path, env, *(["--resume"] if kill % 3 == 2 else []))
            interrupted += sum(v["status"] == "interrupted" for v in server.runs().values())
            if kill % 3 != 2:
                go_on(server, books, chance, asked)
            for _ in range(PLANS):
                body = {"plan": plan(sent, *books.pairs[sent]), "run": True, "background": True}
                assert server.client.post("/v1/plans", json=body).status_code == 202
                sent += 1
            begun = log.stat().st_size if log.exists() else 0
            until(lambda begun=begun: log.exists() and log.stat().st_size > begun)
            threading.Event().wait(chance.uniform(0.0, 0.6))
            server.kill()
            assert verify(log).ok or _is_torn(log)
        server = Server(tmp_path, env)
        check(books, sent, server.runs())
        until(lambda: _all_done(server, books, chance, asked))
        views = server.runs()
        check(books, sent, views)
        assert all(is_over(view) for view in views.values())
        server.kill()
    text = log.read_text()
    assert not re.search(r"[a-z]@[a-z]", text) and text.count('"interrupted"') >= KILLS // 4
    assert interrupted and asked, "no kill hit a run: choose other moments"


def _is_torn(log):
    """Whether the last entry was being written: the next to open the log removes it."""
    return not log.read_bytes().endswith(b"\n")


def _all_done(server, books, chance, asked):
    go_on(server, books, chance, asked)
    return all(is_over(view) for view in server.runs().values())
