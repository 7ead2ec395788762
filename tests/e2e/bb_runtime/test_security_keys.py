"""API keys over every route: none, a wrong one, one in the wrong place, one of another domain."""

from __future__ import annotations

import hmac
import importlib.util
import json
import stat
from contextlib import nullcontext
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from fastapi.testclient import TestClient

from bb_core.cli import run_app
from bb_core.store import Store
from bb_domains.domain import load_domain, make_domain
from bb_domains.schema import parse_schema, schema_data
from bb_domains.tools import ToolFailed
from bb_runtime import keys_cli
from bb_runtime.http import keys as keys_module
from bb_runtime.http.app import create_app
from bb_runtime.http.keys import Key, Keys, key_hash, load_keys, save_keys
from bb_runtime.http.limits import ServerLimits
from bb_runtime.http.planning import Planner
from bb_runtime.http.refusal import HttpError

HERE = Path(__file__).parent
TODAY = datetime.now(UTC).date()
PLAN = [{"id": "a", "tool": "login", "args": {}}]
OPEN = {"/", "/health", "/ready", "/metrics", "/page/{name}", "/page-data"}
GUARDED = {
    ("GET", "/v1/models"): None,
    ("GET", "/v1/models/{name}"): None,
    ("POST", "/v1/completions"): {"prompt": "x", "max_tokens": 1},
    ("POST", "/v1/chat/completions"): {"messages": [{"role": "user", "content": "x"}]},
    ("POST", "/v1/plans"): {"plan": PLAN, "domain": "shop"},
    ("GET", "/v1/plans"): None,
    ("GET", "/v1/plans/{name}"): None,
    ("GET", "/v1/plans/{name}/events"): None,
    ("POST", "/v1/plans/{name}/resume"): {},
    ("POST", "/v1/feedback"): {"id": "x", "verdict": "good"},
}
KEYS = [
    Key(name="shop", sha256=key_hash("bb-shop"), domains=("shop",), run=True),
    Key(name="shop2", sha256=key_hash("bb-shop2"), domains=("shop",), run=True),
    Key(name="asks", sha256=key_hash("bb-asks"), domains=("shop",)),
    Key(name="bank", sha256=key_hash("bb-bank"), domains=("bank",), run=True),
    Key(name="none", sha256=key_hash("bb-none"), run=True),
    Key(name="all", sha256=key_hash("bb-all"), domains=("*",), run=True),
    Key(
        name="old", sha256=key_hash("bb-old"), domains=("*",), run=True,
        expires=TODAY - timedelta(days=1),
    ),
    Key(name="last", sha256=key_hash("bb-last"), domains=("shop",), run=True, expires=TODAY),
]  # fmt: skip


class Service:
    """What stands behind the tools; counts, and fails where it is told."""

    def __init__(self):
        self.calls, self.fails = [], False

    def call(self, tool, args, idempotency_key=None):
        self.calls.append(tool)
        if self.fails:
            raise ToolFailed(tool, 409, "not now")
        return {"ok": True}


@pytest.fixture(scope="module")
def made_engine():
    spec = importlib.util.spec_from_file_location("bb_e2e_served", HERE / "served_shop.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def one_service():
    return Service()


@pytest.fixture
def service(one_service):
    one_service.calls.clear()
    return one_service


@pytest.fixture(scope="module")
def app(made_engine, one_service, tmp_path_factory):
    folder = tmp_path_factory.mktemp("keys")
    engine = made_engine.make_engine()
    shop = load_domain(made_engine.SHOP)
    bank = make_domain(parse_schema(schema_data(shop.schema) | {"domain": "bank"}))
    planner = Planner(
        engine, [shop, bank], folder / "plans.ledger", opened=lambda _: nullcontext(one_service)
    )
    limits = ServerLimits(max_new_tokens=64, hosts=("testserver",))
    return create_app(
        engine, limits, planner=planner, keys=Keys({key.sha256: key for key in KEYS}),
        feedback=Store(folder / "store"),
    )  # fmt: skip


@pytest.fixture(scope="module")
def client(app):
    with TestClient(app) as client:
        yield client


def ask(client, method, path, key="", **more):
    headers = {"authorization": f"Bearer {key}"} if key else {}
    return client.request(method, path, headers=headers | more.pop("headers", {}), **more)


def routes(parts, prefix=""):
    """(method, path) of every route, those of routers inside too."""
    for route in parts:
        inner = getattr(route, "original_router", None) or getattr(route, "router", None)
        if inner is not None and not hasattr(route, "methods"):
            yield from routes(inner.routes, prefix)
        elif hasattr(route, "methods"):
            for method in route.methods - {"HEAD"}:
                yield method, route.path.replace(":path}", "}")


def test_every_route_is_known(app):
    found = set(routes(app.routes))
    assert {path for method, path in found if not path.startswith("/v1/")} == OPEN
    assert {one for one in found if one[1].startswith("/v1/")} == set(GUARDED)


WRONG_PLACES = {
    "nowhere": {},
    "an unknown key": {"headers": {"authorization": "Bearer bb-nobody"}},
    "no scheme": {"headers": {"authorization": "bb-shop"}},
    "another scheme": {"headers": {"authorization": "Basic bb-shop"}},
    "no key": {"headers": {"authorization": "Bearer "}},
    "a hash": {"headers": {"authorization": f"Bearer {key_hash('bb-shop')}"}},
    "a part": {"headers": {"authorization": "Bearer bb-sho"}},
    "more": {"headers": {"authorization": "Bearer bb-shopx"}},
    "two": {"headers": {"authorization": "Bearer bb-shop bb-shop"}},
    "a star": {"headers": {"authorization": "Bearer *"}},
    "everybody": {"headers": {"authorization": "Bearer everybody"}},
    "other case": {"headers": {"authorization": "Bearer BB-SHOP"}},
    "a key that is over": {"headers": {"authorization": "Bearer bb-old"}},
    "the query": {"params": {"api_key": "bb-shop", "key": "bb-shop", "access_token": "bb-shop",
                             "authorization": "Bearer bb-shop"}},
    "another header": {"headers": {"x-api-key": "bb-shop", "api-key": "bb-shop",
                                   "proxy-authorization": "Bearer bb-shop",
                                   "x-authorization": "Bearer bb-shop"}},
    "a cookie": {"headers": {"cookie": "authorization=Bearer bb-shop; api_key=bb-shop"}},
}  # fmt: skip


@pytest.mark.parametrize("where", WRONG_PLACES)
def test_without_a_key_in_its_place_no_route_says_anything(client, service, where):
    for (method, path), body in GUARDED.items():
        answer = ask(client, method, path.replace("{name}", "tiny"), json=body,
                     **WRONG_PLACES[where])  # fmt: skip
        assert answer.status_code == 401, (where, path, answer.text)
        assert answer.json()["error"]["code"] == "invalid_api_key"
        assert "bb-" not in answer.text and "tiny" not in answer.text
    assert service.calls == []


def test_open_routes_tell_nothing_of_plans_and_keys(client):
    run = ask(client, "POST", "/v1/plans", "bb-shop", json={"plan": PLAN, "run": True}).json()
    for path in OPEN - {"/page/{name}"}:
        text = ask(client, "GET", path).text
        assert run["id"] not in text and run["execution"]["run"] not in text
        assert not any(key.name in text for key in KEYS if key.name in ("shop2", "asks"))
        assert not any(key.sha256 in text for key in KEYS)


@pytest.mark.parametrize(
    ("key", "domain", "run", "status"),
    [
        ("bb-shop", "shop", True, 200), ("bb-shop", "shop", False, 200),
        ("bb-shop", "bank", True, 403), ("bb-shop", "bank", False, 403),
        ("bb-bank", "bank", True, 200), ("bb-bank", "shop", True, 403),
        ("bb-bank", None, True, 403), ("bb-asks", "shop", True, 403),
        ("bb-asks", "shop", False, 200), ("bb-none", "shop", False, 403),
        ("bb-none", "shop", True, 403), ("bb-all", "bank", True, 200),
        ("bb-last", "shop", True, 200), ("bb-shop", "SHOP", True, 404),
        ("bb-shop", "*", True, 404), ("bb-all", "*", True, 404),
    ],
)  # fmt: skip
def test_rights_of_a_key(client, service, key, domain, run, status):
    for body in ({"plan": PLAN}, {"request": "hi", "background": True}):
        sent = body | {"run": run} | ({"domain": domain} if domain else {})
        if "request" in sent and status == 200:
            continue  # decoding is another matter
        answer = ask(client, "POST", "/v1/plans", key, json=sent)
        assert answer.status_code == status, answer.text
    assert bool(service.calls) == (run and status == 200)
    dry = ask(client, "POST", "/v1/plans", key, json={"plan": PLAN, "dry_run": True} | (
        {"domain": domain} if domain else {}
    ))  # fmt: skip
    allowed = domain in ("shop", "bank") and key in (f"bb-{domain}", "bb-all", "bb-last", "bb-asks")
    assert (dry.status_code == 200) == allowed


def test_what_one_key_has_asked_no_other_sees(client, service):
    """By the id of the request the key that asked; by that of the run, keys of its domain."""
    made = ask(client, "POST", "/v1/plans", "bb-shop", json={"plan": PLAN, "run": True}).json()
    run = made["execution"]["run"]
    for key, by_id, by_run in (
        ("bb-shop", 200, 200), ("bb-shop2", 404, 200), ("bb-asks", 404, 200), ("bb-all", 404, 200),
        ("bb-bank", 404, 404), ("bb-none", 404, 404),
    ):  # fmt: skip
        for name, status in ((made["id"], by_id), (run, by_run)):
            assert ask(client, "GET", f"/v1/plans/{name}", key).status_code == status, key
        events = ask(client, "GET", f"/v1/plans/{made['id']}/events", key)
        assert events.status_code == by_id
        listed = ask(client, "GET", "/v1/plans", key).json()["data"]
        assert (run in {one["run"] for one in listed}) == (by_run == 200)
        judged = ask(client, "POST", "/v1/feedback", key, json={"id": made["id"], "verdict": "bad"})
        assert judged.status_code == by_id
        again = ask(client, "POST", f"/v1/plans/{made['id']}/resume", key, json={})
        assert again.status_code >= 400 and service.calls == ["login"]


def test_only_a_key_that_may_run_lets_a_run_go_on(client, service):
    service.fails = True
    begun = ask(client, "POST", "/v1/plans", "bb-shop", json={"plan": PLAN, "run": True})
    assert begun.json()["status"] == "failed"
    service.fails = False
    path = f"/v1/plans/{begun.json()['execution']['run']}/resume"
    for key, statuses in (("bb-asks", (403,)), ("bb-bank", (404,)), ("bb-none", (403, 404)),
                          ("bb-old", (401,)), ("", (401,))):  # fmt: skip
        answer = ask(client, "POST", path, key, json={"give_up": True})
        assert answer.status_code in statuses, (key, answer.text)
    assert service.calls == ["login"]


def test_a_key_for_plans_has_no_tools_of_its_own_in_a_chat(client, service):
    """Tools of a chat are the client's: the server names them back, and never calls one."""
    tool = {"type": "function", "function": {"name": "refund_order", "parameters": {
        "type": "object", "properties": {}, "additionalProperties": False,
    }}}  # fmt: skip
    body = {"messages": [{"role": "user", "content": "refund"}], "tools": [tool],
            "tool_choice": "required", "max_tokens": 64}  # fmt: skip
    answer = ask(client, "POST", "/v1/chat/completions", "bb-none", json=body)
    assert answer.status_code == 200 and service.calls == []
    for extra in ({"domain": "shop"}, {"plan": PLAN}, {"run": True}):
        refused = ask(client, "POST", "/v1/chat/completions", "bb-shop", json=body | extra)
        assert refused.status_code == 400 and service.calls == []


# -- the keys themselves ---------------------------------------------------------------------------


def test_every_key_is_compared_and_in_the_same_time(monkeypatch):
    compared, really = [], hmac.compare_digest

    def compare(one, other):
        compared.append((one, other))
        return really(one, other)

    monkeypatch.setattr(keys_module.hmac, "compare_digest", compare)
    keys = Keys({key.sha256: key for key in KEYS[:4]})
    for given in ("bb-shop", "bb-bank", "bb-nobody"):
        compared.clear()
        if given == "bb-nobody":
            with pytest.raises(HttpError):
                keys.find(f"Bearer {given}")
        else:
            assert keys.find(f"Bearer {given}").name == given[3:]
        assert compared == [(key.sha256, key_hash(given)) for key in KEYS[:4]]


def bb_keys(*args):
    with pytest.raises(SystemExit) as stopped:
        run_app(keys_cli.app, "bb keys", [str(arg) for arg in args])
    return stopped.value.code


def test_key_files_are_for_their_owner_and_say_when_keys_end(tmp_path, capsys):
    file = tmp_path / "keys.yaml"
    assert bb_keys("new", file, "a", "--domain", "shop", "--expires", TODAY.isoformat()) == 0
    key = capsys.readouterr().out.strip()
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert load_keys(file).find(f"Bearer {key}").expires == TODAY
    assert bb_keys("list", file) == 0
    assert capsys.readouterr().out == f"a: shop, until {TODAY}\n"
    yesterday = TODAY - timedelta(days=1)
    file.write_text(file.read_text().replace(TODAY.isoformat(), yesterday.isoformat()))
    with pytest.raises(HttpError, match="no valid API key") as refused:
        load_keys(file).find(f"Bearer {key}")
    assert key not in str(refused.value) and refused.value.status == 401
    assert bb_keys("new", file, "b", "--expires", "tomorrow") == 2
    assert len(load_keys(file).all) == 1


def test_a_mode_that_was_chosen_stays(tmp_path):
    file = tmp_path / "keys.yaml"
    save_keys(file, KEYS[:1])
    file.chmod(0o640)
    save_keys(file, KEYS[:2])
    assert stat.S_IMODE(file.stat().st_mode) == 0o640
    assert json.loads(json.dumps(file.read_text())).count("sha256") == 2


def test_a_removed_key_opens_nothing(tmp_path):
    file = tmp_path / "keys.yaml"
    save_keys(file, KEYS[:2])
    assert load_keys(file).find("Bearer bb-shop2").name == "shop2"
    assert bb_keys("remove", file, "shop2") == 0
    with pytest.raises(HttpError, match="no valid API key"):
        load_keys(file).find("Bearer bb-shop2")
