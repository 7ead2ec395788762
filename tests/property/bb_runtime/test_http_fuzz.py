"""Hostile requests: whatever is sent, the answer is an answer or a 4xx, and it comes in time."""

from __future__ import annotations

import json
import time
from contextlib import nullcontext
from random import Random

import pytest
from fastapi.testclient import TestClient

from bb_runtime.check import check_plan
from bb_runtime.engine import Engine
from bb_runtime.http.app import create_app
from bb_runtime.http.limits import ServerLimits
from bb_runtime.http.planning import Planner

LIMITS = ServerLimits(
    max_body_bytes=65536, max_new_tokens=60, max_constraint=16384, compile_timeout_s=10,
    deadline_s=5, hosts=("testserver",),
)  # fmt: skip
LATEST_S = 30  # compile_timeout_s and deadline_s, and a busy machine

REGEXES = [
    "[a-z]+@[a-z]+",
    "(a|b)*abb",
    "(a{1,50}){1,50}",
    "x{0,100000}",
    "(?=a)b",
    r"\p{L}{3}",
    "(",
    "a**",
]
GRAMMARS = [
    'start: "a" | start "b"',
    "start: x\nx: y\ny: x",
    'start: /[0-9]{1,9}/ ("," /./)*',
    "start: %json {}",
    'start: ("a"?)*',
    "start[lazy]: /.*/",
    "%ignore / /\nstart: A\nA: /a/",
    r'start: "\u0000"',
    "x: 1",
]
SCHEMAS = [
    {"type": "object", "properties": {"a": {"type": "string", "pattern": "^a+$"}}},
    {"$ref": "#"},
    {"$defs": {"a": {"$ref": "#/$defs/a"}}, "$ref": "#/$defs/a"},
    {"enum": []},
    {"type": "array", "minItems": 9999999},
    {"not": {}},
    {"const": "x" * 300},
    {"type": "string", "minLength": 10**9},
    {"type": "integer", "multipleOf": 7, "minimum": 10**20},
    {"allOf": [{"type": "string"}, {"type": "null"}]},
    {"patternProperties": {"(": {}}},
    {"uniqueItems": True, "items": {"enum": [1, 2]}, "minItems": 3},
    {"format": "date-time"},
    {"if": {}, "then": {"type": "null"}, "else": {}},
    {"type": ["a"]},
    {"$id": "http://x/"},
]
TEXTS = ['"', "(", "\\", "*", "[", "{9}", "\n", "|", ":", "é"]
STEP = {"id": "a", "tool": "login", "args": {}}
PLAN = [
    {"id": "a", "tool": "login", "args": {}},
    {"id": "b", "tool": "get_order", "args": {"number": 1042}},
    {"id": "c", "tool": "confirm_owner", "args": {"order": "$b.id", "email": "ana@example.com"}},
    {"id": "d", "tool": "refund_order", "args": {"order": "$b.id", "amount": 12, "reason": "late"}},
]
JUNK = [
    None,
    True,
    -1,
    10**30,
    1e308,
    "",
    "\x00",
    "$b.id",
    "é☃",
    [],
    {},
    [[[[]]]],
    {"$ref": "#/a/0"},
]


def mutated(rng, value, depth=0):
    """A JSON value with something changed in it."""
    if rng.random() < 0.15 or depth > 6:
        return rng.choice(JUNK)
    if isinstance(value, dict) and value:
        key = rng.choice(list(value))
        what = rng.random()
        if what < 0.2:
            return {name: part for name, part in value.items() if name != key}
        if what < 0.4:
            other = rng.choice([*value, "x", "type", "$ref", "items", "after"])
            return value | {other: rng.choice(JUNK)}
        return value | {key: mutated(rng, value[key], depth + 1)}
    if isinstance(value, list) and value:
        i = rng.randrange(len(value))
        return [*value[:i], mutated(rng, value[i], depth + 1), *value[i + rng.randint(0, 1) :]]
    if isinstance(value, str) and value:
        i = rng.randrange(len(value))
        return value[:i] + rng.choice(TEXTS) + value[i + rng.randint(0, 1) :]
    return rng.choice(JUNK)


def constraint(rng):
    kinds = {
        "regex": REGEXES,
        "grammar": GRAMMARS,
        "json": SCHEMAS,
        "choice": [["a", "b"], ["x" * 99]],
        "tools": SCHEMAS,
        "format": SCHEMAS,
    }
    what = rng.choice(list(kinds))
    found = rng.choice(kinds[what])
    for _ in range(rng.randint(0, 3)):
        found = mutated(rng, found)
    if what == "tools":
        tool = {"type": "function", "function": {"name": "f", "parameters": found}}
        choice = rng.choice(["auto", "required", {"type": "function", "function": {"name": "f"}}])
        return {"tools": [tool], "tool_choice": choice}
    if what == "format":
        schema = {"name": "x", "schema": found}
        return {"response_format": {"type": "json_schema", "json_schema": schema}}
    return {"structured_outputs": {what: found}}


def request(rng):
    """A path and a body that may mean nothing."""
    if rng.random() < 0.25:
        steps = [STEP, STEP | {"id": "b", "after": ["a"]}]
        body = {"plan": {"plan": steps}, "dry_run": rng.random() < 0.5}
        return "/v1/plans", mutated(rng, body)
    body = {
        "messages": [{"role": "user", "content": "hi"}],
        "max_tokens": rng.randint(1, 60),
        "stream": rng.random() < 0.3,
        **constraint(rng),
    }
    return "/v1/chat/completions", mutated(rng, body) if rng.random() < 0.3 else body


def attack(client, rng):
    path, body = request(rng)
    start_s = time.monotonic()
    answer = client.post(path, json=body)
    shown = (path, body, answer.text[:500])
    assert time.monotonic() - start_s < LATEST_S, shown
    assert answer.status_code == 200 or 400 <= answer.status_code < 500, shown
    if answer.status_code != 200:
        error = answer.json()["error"]
        assert error["message"] and error["type"], shown
    return answer.status_code


@pytest.fixture
def client(model, tokenizer, shop, tmp_path):
    engine = Engine(model, tokenizer, "tiny")
    planner = Planner(engine, [shop], tmp_path / "plans.ledger")
    with TestClient(create_app(engine, LIMITS, planner=planner)) as client:
        yield client


def test_hostile_requests_are_answered(client):
    rng = Random(1)
    statuses = {attack(client, rng) for _ in range(60)}
    assert {200, 400} <= statuses
    assert client.get("/ready").status_code == 200


class Service:
    """What stands behind the shop's tools; counts."""

    def __init__(self):
        self.calls = []

    def call(self, tool, args, idempotency_key=None):
        self.calls.append(tool)
        if tool == "get_order":
            return {"id": f"o{args['number']}", "total": 100.0, "email": "ana@example.com"}
        return {"ok": True}


def forge(client, service, shop, rng):
    """Ask to run a plan in which something may have been changed; whether it ran."""
    plan = PLAN
    for _ in range(rng.randint(0, 3)):
        plan = mutated(rng, plan)
    before = len(service.calls)
    answer = client.post("/v1/plans", json={"plan": plan, "run": True})
    if answer.status_code == 200:
        check_plan(shop, json.dumps(plan if isinstance(plan, dict) else {"plan": plan}))
        return True
    assert answer.status_code in (400, 422), (plan, answer.text)
    assert len(service.calls) == before, plan
    return False


@pytest.mark.parametrize("n", [30, pytest.param(400, marks=pytest.mark.slow)])
def test_forged_plans_call_nothing(model, tokenizer, shop, tmp_path, n):
    service = Service()
    engine = Engine(model, tokenizer, "tiny")
    planner = Planner(
        engine, [shop], tmp_path / "plans.ledger", opened=lambda _: nullcontext(service)
    )
    rng = Random(4)
    with TestClient(create_app(engine, LIMITS, planner=planner)) as client:
        ran = [forge(client, service, shop, rng) for _ in range(n)]
    assert any(ran) and not all(ran) and service.calls


@pytest.mark.slow
@pytest.mark.timeout(3600)
def test_ten_thousand_hostile_requests(client):
    rng = Random(2)
    for _ in range(10_000):
        attack(client, rng)
    assert client.get("/ready").status_code == 200
    answer = client.post("/v1/completions", json={"prompt": "hi", "max_tokens": 3})
    assert answer.json()["usage"]["completion_tokens"] == 3
