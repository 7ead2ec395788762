"""Plans over HTTP: decoded, checked, run, watched, and kept apart by key."""

from __future__ import annotations

import json
from contextlib import contextmanager

import pytest
from fastapi.testclient import TestClient

from bb_core.store import Store
from bb_domains.tools import ToolFailed
from bb_runtime.engine import Engine
from bb_runtime.http.app import create_app
from bb_runtime.http.keys import Key, Keys, key_hash
from bb_runtime.http.limits import ServerLimits
from bb_runtime.http.plan_task import PlanTask
from bb_runtime.http.planning import Decoding, Planner
from bb_runtime.http.refusal import HttpError
from bem_kernel.ledger.chain import read_entries, verify

LIMITS = ServerLimits(max_new_tokens=160, hosts=("testserver",))
KEYS = {
    "bb-all": Key(name="all", sha256=key_hash("bb-all"), domains=("shop",), run=True),
    "bb-look": Key(name="look", sha256=key_hash("bb-look"), domains=("shop",)),
    "bb-other": Key(name="other", sha256=key_hash("bb-other"), domains=("robots",), run=True),
}


def bearer(key):
    return {"authorization": f"Bearer {key}"}


@pytest.fixture
def served(model, tokenizer, shop, service, tmp_path):
    """Makes a client; the shop's service stands behind the tools."""
    clients = []

    @contextmanager
    def opened(_domain):
        yield service

    def make(*, run=True, keys=None):
        engine = Engine(model, tokenizer, "tiny")
        log = tmp_path / "plans.ledger" if run else None
        planner = Planner(engine, [shop], log, opened=opened)
        app = create_app(
            engine, LIMITS, planner=planner, keys=keys, feedback=Store(tmp_path / "store")
        )
        clients.append(TestClient(app).__enter__())
        return clients[-1]

    yield make
    for client in clients:
        client.__exit__(None, None, None)


@pytest.fixture
def steps(plan_json):
    return json.loads(plan_json)


def events(client, name, headers=None):
    with client.stream("GET", f"/v1/plans/{name}/events", headers=headers) as answer:
        lines = [line for line in answer.iter_lines() if line.startswith("data: ")]
    assert lines[-1] == "data: [DONE]"
    return [json.loads(line.removeprefix("data: ")) for line in lines[:-1]]


def test_a_request_in_words_becomes_a_checked_plan(served, shop):
    from bb_runtime.check import check_plan

    found = served().post("/v1/plans", json={"request": "hi"}).json()
    assert found["status"] == "checked" and found["proposer"] == "tiny"
    assert check_plan(shop, found["text"]).plan_hash == found["plan_hash"]
    assert json.loads(found["text"])["plan"] == found["plan"]


def test_a_plan_is_run_once_and_logged(served, service, steps, tmp_path):
    client = served()
    found = client.post("/v1/plans", json={"plan": steps, "run": True}).json()
    assert found["status"] == "done", found
    assert service.tools == ["login", "get_order", "confirm_owner", "refund_order"]
    assert verify(tmp_path / "plans.ledger").head == found["execution"]["head"]
    assert client.get(f"/v1/plans/{found['id']}").json() == found
    run = found["execution"]["run"]
    by_run = client.get(f"/v1/plans/{run}").json()
    assert by_run["status"] == "done" and by_run["steps"][3]["status"] == "ok"
    assert [view["run"] for view in client.get("/v1/plans").json()["data"]] == [run]
    assert "ana@example.com" not in json.dumps(by_run)


def test_a_dry_run_calls_nothing(served, service, steps):
    found = served().post("/v1/plans", json={"plan": steps["plan"], "dry_run": True}).json()
    assert found["status"] == "done" and found["execution"]["dry_run"] and service.calls == []


def test_the_events_of_a_run_are_told_in_order(served, steps):
    client = served()
    begun = client.post("/v1/plans", json={"plan": steps, "run": True, "background": True})
    assert begun.status_code == 202
    told = events(client, begun.json()["id"])
    assert [event.get("event") for event in told] == ["checked", *["step"] * 4, "end", None]
    assert [event["step"] for event in told[1:5]] == ["a", "b", "c", "d"]
    assert told[-1]["status"] == "done"


def test_decoding_is_told_as_it_happens(served):
    client = served()
    begun = client.post("/v1/plans", json={"request": "hi", "background": True}).json()
    told = events(client, begun["id"])
    text = "".join(event["text"] for event in told if event.get("event") == "text")
    assert text == told[-1]["text"] and told[-1]["status"] == "checked"
    assert not any("logprobs" in event for event in told)


def test_the_tokens_of_a_plan_are_told_where_asked_for(served):
    client = served()
    body = {"request": "hi", "background": True, "top_logprobs": 3}
    told = events(client, client.post("/v1/plans", json=body).json()["id"])
    tokens = [one for event in told for one in event.get("logprobs", ())]
    (decoded,) = (event for event in told if event.get("event") == "decoded")
    assert len(tokens) == decoded["tokens"]
    assert all(one["forced"] <= (one["allowed"] == 1) for one in tokens)
    assert any(one["forced"] for one in tokens)
    assert all(1 <= len(one["top_logprobs"]) <= 3 for one in tokens)


def test_a_plan_that_is_sent_has_no_tokens_to_tell(served, steps):
    answer = served().post("/v1/plans", json={"plan": steps, "top_logprobs": 3})
    assert answer.status_code == 400 and "is not decoded" in answer.json()["error"]["message"]


def test_a_forged_plan_is_refused_with_rule_and_repair(served, service, steps, tmp_path):
    client = served()
    forged = {"plan": [step for step in steps["plan"] if step["tool"] != "confirm_owner"]}
    for body in ({"plan": forged, "run": True}, {"plan": forged}):
        answer = client.post("/v1/plans", json=body)
        assert answer.status_code == 422
        error = answer.json()["error"]
        assert error["code"] == "plan_refused" and error["refusal"]["rule"]
    assert service.calls == []
    assert [entry["event"] for entry in read_entries(tmp_path / "plans.ledger")] == ["refused"]


@pytest.mark.parametrize(
    ("body", "status", "message"),
    [
        ({}, 400, "exactly one of request and plan"),
        ({"request": "x", "plan": []}, 400, "exactly one of request and plan"),
        ({"request": "x", "run": True, "dry_run": True}, 400, "not both"),
        ({"plan": {"plan": [], "certificate": "x"}}, 400, "an object with the one key"),
        ({"plan": {"plan": [{"id": "a"}]}}, 400, "/plan/0"),
        ({"request": "x", "certificate": "y"}, 400, "certificate: Extra inputs"),
        ({"request": "x", "domain": "bank"}, 404, "no domain 'bank' here; use shop"),
        ({"request": "x", "model": "big"}, 404, "no model 'big' here; use tiny"),
        ({"request": "x", "max_tokens": 5}, 400, "give at least 47"),
        ({"request": "x", "max_tokens": 161}, 400, "use 160 or fewer"),
    ],
)
def test_what_cannot_be_done_is_refused(served, service, body, status, message):
    answer = served().post("/v1/plans", json=body)
    assert answer.status_code == status, answer.text
    assert message in answer.json()["error"]["message"]
    assert service.calls == []


def test_plans_run_only_where_that_is_allowed(served, steps):
    client = served(run=False)
    for extra in ({"run": True}, {"dry_run": True}):
        refused = client.post("/v1/plans", json={"plan": steps} | extra)
        assert refused.status_code == 400
        assert "start it with --allow-run" in refused.json()["error"]["message"]
    assert client.post("/v1/plans", json={"plan": steps}).json()["status"] == "checked"
    assert client.get("/v1/plans").json()["data"] == []


def test_a_failing_tool_is_told(served, service, steps):
    service.failures["confirm_owner"] = ToolFailed("confirm_owner", 409, "no")
    found = served().post("/v1/plans", json={"plan": steps, "run": True}).json()
    reason = found["execution"]["reason"]
    assert found["status"] == "failed" and reason == "confirm_owner failed: no"
    assert found["execution"]["step"] == "c" and "refund_order" not in service.tools


# -- keys ------------------------------------------------------------------------------------------


@pytest.fixture
def locked(served):
    return served(keys=Keys({key.sha256: key for key in KEYS.values()}))


@pytest.mark.parametrize("header", [{}, {"authorization": "bb-all"}, bearer("bb-al"), bearer("")])
def test_without_a_valid_key_nothing_is_said(locked, service, header):
    for method, path in (("GET", "/v1/models"), ("POST", "/v1/plans"), ("GET", "/v1/plans")):
        answer = locked.request(method, path, headers=header, json={"request": "x"})
        assert answer.status_code == 401, path
        assert answer.json()["error"]["code"] == "invalid_api_key"


def test_a_key_for_one_domain_cannot_use_another(locked, service, steps):
    for body in ({"plan": steps, "run": True}, {"plan": steps}, {"request": "x"}):
        answer = locked.post("/v1/plans", json=body, headers=bearer("bb-other"))
        assert answer.status_code == 403
        assert "key other has no right to domain shop" in answer.json()["error"]["message"]
    done = locked.post("/v1/plans", json={"plan": steps, "run": True}, headers=bearer("bb-all"))
    ids = (done.json()["id"], done.json()["execution"]["run"])
    for name, look in zip(ids, (404, 200), strict=True):
        assert locked.get(f"/v1/plans/{name}", headers=bearer("bb-all")).status_code == 200
        assert locked.get(f"/v1/plans/{name}", headers=bearer("bb-look")).status_code == look
        assert locked.get(f"/v1/plans/{name}", headers=bearer("bb-other")).status_code == 404
    path = f"/v1/plans/{ids[0]}/events"
    assert locked.get(path, headers=bearer("bb-other")).status_code == 404
    assert locked.get("/v1/plans", headers=bearer("bb-other")).json()["data"] == []


def test_a_key_without_the_right_to_run_decodes_only(locked, service, steps):
    answer = locked.post("/v1/plans", json={"plan": steps, "run": True}, headers=bearer("bb-look"))
    assert answer.status_code == 403 and "may not run" in answer.json()["error"]["message"]
    assert service.calls == []
    dry = locked.post("/v1/plans", json={"plan": steps, "dry_run": True}, headers=bearer("bb-look"))
    assert dry.json()["status"] == "done" and service.calls == []


# -- feedback ---------------------------------------------------------------------------------


def test_feedback_on_an_answer_is_kept(locked, tmp_path):
    headers = bearer("bb-all")
    made = locked.post(
        "/v1/completions", json={"prompt": "secret words", "max_tokens": 3}, headers=headers
    ).json()
    body = {"id": made["id"], "verdict": "bad", "comment": "too short"}
    answer = locked.post("/v1/feedback", json=body, headers=headers)
    assert answer.status_code == 200
    (record,) = Store(tmp_path / "store").records("feedback")
    assert record.body["verdict"] == "bad" and record.body["kind"] == "text_completion"
    assert record.body["key"] == "all" and "secret words" not in json.dumps(dict(record.body))
    assert 'bb_feedback_total{verdict="bad"} 1' in locked.get("/metrics").text
    for wrong in (body | {"id": "cmpl-1"}, body):
        key = "bb-all" if wrong["id"] == "cmpl-1" else "bb-look"
        refused = locked.post("/v1/feedback", json=wrong, headers=bearer(key))
        assert refused.status_code == 404 and "is remembered" in refused.json()["error"]["message"]


# -- the base after the rail -----------------------------------------------------------------------


def test_the_base_plans_after_the_rail(model, tokenizer, shop):
    """Both propose admissible plans: the same masks, another model."""
    from copy import deepcopy

    from bb_nn.config import DualRailConfig
    from bb_nn.rail import DualRailForCausalLM
    from bb_runtime.check import check_plan

    config = DualRailConfig(width=16, heads=2, skills=2)
    rail = DualRailForCausalLM.from_base(deepcopy(model), tokenizer, config)
    planner = Planner(Engine(rail, tokenizer, "rail"), [shop], None)
    task, generations = PlanTask("shop", "somebody"), []
    proposers = planner.proposers(task, "hi", Decoding(60), generations.append)
    assert [proposer.name for proposer in proposers] == ["rail", "base"]
    for proposer in proposers:
        check_plan(shop, proposer.propose())
    told = [event["proposer"] for event in task.events if event["event"] == "decoded"]
    assert told == ["rail", "base"] and len(generations) == 2


def test_a_plan_whose_decoding_is_cancelled_is_not_proposed(model, tokenizer, shop):
    planner = Planner(Engine(model, tokenizer, "tiny"), [shop], None)
    task = PlanTask("shop", "somebody")
    (proposer,) = planner.proposers(task, "hi", Decoding(150), lambda begun: begun.cancel())
    with pytest.raises(HttpError, match="the plan was not finished: cancelled"):
        proposer.propose()
