"""Forged plans sent to the server: whatever is refused has called nothing, and is not in the log.

Each forgery is a plan that would pass, changed in one named way. What is sent as a body is
answered by what it is: a plan that the checker, asked by itself, would not pass never runs.
"""

from __future__ import annotations

import copy
import json
from contextlib import nullcontext
from random import Random

import pytest
from fastapi.testclient import TestClient

from bb_core.plan import plan_text
from bb_domains.domain import make_domain
from bb_domains.schema import parse_schema, schema_data
from bb_runtime.check import check_plan, plan_hash
from bb_runtime.engine import Engine
from bb_runtime.errors import PlanRefused
from bb_runtime.http.app import create_app
from bb_runtime.http.keys import Key, Keys, key_hash
from bb_runtime.http.limits import ServerLimits
from bb_runtime.http.planning import Planner
from bem_kernel.ledger.chain import read_entries

LIMITS = ServerLimits(max_body_bytes=65536, max_new_tokens=60, hosts=("testserver",))
PLAN = [
    {"id": "a", "tool": "login", "args": {}},
    {"id": "b", "tool": "get_order", "args": {"number": 1042}},
    {"id": "c", "tool": "confirm_owner", "args": {"order": "$b.id", "email": "ana@example.com"}},
    {"id": "d", "tool": "refund_order", "args": {"order": "$b.id", "amount": 12, "reason": "late"}},
]
CLAIMS = {
    "certificate": {"plan_hash": "0" * 64, "seal": "0" * 64},
    "certified": True,
    "seal": "0" * 64,
    "proof": "0" * 64,
    "domain_fingerprint": "0" * 64,
    "plan_hash": "0" * 64,
    "checked": True,
    "status": "checked",
    "skip_check": True,
    "force": True,
    "admin": True,
    "__class__": "Certificate",
    "py/object": "bb_runtime.check.Certificate",
}
FOREIGN = [
    "$z.id", "$d.id", "$c.id", "$b.email", "$b", "b.id", "o1042", "$B.id", "$b.id.id", "$.id",
    "$b.id ", "${b.id}", "$b['id']", "$a.id", "../o1", "$b.__class__", 7, None, ["$b.id"], "",
    {"$ref": "#/b"},
]  # fmt: skip
NAMES = [
    "drop_tables", "LOGIN", "login ", "login\x00", "ｌogin", "refund-order", "call", "__init__",
    "login\n", "", "get_order/../login", "réfund_order", 7, None, ["login"],
]  # fmt: skip
IDS = ["", "b", "z", "A", "a ", "ａ", "$b", "a.id", "undo:d", "a\x00", "1", 7, None, "a" * 5000]
NUMBERS = [
    0, -1, 999, 10_000, 1042.5, "1042", True, None, 10**30, 1e300, [1042], "1042\x00", "０１０42",
    "1042 OR 1=1", {"$gt": 0},
]  # fmt: skip
AMOUNTS = [0, -12, 501, 12.345, "12", 1e-9, 10**25, 10**300, 1e300, True, None, [12]]
REASONS = [
    "ｌate", "LATE", "late ", " late", "lаte", "late\x00", "late\n", "l\u0061\u0301te", "", None, 7,
    ["late"], "ﬂate", "late\u200b", "late\u202e", '","amount":500,"x":"',
]  # fmt: skip
EMAILS = [
    "ana", "ana@example.com\r\nX: y", "ANA@EXAMPLE.COM", "ana@exаmple.com", "$b.email", "a@b", None,
    "ana@example.com\x00", "ana@example.com, bo@example.com", "\u202eana@example.com",
    "a" * 300 + "@example.com",
]  # fmt: skip


def deep(n):
    value = []
    for _ in range(n):
        value = [value]
    return value


def with_arg(step, name, values):
    def forge(rng, plan):
        plan[step]["args"][name] = rng.choice(values)

    return forge


def rename(rng, plan):
    step, name = rng.choice(plan), rng.choice(IDS)
    if name == step["id"]:
        name = "z"
    step["id"] = name


def further_key(rng, plan):
    name = rng.choice([*CLAIMS, "x", "tool ", "args2", "result", "idempotency_key"])
    rng.choice(plan)[name] = CLAIMS.get(name, 1)


def further_arg(rng, plan):
    name = rng.choice(
        [*CLAIMS, "x", "all", "__proto__", "constructor", "order ", "idempotency_key"]
    )
    rng.choice(plan)["args"][name] = rng.choice([True, "$b.id", CLAIMS.get(name, 1)])


def missing_arg(rng, plan):
    step = rng.choice(plan[1:])
    del step["args"][rng.choice(list(step["args"]))]


def other_order(rng, plan):
    while [step["tool"] for step in plan] == [step["tool"] for step in PLAN]:
        rng.shuffle(plan)
    if rng.random() < 0.5:
        for i, step in enumerate(plan):
            step["id"] = "abcd"[i]


def left_out(rng, plan):
    del plan[rng.choice([0, 1, 2])]
    if rng.random() < 0.5:
        for i, step in enumerate(plan):
            step["id"] = "abcd"[i]


def twice(rng, plan):
    step = copy.deepcopy(plan[rng.choice([0, 3])])
    step["id"] = rng.choice(["e", step["id"], "a"])
    plan.append(step)


def too_many(rng, plan):
    plan += [
        {"id": "efghijklmnopqrstuvwxyz"[i % 22], "tool": "get_order", "args": {"number": 2000 + i}}
        for i in range(rng.choice([5, 22, 200]))
    ]


def circle(rng, plan):
    plan[0]["after"] = [rng.choice(["d", "a", "z", "", 7])]


def nested(rng, plan):
    rng.choice(plan)["args"]["x"] = deep(rng.choice([5, 200, 900]))


def unlike_a_step(rng, plan):
    plan[rng.randrange(4)] = rng.choice([None, 7, "step", [], {}, [PLAN[0]], {"id": "a"}])


def tool_of_another_domain(rng, plan):
    plan[3] = {"id": "d", "tool": "pay_out", "args": {"order": "$b.id"}}


FORGERIES = {
    "renamed": rename,
    "a key more": further_key,
    "an argument more": further_arg,
    "an argument less": missing_arg,
    "another order": other_order,
    "a step less": left_out,
    "a step twice": twice,
    "too many": too_many,
    "a circle": circle,
    "deeply nested": nested,
    "no step": unlike_a_step,
    "another domain's tool": tool_of_another_domain,
    "a foreign handle": with_arg(3, "order", FOREIGN),
    "a foreign handle before": with_arg(2, "order", FOREIGN),
    "a number": with_arg(1, "number", NUMBERS),
    "an amount": with_arg(3, "amount", AMOUNTS),
    "a reason": with_arg(3, "reason", REASONS),
    "an address": with_arg(2, "email", EMAILS),
    "a tool": lambda rng, plan: rng.choice(plan).update(tool=rng.choice(NAMES)),
    "no arguments": lambda rng, plan: rng.choice(plan).update(args=rng.choice([None, [], "", 7])),
}


class Service:
    """The world behind the tools; counts."""

    def __init__(self):
        self.calls = []

    def call(self, tool, args, idempotency_key=None):
        self.calls.append(tool)
        if tool == "get_order":
            return {"id": f"o{args['number']}", "total": 100.0, "email": "ana@example.com"}
        return {"ok": True}


@pytest.fixture(scope="module")
def bank(shop):
    data = schema_data(shop.schema) | {"domain": "bank"}
    data["tools"]["pay_out"] = data["tools"].pop("refund_order")
    return make_domain(parse_schema(data))


@pytest.fixture(scope="module")
def one_service():
    return Service()


@pytest.fixture
def service(one_service):
    one_service.calls.clear()
    return one_service


@pytest.fixture(scope="module")
def log(tmp_path_factory):
    return tmp_path_factory.mktemp("forged") / "plans.ledger"


@pytest.fixture(scope="module")
def client(model, tokenizer, shop, bank, one_service, log):
    planner = Planner(
        Engine(model, tokenizer, "tiny"), [shop, bank], log,
        opened=lambda _: nullcontext(one_service),
    )  # fmt: skip
    keys = [
        Key(name=name, sha256=key_hash(f"bb-{name}"), domains=(name,), run=True)
        for name in ("shop", "bank")
    ]
    app = create_app(
        planner._engine, LIMITS, planner=planner, keys=Keys({key.sha256: key for key in keys})
    )
    with TestClient(app, headers={"authorization": "Bearer bb-shop"}) as client:
        yield client


def would_pass(domain, steps):
    try:
        check_plan(domain, json.dumps({"plan": steps}), repair=False)
    except (PlanRefused, ValueError, RecursionError):
        return False
    return True


def send(client, body, **headers):
    return client.post("/v1/plans", content=json.dumps(body), headers={
        "content-type": "application/json", **headers,
    })  # fmt: skip


def check_refused(client, service, body, shown, **headers):
    answer = send(client, body, **headers)
    assert 400 <= answer.status_code < 500, (shown, answer.text)
    assert answer.json()["error"]["message"], shown
    assert service.calls == [], (shown, service.calls)


def forge(rng, kind):
    plan = copy.deepcopy(PLAN)
    FORGERIES[kind](rng, plan)
    return plan


def forge_many(client, service, shop, n, seed):
    """How many forgeries of each kind were refused; those that are plans after all are left out."""
    rng, refused = Random(seed), dict.fromkeys(FORGERIES, 0)
    for i in range(n):
        kind = list(FORGERIES)[i % len(FORGERIES)]
        plan = forge(rng, kind)
        if would_pass(shop, plan):
            continue
        body = {"plan": rng.choice([plan, {"plan": plan}]), "run": True, "domain": "shop"}
        check_refused(client, service, body, (kind, plan))
        refused[kind] += 1
    return refused


def events(log, after=0):
    return [entry["event"] for entry in read_entries(log)][after:] if log.exists() else []


def test_forged_plans_call_nothing(client, service, shop, log):
    before = len(events(log))
    refused = forge_many(client, service, shop, 100, seed=1)
    assert min(refused.values()) > 2, refused
    assert set(events(log, before)) == {"refused"}
    done = send(client, {"plan": PLAN, "run": True})
    assert done.json()["status"] == "done" and len(service.calls) == 4


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_thousands_of_forged_plans_call_nothing(client, service, shop, log):
    before = len(events(log))
    refused = forge_many(client, service, shop, 3000, seed=2)
    assert sum(refused.values()) > 2500, refused
    assert set(events(log, before)) == {"refused"}


@pytest.mark.parametrize("claim", CLAIMS)
def test_a_claim_of_a_certificate_is_refused_wherever_it_stands(client, service, shop, claim):
    forged = [step for step in PLAN if step["tool"] != "confirm_owner"]
    for plan in (PLAN, forged):
        for body in (
            {"plan": plan, "run": True, claim: CLAIMS[claim]},
            {"plan": {"plan": plan, claim: CLAIMS[claim]}, "run": True},
            {"plan": [plan[0] | {claim: CLAIMS[claim]}, *plan[1:]], "run": True},
            {"plan": [plan[0] | {"args": {claim: CLAIMS[claim]}}, *plan[1:]], "run": True},
        ):
            check_refused(client, service, body, (claim, body))
    good = check_plan(shop, json.dumps({"plan": PLAN}))
    headers = {"x-certificate": good.seal, "x-plan-hash": good.plan_hash}
    check_refused(client, service, {"plan": forged, "run": True}, "headers", **headers)


def test_a_true_certificate_is_not_taken_from_a_request_either(client, service, shop):
    """Whoever has seen one cannot use it: the server makes its own."""
    good = check_plan(shop, json.dumps({"plan": PLAN}))
    shown = {"plan_hash": good.plan_hash, "seal": good.seal, "proof": good.proof,
             "domain_fingerprint": good.domain_fingerprint, "order": good.order}  # fmt: skip
    body = {"plan": PLAN, "run": True, "certificate": shown}
    check_refused(client, service, body, "certificate")
    told = send(client, {"plan": PLAN}).text
    assert good.seal not in told and "seal" not in told


def test_a_plan_of_one_domain_does_not_run_in_another(client, service, bank):
    paid = [*PLAN[:3], PLAN[3] | {"tool": "pay_out"}]
    assert would_pass(bank, paid)
    bodies = [
        ({"plan": paid, "run": True, "domain": "shop"}, "bb-shop"),
        ({"plan": PLAN, "run": True, "domain": "bank"}, "bb-bank"),
        ({"plan": paid, "run": True, "domain": "bank"}, "bb-shop"),
        ({"plan": PLAN, "run": True, "domain": "shop"}, "bb-bank"),
        ({"plan": PLAN, "run": True, "domain": "Shop"}, "bb-shop"),
        ({"plan": PLAN, "run": True, "domain": "shop\x00"}, "bb-shop"),
        ({"plan": PLAN, "run": True, "domain": "ｓhop"}, "bb-shop"),
        ({"plan": PLAN, "run": True, "domain": ["shop"]}, "bb-shop"),
        ({"plan": PLAN, "run": True, "domain": "../shop"}, "bb-shop"),
    ]
    for body, key in bodies:
        check_refused(client, service, body, body, authorization=f"Bearer {key}")


RAW = json.dumps({"plan": PLAN, "run": True})
BODIES = {
    "run twice": RAW[:-1] + ', "run": false}',
    "plan twice": '{"plan": [], ' + RAW[1:],
    "an argument twice": RAW.replace('"amount": 12', '"amount": 12, "amount": 500'),
    "an argument twice, once escaped": RAW.replace(
        '"amount": 12', '"amount": 12, "am\\u006funt": 500'
    ),
    "a tool twice": RAW.replace('"tool": "login"', '"tool": "login", "tool": "refund_order"'),
    "an id twice": RAW.replace('"id": "d"', '"id": "d", "id": "e"'),
    "arguments twice": RAW.replace('"args": {}', '"args": {}, "args": {"x": 1}'),
    "NaN": RAW.replace('"amount": 12', '"amount": NaN'),
    "Infinity": RAW.replace('"amount": 12', '"amount": Infinity'),
    "an infinite number": RAW.replace('"amount": 12', '"amount": 1e999'),
    "a number of 5000 digits": RAW.replace('"amount": 12', '"amount": ' + "1" * 5000),
    "a number of 4000 digits": RAW.replace('"amount": 12', '"amount": ' + "1" * 4000),
    "a negative zero": RAW.replace('"amount": 12', '"amount": -0.0'),
    "an exponent": RAW.replace("1042", "1042e0001000"),
    "a lone surrogate": RAW.replace("late", "\\ud800"),
    "an escaped NUL": RAW.replace("late", "late\\u0000"),
    "a bare NUL": RAW.replace("late", "late\x00"),
    "a line end in a text": RAW.replace("late", "late\n"),
    "a comment": RAW.replace('"run"', '/* x */ "run"'),
    "a comma too many": RAW[:-1] + ",}",
    "single quotes": RAW.replace('"', "'"),
    "two bodies": RAW + RAW,
    "a tail": RAW + "x",
    "depth": '{"plan": ' + "[" * 30000 + "]" * 30000 + ', "run": true}',
    "depth in an argument": RAW.replace('"late"', "[" * 20000 + "]" * 20000),
}


@pytest.mark.parametrize("name", BODIES)
def test_ambiguous_bodies_call_nothing(client, service, name):
    body = BODIES[name].encode()
    assert body != RAW.encode()
    answer = client.post("/v1/plans", content=body, headers={"content-type": "application/json"})
    assert 400 <= answer.status_code < 500, answer.text
    assert answer.json()["error"]["message"] and service.calls == []


@pytest.mark.parametrize("encoding", ["utf-16", "utf-16-le", "utf-32", "utf-8-sig", "cp037"])
def test_other_encodings_call_nothing(client, service, encoding):
    kind = f"application/json; charset={encoding}"
    answer = client.post("/v1/plans", content=RAW.encode(encoding), headers={"content-type": kind})
    assert answer.status_code == 400 and service.calls == []
    assert answer.json()["error"]["code"] == "invalid_json"


@pytest.mark.parametrize(
    "kind",
    ["", "text/plain", "application/x-www-form-urlencoded", "multipart/form-data; boundary=x",
     "text/json", "application/jsonx", "text/plain; application/json", "application/xml"],
)  # fmt: skip
def test_what_a_foreign_page_may_send_runs_nothing(client, service, kind):
    """A browser asks the server first before it sends `application/json` for another site."""
    headers = {"content-type": kind} if kind else {}
    answer = client.post("/v1/plans", content=RAW, headers=headers)
    assert answer.status_code == 400 and service.calls == []
    assert "content-type: application/json" in answer.json()["error"]["message"]
    asked = client.options("/v1/plans", headers={
        "origin": "http://evil.example", "access-control-request-method": "POST",
        "access-control-request-headers": "content-type",
    })  # fmt: skip
    assert asked.status_code == 405 and "access-control-allow-origin" not in asked.headers


def test_the_hash_of_a_plan_is_of_its_text(shop):
    """So that what was shown as checked is what runs."""
    from bb_core.plan import parse_plan

    plan = parse_plan(json.dumps({"plan": PLAN}))
    again = parse_plan(plan_text(plan))
    assert plan_hash(plan) == plan_hash(again)
