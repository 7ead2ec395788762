"""Plans against the running demonstration service: checked, executed, logged, visible there."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import httpx
import pytest

from bb_core.files import write_atomic
from bb_core.plan import parse_plan, plan_text
from bb_domains.api_json.credentials import PASSWORD_VARIABLE, USER_VARIABLE, new_credentials
from bb_domains.api_json.demo import running_demo
from bb_domains.api_json.workflows import plan_for
from bb_domains.domain import make_domain
from bb_domains.schema import schema_yaml
from bb_domains.wordings import Goal
from bb_runtime.check import check_plan
from bb_runtime.execute import execute
from bem_kernel.ledger.chain import Ledger, read_entries, verify


@pytest.fixture(scope="module")
def credentials():
    return new_credentials()


@pytest.fixture(scope="module")
def demo(tmp_path_factory, credentials):
    path = tmp_path_factory.mktemp("service") / "service.db"
    with running_demo(path, seed=3, credentials=credentials) as demo:
        yield demo


@pytest.fixture(scope="module")
def domain(demo):
    return make_domain(demo.schema)


@pytest.fixture
def refundable(demo):
    """Orders that may still be refunded, each with its owner's address."""
    emails = {customer["id"]: customer["email"] for customer in demo.auditor.customers()}
    return [
        (order, emails[order["customer_id"]])
        for order in demo.auditor.orders()
        if order["status"] not in ("cancelled", "delivered") and order["refunded"] is None
    ]


def refund(order, email, amount):
    slots = {"number": order["number"], "email": email, "amount": amount, "reason": "late"}
    return plan_for([Goal("refund", slots)])


def refunded(demo, order):
    numbers = {found["number"]: found["refunded"] for found in demo.auditor.orders()}
    return numbers[order["number"]]


def test_a_refund_changes_the_service_and_is_in_the_chain(demo, domain, refundable, tmp_path):
    order, email = refundable[0]
    plan = refund(order, email, 0.5)
    with Ledger(tmp_path / "x.ledger") as ledger:
        done = execute(domain, plan, check_plan(domain, plan), demo.adapters, ledger)
    assert done.status == "done", done.reason
    assert refunded(demo, order) is not None
    checked = verify(tmp_path / "x.ledger", done.head)
    assert checked.ok
    text = (tmp_path / "x.ledger").read_text()
    assert email not in text and email.split("@")[0] not in text


def test_a_guard_holds_back_a_refund_above_the_total(demo, domain, refundable, tmp_path):
    order, email = min(refundable[1:], key=lambda pair: pair[0]["total"])
    plan = refund(order, email, 500)
    with Ledger(tmp_path / "x.ledger") as ledger:
        done = execute(domain, plan, check_plan(domain, plan), demo.adapters, ledger)
    assert done.status == "failed" and "guard of refund_order is broken" in done.reason
    assert refunded(demo, order) is None
    assert [e["tool"] for e in read_entries(tmp_path / "x.ledger") if e["event"] == "call"] == [
        "login",
        "get_order",
        "confirm_owner",
    ]


def test_the_services_own_refusal_stops_the_plan(demo, domain, refundable, tmp_path):
    order, _ = refundable[2]
    plan = refund(order, "nobody@example.com", 0.5)
    with Ledger(tmp_path / "x.ledger") as ledger:
        done = execute(domain, plan, check_plan(domain, plan), demo.adapters, ledger)
    assert done.status == "failed" and done.step == "c" and done.reason
    assert not done.outcomes[-1].in_doubt
    assert refunded(demo, order) is None


@pytest.fixture
def environment(credentials):
    return os.environ | {
        USER_VARIABLE: credentials.username,
        PASSWORD_VARIABLE: credentials.password,
    }


PLAN = """
from bb_core.cli import run_app
from bb_runtime.plan_cli import app
run_app(app, "bb plan")
"""


def bb_plan(*args: object, env: dict[str, str]) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-c", PLAN, *map(str, args)]
    return subprocess.run(command, capture_output=True, text=True, env=env, check=False)


def test_the_command_runs_a_plan_from_a_domain_folder(
    demo, domain, refundable, environment, tmp_path
):
    order, email = refundable[3]
    folder, log, plan = tmp_path / "domain", tmp_path / "x.ledger", tmp_path / "plan.json"
    folder.mkdir()
    write_atomic(folder / "plan_schema.yaml", schema_yaml(domain.schema))
    write_atomic(plan, plan_text(refund(order, email, 0.25)))
    done = bb_plan("run", plan, "--domain", folder, "--log", log, "--json", env=environment)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["status"] == "done"
    assert refunded(demo, order) is not None
    again = bb_plan("run", plan, "--domain", folder, "--log", log, env=environment)
    assert again.returncode == 1 and "failed at step d" in again.stdout
    assert verify(log).ok and len([e for e in read_entries(log) if e["event"] == "end"]) == 2


def test_without_credentials_nothing_is_called(domain, refundable, tmp_path):
    order, email = refundable[4]
    folder, log, plan = tmp_path / "domain", tmp_path / "x.ledger", tmp_path / "plan.json"
    folder.mkdir()
    write_atomic(folder / "plan_schema.yaml", schema_yaml(domain.schema))
    write_atomic(plan, plan_text(refund(order, email, 0.25)))
    bare = {k: v for k, v in os.environ.items() if k not in (USER_VARIABLE, PASSWORD_VARIABLE)}
    done = bb_plan("run", plan, "--domain", folder, "--log", log, env=bare)
    assert done.returncode == 1 and "is not set" in done.stdout
    assert "Traceback" not in done.stderr


SERVE = """
from bb_core.cli import run_app
from bb_runtime.serve_cli import app
run_app(app, "bb serve")
"""


@pytest.mark.slow
def test_the_server_answers_and_stops_on_interrupt(tmp_path):
    """With the embedded base rail; skipped where a checkout does not carry it."""
    from bb_nn.base import EMBEDDED

    if not (EMBEDDED / "model.safetensors").exists():
        pytest.skip("no embedded base rail")
    server = subprocess.Popen(
        [sys.executable, "-c", SERVE, "--port", "0", "--max-new-tokens", "256"],
        stderr=subprocess.PIPE,
        text=True,
        cwd=tmp_path,
        env=os.environ | {"PYTHONPATH": str(Path(__file__).parents[3]), "OMP_NUM_THREADS": "1"},
    )
    try:
        assert server.stderr is not None
        url = next(line for line in server.stderr if "http://" in line).split()[-1]
        with httpx.Client(base_url=url, trust_env=False, timeout=120) as client:
            assert client.get("/health").json()["plans"] is True
            found = client.post("/v1/plans", json={"request": "Where is order 1042?"}).json()
            assert parse_plan(found["text"]).steps[0].tool == "login"
        server.send_signal(signal.SIGINT)
        started_s = time.monotonic()
        assert server.wait(timeout=60) == 130
        assert time.monotonic() - started_s < 60
    finally:
        server.kill()
        server.wait()
        if server.stderr is not None:
            server.stderr.close()
