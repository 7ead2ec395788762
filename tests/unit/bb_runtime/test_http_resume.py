"""Runs that were stopped: seen over HTTP, and gone on with, by whom and when that is allowed."""

from __future__ import annotations

import json
import logging
import threading
from contextlib import contextmanager
from copy import deepcopy
from types import SimpleNamespace

import pytest
from fastapi.testclient import TestClient

from bb_core.plan import parse_plan
from bb_domains.tools import ToolFailed
from bb_nn.config import DualRailConfig
from bb_nn.rail import DualRailForCausalLM
from bb_runtime.check import check_plan
from bb_runtime.engine import Engine
from bb_runtime.errors import PlanRefused
from bb_runtime.execute import execute
from bb_runtime.http.app import create_app
from bb_runtime.http.keys import Key, Keys, key_hash
from bb_runtime.http.limits import ServerLimits
from bb_runtime.http.planning import Planner
from bb_runtime.journal import Journal, journal_path
from bem_kernel.ledger.chain import Ledger, read_entries, verify

LIMITS = ServerLimits(max_new_tokens=160, hosts=("testserver",), drain_s=5)
KEYS = {
    "bb-all": Key(name="all", sha256=key_hash("bb-all"), domains=("shop",), run=True),
    "bb-too": Key(name="too", sha256=key_hash("bb-too"), domains=("shop",), run=True),
    "bb-look": Key(name="look", sha256=key_hash("bb-look"), domains=("shop",)),
    "bb-other": Key(name="other", sha256=key_hash("bb-other"), domains=("robots",), run=True),
}
CITY = (
    '{"plan":[{"id":"a","tool":"login","args":{}},'
    '{"id":"b","tool":"get_order","args":{"number":1042}},'
    '{"id":"c","tool":"change_city","args":{"order":"$b.id","city":"Bern"}}]}'
)


class KilledError(BaseException):
    """Ends a run like a crash: nothing of what would follow happens."""


@pytest.fixture
def log(tmp_path):
    return tmp_path / "plans.ledger"


@pytest.fixture
def crashed(shop, service, log, monkeypatch):
    """A run whose process was killed while a tool was called; its identifier."""

    def make(tool, plan_text):
        service.failures[tool] = KilledError()
        plan = parse_plan(plan_text)
        with monkeypatch.context() as patch, Ledger(log) as ledger:
            # A killed process writes no more.
            patch.setattr("bb_runtime.run_log.RunLog.end", lambda *_, **__: None)
            patch.setattr("bb_runtime.journal.Journal.settle", lambda *_, **__: None)
            with pytest.raises(KilledError):
                execute(shop, plan, check_plan(shop, plan), service, ledger)
        del service.failures[tool]
        with Journal(journal_path(log)) as journal:
            return journal.runs()[-1].run

    return make


@pytest.fixture
def serve(model, tokenizer, shop, service, log):
    """Makes a client; the shop's service stands behind the tools."""
    clients = []

    @contextmanager
    def opened(_domain):
        yield service

    def make(*, keys=False, run=True, resumes=False):
        engine = Engine(model, tokenizer, "tiny")
        planner = Planner(engine, [shop], log if run else None, opened=opened)
        known = Keys({key.sha256: key for key in KEYS.values()}) if keys else None
        app = create_app(engine, LIMITS, planner=planner, keys=known, resumes=resumes)
        clients.append(TestClient(app).__enter__())
        return clients[-1]

    yield make
    for client in clients:
        client.__exit__(None, None, None)


def bearer(key):
    return {"authorization": f"Bearer {key}"}


def go_on(client, run, key=None, **body):
    headers = bearer(key) if key else {}
    return client.post(f"/v1/plans/{run}/resume", json=body, headers=headers)


def message(answer):
    return answer.json()["error"]["message"]


def test_a_crashed_run_is_listed_as_interrupted_and_goes_on(
    serve, service, crashed, plan_json, log
):
    run = crashed("refund_order", plan_json)
    client = serve()
    (view,) = client.get("/v1/plans").json()["data"]
    assert (view["run"], view["status"], view["step"]) == (run, "interrupted", "d")
    assert [step["status"] for step in view["steps"]] == ["ok", "ok", "ok", "in doubt"]
    found = go_on(client, run).json()
    assert found["status"] == "done" and found["execution"]["run"] == run
    keys = [key for tool, _, key in service.calls if tool == "refund_order"]
    assert len(keys) == 2 and keys[0] == keys[1] is not None
    assert verify(log).head == found["execution"]["head"]
    assert client.get(f"/v1/plans/{run}").json()["status"] == "done"
    assert 'bb_plans_total{status="done"} 1' in client.get("/metrics").text
    ended = go_on(client, run)
    assert ended.status_code == 409 and "has ended: done" in message(ended)


def test_nothing_is_repeated_without_a_word(serve, service, crashed):
    run = crashed("change_city", CITY)
    client = serve()
    found = go_on(client, run).json()
    assert found["status"] == "in_doubt" and found["in_doubt"] == ["c"]
    assert service.tools.count("change_city") == 1
    done = go_on(client, run, happened={"c": True}).json()
    assert done["status"] == "done" and service.tools.count("change_city") == 1


@pytest.mark.parametrize(
    ("body", "status", "times"),
    [
        ({"not_happened": ["c"]}, "done", 2),
        ({"happened": {"c": {"ok": True}}}, "done", 1),
        ({"happened": {"c": True}, "give_up": True}, "failed", 1),
        ({"not_happened": ["c"], "give_up": True}, "undone", 1),
    ],
)
def test_what_is_said_of_a_doubt_counts(serve, service, crashed, body, status, times):
    run = crashed("change_city", CITY)
    assert go_on(serve(), run, **body).json()["status"] == status
    assert service.tools.count("change_city") == times


def test_words_must_be_about_doubts(serve, service, crashed):
    run = crashed("change_city", CITY)
    client, before = serve(), len(service.calls)
    for body, status, said in (
        ({"happened": {"b": True}}, 400, "step b is not in doubt; in doubt are c"),
        ({"happened": {"c": True}, "not_happened": ["c"]}, 400, "step c did both"),
        ({"happened": {"c": False}}, 400, "happened.c"),
        ({"again": True}, 400, "again: Extra inputs"),
    ):
        answer = go_on(client, run, **body)
        assert answer.status_code == status and said in message(answer), answer.text
    assert len(service.calls) == before


def test_only_keys_that_may_run_go_on_and_see_hashes(serve, service, crashed, plan_json):
    run = crashed("refund_order", plan_json)
    client, before = serve(keys=True), len(service.calls)
    assert go_on(client, run).status_code == 401
    assert go_on(client, run, "bb-look").status_code == 403
    assert go_on(client, run, "bb-other").status_code == 404
    assert go_on(client, run[:8], "bb-all").status_code == 404
    assert len(service.calls) == before
    told = go_on(client, run, "bb-too")
    assert told.json()["status"] == "done" and "ana@example.com" not in told.text
    path = f"/v1/plans/{told.json()['id']}/events"
    events = client.get(path, headers=bearer("bb-too")).text
    assert '"event": "resumed"' in events and "ana@example.com" not in events
    assert client.get(path, headers=bearer("bb-all")).status_code == 404


def test_a_run_goes_on_by_the_id_of_its_request(serve, service, plan_json):
    client = serve()
    service.failures["refund_order"] = ToolFailed("refund_order", 409, "not yet")
    stopped = client.post("/v1/plans", json={"plan": json.loads(plan_json), "run": True}).json()
    assert stopped["status"] == "failed"
    del service.failures["refund_order"]
    assert go_on(client, stopped["id"]).json()["status"] == "done"
    checked = client.post("/v1/plans", json={"plan": json.loads(plan_json)}).json()
    answer = go_on(client, checked["id"])
    assert answer.status_code == 409 and "has no run" in message(answer)


def test_a_run_that_is_under_way_does_not_go_on_twice(serve, service, crashed, plan_json):
    run = crashed("refund_order", plan_json)
    client, plain = serve(), service.call
    begun, free = threading.Event(), threading.Event()

    def call(tool, *args):
        if tool == "login":
            begun.set()
            assert free.wait(30)
        return plain(tool, *args)

    service.call = call
    first = go_on(client, run, background=True)
    assert first.status_code == 202 and first.json()["status"] == "running" and begun.wait(30)
    for name in (run, first.json()["id"]):
        second = go_on(client, name)
        assert second.status_code == 409 and "is under way" in message(second)
    free.set()
    with client.stream("GET", f"/v1/plans/{first.json()['id']}/events") as told:
        assert '"status": "done"' in told.read().decode()
    assert service.tools.count("refund_order") == 2


def test_a_log_that_another_writer_holds_is_a_conflict(serve, service, crashed, log, plan_json):
    run = crashed("refund_order", plan_json)
    client, before = serve(), len(service.calls)
    plan = {"plan": json.loads(plan_json), "run": True}
    with Ledger(log):
        for answer in (go_on(client, run), client.post("/v1/plans", json=plan)):
            assert answer.status_code == 409 and "another writer" in message(answer)
        assert serve().get("/v1/plans").json()["data"][0]["status"] == "interrupted"
    assert len(service.calls) == before
    assert go_on(client, run).json()["status"] == "done"


def test_unknown_runs_and_servers_that_do_not_run(serve, log):
    answer = go_on(serve(), "f" * 32)
    assert answer.status_code == 404 and "no run" in message(answer)
    assert not journal_path(log).exists()
    answer = go_on(serve(run=False), "f" * 32)
    assert answer.status_code == 400 and "--allow-run" in message(answer)


def test_a_server_goes_on_by_itself_where_it_is_told_to(serve, service, crashed, log):
    run = crashed("change_city", CITY)
    client = serve(resumes=True)
    while client.get(f"/v1/plans/{run}").json()["status"] in ("interrupted", "running"):
        pass
    assert client.get(f"/v1/plans/{run}").json()["status"] == "in_doubt"
    assert service.tools.count("change_city") == 1
    events = [entry["event"] for entry in read_entries(log)]
    assert events.count("resume") == 1


def test_what_the_log_knows_already_is_made_good_in_the_journal(
    serve, shop, service, log, plan_json, monkeypatch
):
    """Killed between the log's last entry and the journal's: the run ended well, nothing stays."""
    plan = parse_plan(plan_json)
    with monkeypatch.context() as patch, Ledger(log) as ledger:
        patch.setattr("bb_runtime.journal.Journal.settle", lambda *_, **__: None)
        execute(shop, plan, check_plan(shop, plan), service, ledger)
    kept = b"ana@example.com"
    assert any(kept in path.read_bytes() for path in log.parent.glob("plans.journal*"))
    serve()
    assert not any(kept in path.read_bytes() for path in log.parent.glob("plans.journal*"))


def test_a_run_without_a_journal_never_began(serve, shop, service, log, plan_json, monkeypatch):
    plan = parse_plan(plan_json)
    with monkeypatch.context() as patch, Ledger(log) as ledger:
        patch.setattr("bb_runtime.journal.Journal.begin", _killed)
        with pytest.raises(KilledError):
            execute(shop, plan, check_plan(shop, plan), service, ledger)
    client = serve()
    (view,) = client.get("/v1/plans").json()["data"]
    assert view["status"] == "failed" and "before any call" in view["reason"]
    assert go_on(client, view["run"]).status_code == 404 and service.calls == []


def _killed(*_):
    raise KilledError


# -- the base after the rail -----------------------------------------------------------------------


@pytest.fixture
def pair(model, tokenizer, shop, service, log):
    """Makes a client of a dual rail."""
    clients = []

    @contextmanager
    def opened(_domain):
        yield service

    def make(**options):
        config = DualRailConfig(width=16, heads=2, skills=2)
        rail = DualRailForCausalLM.from_base(deepcopy(model), tokenizer, config)
        engine = Engine(rail, tokenizer, "rail")
        planner = Planner(engine, [shop], log, opened=opened, **options)
        clients.append(TestClient(create_app(engine, LIMITS, planner=planner)).__enter__())
        return clients[-1]

    yield make
    for client in clients:
        client.__exit__(None, None, None)


@pytest.fixture
def refuse(monkeypatch):
    """Makes the checker refuse the first plans that it is shown."""

    def make(n):
        texts = []

        def check(domain, text):
            texts.append(text)
            if len(texts) <= n:
                raise PlanRefused("a", "invariant", "would break a rule")
            return check_plan(domain, text)

        monkeypatch.setattr("bb_runtime.fallback.check_plan", check)
        return texts

    return make


def test_a_refused_plan_of_the_rail_makes_room_for_the_bases(pair, refuse, caplog):
    texts, client = refuse(1), pair()
    with caplog.at_level(logging.WARNING, "bb_runtime"):
        found = client.post("/v1/plans", json={"request": "hi", "max_tokens": 60}).json()
    assert found["status"] == "checked" and found["proposer"] == "base"
    assert found["fallbacks"] == [
        {"proposer": "rail", "next": "base", "rule": "invariant", "step": "a"}
    ]
    assert found["text"] == texts[1]
    assert 'bb_plan_fallbacks_total{rule="invariant"} 1' in client.get("/metrics").text
    assert "a plan made room for the next" in caplog.text


def test_a_fallback_of_a_run_is_in_the_log(pair, refuse, log):
    refuse(1)
    body = {"request": "hi", "max_tokens": 60, "dry_run": True}
    assert pair().post("/v1/plans", json=body).json()["proposer"] == "base"
    (entry,) = [entry for entry in read_entries(log) if entry["event"] == "refused"]
    assert (entry["proposer"], entry["rule"]) == ("rail", "invariant")


def test_a_server_without_fallback_asks_the_rail_alone(pair, refuse):
    texts, client = refuse(2), pair(fallback=False)
    answer = client.post("/v1/plans", json={"request": "hi", "max_tokens": 60})
    assert answer.status_code == 422 and len(texts) == 1
    assert "bb_plan_fallbacks_total{" not in client.get("/metrics").text


def test_the_base_keeps_to_the_deadline_of_the_request(pair, refuse, monkeypatch):
    texts, client = refuse(1), pair()
    times = iter((0.0, 0.0, 11.0))  # asked, the rail begins, the base begins
    clock = SimpleNamespace(monotonic=lambda: next(times))
    monkeypatch.setattr("bb_runtime.http.planning.time", clock)
    body = {"request": "hi", "max_tokens": 60, "deadline_s": 10}
    answer = client.post("/v1/plans", json=body)
    assert answer.status_code == 408 and "deadline" in message(answer) and len(texts) == 1
