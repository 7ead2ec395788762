"""Recorded traces and the commands of the demonstration, against the running service."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from bb_core.errors import BBError
from bb_core.trace import Trace, load_traces, save_traces, trace_plan
from bb_domains.api_json.credentials import Credentials, new_credentials
from bb_domains.api_json.demo import Demo, connect, running_demo, stored_credentials
from bb_domains.api_json.planner import SPLITS, RequestPlanner, World
from bb_domains.api_json.traces import TraceMaker, record
from bb_domains.api_json.workflows import GOAL_KINDS, WORKFLOWS
from bb_domains.tools import ToolFailed


@pytest.fixture(scope="module")
def demo(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Demo]:
    with running_demo(tmp_path_factory.mktemp("s") / "service.db", seed=5) as running:
        yield running


@pytest.fixture(scope="module")
def traces(demo: Demo) -> list[Trace]:
    """Traces of every split."""
    maker = TraceMaker(demo.adapters, demo.auditor, 2)
    return [trace for split in SPLITS for trace in maker.make(split, 20)]


def test_traces_survive_their_file(traces: list[Trace], tmp_path: Path) -> None:
    path = tmp_path / "traces.jsonl"
    save_traces(path, traces)
    assert load_traces(path) == traces


def test_a_trace_is_the_workflow_of_its_goals(traces: list[Trace]) -> None:
    for trace in traces:
        plan = trace_plan(trace)
        tools = [step.tool for step in plan.steps]
        assert tools[0] == "login"
        acted = [tool for tool in tools if tool in {w.tool for w in WORKFLOWS.values()}]
        assert acted == [WORKFLOWS[goal["kind"]].tool for goal in trace.label["goals"]]
        assert all(step.ok and step.t_s > 0 for step in trace.steps)
        for step in plan.steps:
            for name in ("order", "customer"):
                assert step.args.get(name, "$b.id").startswith("$")
            assert isinstance(step.args.get("number", 1000), int)


def test_a_trace_shows_what_changed(traces: list[Trace]) -> None:
    seen = set()
    for trace in traces:
        after_orders, after_customers = trace.state_after["orders"], trace.state_after["customers"]
        for goal in trace.label["goals"]:
            seen.add(goal["kind"])
            if "number" in goal:
                order = after_orders[str(goal["number"])]
                before = trace.state_before["orders"][str(goal["number"])]
                changed = {
                    "track": before,
                    "refund": {
                        **before,
                        "refunded": goal.get("amount"),
                        "refund_reason": goal.get("reason"),
                    },
                    "cancel": {**before, "status": "cancelled"},
                    "city": {**before, "city": goal.get("city")},
                    "priority": {**before, "priority": goal.get("level")},
                }
                assert order == changed[goal["kind"]]
            else:
                emails = {c["email"]: c for c in after_customers.values()}
                customer = emails[goal.get("new_email", goal["email"])]
                before = trace.state_before["customers"][customer["id"]]
                wanted = {
                    "email": {**before, "email": customer["email"]},
                    "voucher": {**before, "vouchers": [*before["vouchers"], goal.get("amount")]},
                    "note": {**before, "notes": sorted([*before["notes"], goal.get("tag")])},
                }
                assert customer == wanted[goal["kind"]]
    assert seen == set(GOAL_KINDS)


def test_no_secret_and_no_token_is_in_a_trace(traces: list[Trace]) -> None:
    logins = [step for trace in traces for step in trace.steps if step.tool == "login"]
    assert logins and all(step.args == {} and step.result == {} for step in logins)


def test_a_refused_call_ends_the_recording(demo: Demo) -> None:
    planner = RequestPlanner(World.read(demo.auditor), 9)
    request = next(r for r in planner.plan("train", 50) if [g.kind for g in r.goals] == ["refund"])
    record(demo.adapters, demo.auditor, request, "first")
    with pytest.raises(ToolFailed, match=r"tool refund_order: answered 409: .*refunded already"):
        record(demo.adapters, demo.auditor, request, "again")


def test_a_second_maker_goes_on_where_the_service_stands(demo: Demo, traces: list[Trace]) -> None:
    again = list(TraceMaker(demo.adapters, demo.auditor, 2).make("train", 20))
    assert all(step.ok for trace in again for step in trace.steps)
    assert {trace.request for trace in again} != {trace.request for trace in traces[:20]}


def test_the_domain_comes_from_the_running_service(demo: Demo) -> None:
    assert demo.schema.service is not None
    assert demo.schema.service.base_url == demo.base_url
    assert next(iter(demo.schema.tools)) == "login" and "health" not in demo.schema.tools


def test_wrong_credentials_are_refused(demo: Demo) -> None:
    with httpx.Client(trust_env=False) as client:
        stranger = connect(demo.base_url, Credentials("demo", "guessed"), client)
        with pytest.raises(ToolFailed, match="tool login: answered 401: wrong username"):
            stranger.adapters.call("login", {})


def test_no_service_is_said() -> None:
    with httpx.Client(trust_env=False) as client, pytest.raises(BBError, match="cannot be fetched"):
        connect("http://127.0.0.1:9", new_credentials(), client)


def test_credentials_are_kept_and_private(tmp_path: Path) -> None:
    path = tmp_path / "credentials.env"
    made = stored_credentials(path)
    assert stored_credentials(path) == made
    assert path.stat().st_mode & 0o077 == 0
    assert made.password not in repr(made)
    path.write_text("BB_API_JSON_USER=demo\n")
    with pytest.raises(BBError, match=r"credentials\.env: does not set .*; delete it"):
        stored_credentials(path)


def bb(*arguments: str) -> list[str]:
    return [sys.executable, "-c", "from bb_core.cli import main; main()", *arguments]


@pytest.mark.slow
def test_bb_demo_traces_writes_every_split_the_same_way_twice(tmp_path: Path) -> None:
    written = []
    for name in ("one", "two"):
        out = tmp_path / name
        command = bb("demo", "traces", "--out", str(out), "--n-train", "30", "--n-eval", "5")
        ran = subprocess.run([*command, "--json"], capture_output=True, text=True, check=True)
        assert json.loads(ran.stdout)["traces"] == {"train": 30} | dict.fromkeys(SPLITS[1:], 5)
        traces = [trace for split in SPLITS for trace in load_traces(out / f"{split}.jsonl")]
        written.append([(t.id, t.request, trace_plan(t), t.state_after) for t in traces])
    assert written[0] == written[1]


@pytest.mark.slow
def test_bb_demo_serve_answers_until_it_is_stopped(tmp_path: Path) -> None:
    command = bb("demo", "serve", "--port", "0", "--work", str(tmp_path / "w"))
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as p:
        assert p.stdout is not None
        port = json.loads(p.stdout.readline())["port"]
        folder = tmp_path / "w" / "domains" / "api_json-service"
        credentials = stored_credentials(folder / "credentials.env")
        with httpx.Client(trust_env=False) as client:
            served = connect(f"http://127.0.0.1:{port}", credentials, client)
            assert served.adapters.call("login", {}) == {}
        p.send_signal(signal.SIGINT)
        assert p.wait(20) in (0, 130)
        assert p.stderr is not None and credentials.password not in p.stderr.read()
    assert (folder / "service.db").exists() and os.listdir(tmp_path) == ["w"]
