"""A server that warms up: what the first plan needs is there before it says that it is ready."""

from __future__ import annotations

import logging
import subprocess
import sys
import threading
from contextlib import contextmanager
from pathlib import Path

import pytest
from fastapi.testclient import TestClient

from bb_runtime.engine import Engine
from bb_runtime.http.app import create_app
from bb_runtime.http.limits import ServerLimits
from bb_runtime.http.planning import Planner

SHOP = Path(__file__).parent / "shop"
# In a process of its own: kernels that others have called are compiled already.
COMPILES_NOTHING_MORE = """
import sys
from pathlib import Path
from bb_core.plan import parse_plan
from bb_domains.domain import load_domain
from bb_runtime.check import check_plan
from bb_runtime.execute import execute
from bb_runtime.warm_up import certify_and_run
from bem_kernel.compiled import KERNELS
from bem_kernel.ledger.chain import Ledger

def called():
    return {kernel.name for kernel in KERNELS if kernel.function.overloads}

class Service:
    def call(self, tool, args, idempotency_key=None):
        return {"id": "o1", "total": 100, "email": "ana@example.com"}

before = called()
certify_and_run()
warm = called()
shop, plan = load_domain(sys.argv[1]), parse_plan(sys.argv[2])
with Ledger(Path(sys.argv[3])) as ledger:
    done = execute(shop, plan, check_plan(shop, plan), Service(), ledger)
assert done.status == "done", done
assert len(warm) > len(before) and called() == warm, called() - warm
"""


@pytest.fixture
def make_app(model, tokenizer, shop, service, tmp_path):
    @contextmanager
    def opened(_domain):
        yield service

    def make(max_new_tokens):
        engine = Engine(model, tokenizer, "tiny")
        planner = Planner(engine, [shop], tmp_path / "plans.ledger", opened=opened)
        limits = ServerLimits(max_new_tokens=max_new_tokens, hosts=("testserver",))
        return create_app(engine, limits, planner=planner, warms=True)

    return make


def wait_until_ready(client):
    for _ in range(6000):
        answer = client.get("/ready")
        if answer.status_code == 200:
            return
        assert answer.json() == {"status": "warming up"}
        threading.Event().wait(0.01)
    raise AssertionError(answer.json())


def test_a_server_is_ready_when_it_is_warm(make_app, service, tmp_path, caplog):
    app = make_app(160)
    with caplog.at_level(logging.INFO, "bb_runtime"):
        lock = app.state.service.engine.lock
        with lock, TestClient(app) as client:
            assert client.get("/ready").status_code == 503
            assert client.get("/ready").json() == {"status": "warming up"}
            assert client.get("/health").status_code == 200
            lock.release()
            wait_until_ready(client)
            lock.acquire()
            assert client.get("/v1/plans").json()["data"] == []
    (told,) = [record for record in caplog.records if record.getMessage() == "warmed up"]
    assert told.data["domains"] == ["shop"] and told.data["seconds"] > 0
    assert service.calls == [] and not (tmp_path / "plans.ledger").exists()


def test_a_server_that_cannot_warm_up_serves_and_says_why(make_app, caplog):
    with TestClient(make_app(8)) as client:
        wait_until_ready(client)
    assert "not warmed up: " in caplog.text and "budget" in caplog.text


@pytest.mark.slow
def test_nothing_is_left_to_compile_for_a_plan(plan_json, tmp_path):
    words = [COMPILES_NOTHING_MORE, str(SHOP), plan_json, str(tmp_path / "plans.ledger")]
    done = subprocess.run([sys.executable, "-c", *words], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
