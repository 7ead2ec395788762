"""The executor is killed while the demonstration service answers: one refund, whatever happens."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from bb_core.files import write_atomic
from bb_core.plan import plan_text
from bb_domains.api_json.credentials import PASSWORD_VARIABLE, USER_VARIABLE, new_credentials
from bb_domains.api_json.demo import running_demo
from bb_domains.api_json.workflows import plan_for
from bb_domains.domain import make_domain
from bb_domains.schema import schema_yaml
from bb_domains.wordings import Goal
from bb_runtime.run_status import run_views
from bem_kernel.ledger.chain import verify

# The real command, killed right before or right after the service has done a tool's work.
KILLED = """
import os, signal, sys
from bb_core.cli import run_app
from bb_domains.http_adapters import HttpAdapters
tool, when = sys.argv.pop(1), sys.argv.pop(1)
plain = HttpAdapters.call
def call(self, name, args, idempotency_key=None):
    if name == tool and when == "before":
        os.kill(os.getpid(), signal.SIGKILL)
    answer = plain(self, name, args, idempotency_key)
    if name == tool and when == "after":
        os.kill(os.getpid(), signal.SIGKILL)
    return answer
HttpAdapters.call = call
from bb_runtime.plan_cli import app
run_app(app, "bb plan")
"""


@pytest.mark.slow
def test_a_killed_command_is_resumed_and_refunds_once(tmp_path):
    credentials = new_credentials()
    env = os.environ | {
        USER_VARIABLE: credentials.username,
        PASSWORD_VARIABLE: credentials.password,
        "PYTHONPATH": str(Path(__file__).parents[3]),
        "OMP_NUM_THREADS": "1",
    }

    def bb_plan(*args):
        command = [sys.executable, "-c", KILLED, *map(str, args)]
        return subprocess.run(command, capture_output=True, text=True, env=env, check=False)

    with running_demo(tmp_path / "s.db", seed=5, credentials=credentials) as demo:
        folder = tmp_path / "domain"
        folder.mkdir()
        write_atomic(folder / "plan_schema.yaml", schema_yaml(make_domain(demo.schema).schema))
        emails = {customer["id"]: customer["email"] for customer in demo.auditor.customers()}
        orders = [
            order
            for order in demo.auditor.orders()
            if order["status"] == "placed" and order["refunded"] is None
        ]
        cases = [
            (tool, when)
            for tool in ("get_order", "confirm_owner", "refund_order")
            for when in ("before", "after")
        ]
        for (tool, when), order in zip(cases, orders, strict=False):
            email, amount = emails[order["customer_id"]], 0.25
            slots = {"number": order["number"], "email": email, "amount": amount, "reason": "late"}
            log, plan = tmp_path / f"{tool}-{when}.ledger", tmp_path / "plan.json"
            write_atomic(plan, plan_text(plan_for([Goal("refund", slots)])))
            common = ("--domain", folder, "--log", log)
            assert bb_plan(tool, when, "run", plan, *common).returncode == -9
            (view,) = run_views(log)
            assert view.status == "running"
            resumed = bb_plan("-", "-", "resume", *common)
            assert resumed.returncode == 0, resumed.stdout + resumed.stderr
            found = {o["number"]: o["refunded"] for o in demo.auditor.orders()}
            assert found[order["number"]] == amount
            assert verify(log).ok and email not in log.read_text()
            again = bb_plan("-", "-", "resume", *common)
            assert again.returncode == 1 and "has ended: done" in again.stderr
