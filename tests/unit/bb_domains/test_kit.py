"""What a domain's package offers, installed or in a folder; plans tried in its simulator."""

from __future__ import annotations

from pathlib import Path

import pytest

from bb_core.errors import BBError
from bb_core.plan import Plan, Step
from bb_domains.domain import Domain, load_domain
from bb_domains.errors import DomainError
from bb_domains.kit import has_simulator, make_requests, make_simulator, open_adapters
from bb_domains.simulation import Request, record, try_plan

SCHEMA = """
domain: lamps
objects: {lamp: {slots: 2}}
fluents: {lit: [lamp]}
tools:
  find:
    args: {type: object, properties: {n: {type: integer, minimum: 1, maximum: 9}}, required: [n]}
    binds: {object: lamp, key: n}
  light:
    args: {type: object, properties: {lamp: {}}, required: [lamp]}
    handles: {lamp: {object: lamp}}
    pre: "!lit(lamp)"
    effects: [lit(lamp)]
"""
PACKAGE = """
from contextlib import contextmanager

from bb_core.plan import Plan, Step
from bb_domains.simulation import Request

from .world import Lamps


@contextmanager
def open_adapters(schema, environment):
    yield Lamps({int(environment["LAMP"])})


def requests(split, n, seed):
    for i in range(n):
        plan = Plan((Step("a", "find", {"n": 1 + i}), Step("b", "light", {"lamp": "$a.id"})))
        yield Request(f"{split}-{i}", split, "plain", f"Light lamp {1 + i}.", plan, seed)


def simulator(request):
    return Lamps({request.seed})
"""
WORLD = """
from bb_domains.tools import ToolFailed


class Lamps:
    def __init__(self, broken):
        self.broken, self.lit, self.sparks = set(broken), set(), 0

    def call(self, tool, args, idempotency_key=None):
        if tool == "find":
            return {"id": f"lamp-{args['n']}"}
        n = int(args["lamp"].removeprefix("lamp-"))
        if n in self.broken:
            self.sparks += 1
            raise ToolFailed(tool, 409, f"lamp {n} is broken")
        self.lit.add(n)
        return {"lit": True}

    def state(self):
        return {"lit": sorted(self.lit)}

    def incidents(self):
        return {"sparks": self.sparks}

    def copy(self):
        twin = Lamps(self.broken)
        twin.lit, twin.sparks = set(self.lit), self.sparks
        return twin
"""


@pytest.fixture
def lamps(tmp_path: Path) -> Domain:
    (tmp_path / "plan_schema.yaml").write_text(SCHEMA)
    (tmp_path / "__init__.py").write_text(PACKAGE)
    (tmp_path / "world.py").write_text(WORLD)
    return load_domain(tmp_path)


def test_a_folder_with_a_package_offers_what_its_functions_make(lamps: Domain) -> None:
    assert has_simulator(lamps)
    first, second = make_requests(lamps, "train", 2, seed=2)
    done = record("lamps", make_simulator(lamps, first), first)
    assert [step.ok for step in done.steps] == [True, True]
    assert (done.state_before, done.state_after) == ({"lit": []}, {"lit": [1]})
    failed = record("lamps", make_simulator(lamps, second), second)
    assert [step.ok for step in failed.steps] == [True, False]
    assert failed.steps[1].result == {"status": 409, "reason": "lamp 2 is broken"}
    assert failed.label["incidents"] == {"sparks": 1}


def test_a_trace_of_a_failed_plan_stops_at_the_failure(lamps: Domain) -> None:
    light = Step("b", "light", {"lamp": "$a.id"})
    plan = Plan((Step("a", "find", {"n": 7}), light, Step("c", "find", {"n": 8})))
    simulator = make_simulator(lamps, Request("r", "dev", "s", "t", plan, seed=7))
    twin = simulator.copy()
    outcome = try_plan(simulator, plan)
    assert not outcome.done
    assert [step.tool for step in outcome.steps] == ["find", "light"]
    assert (outcome.incidents, twin.incidents()) == ({"sparks": 1}, {"sparks": 0})


def test_adapters_of_the_package_come_before_http(lamps: Domain) -> None:
    with open_adapters(lamps, {"LAMP": "3"}) as adapters:
        assert adapters.call("light", {"lamp": "lamp-1"}) == {"lit": True}


def test_a_schema_is_read_without_running_the_folders_code(tmp_path: Path) -> None:
    (tmp_path / "plan_schema.yaml").write_text(SCHEMA)
    (tmp_path / "__init__.py").write_text("raise RuntimeError('ran')\n")
    domain = load_domain(tmp_path)
    with pytest.raises(DomainError, match=r"__init__\.py: cannot be imported: RuntimeError: ran"):
        has_simulator(domain)


def test_what_is_missing_is_named(tmp_path: Path) -> None:
    (tmp_path / "plan_schema.yaml").write_text(SCHEMA)
    domain = load_domain(tmp_path)
    assert not has_simulator(domain)
    with pytest.raises(DomainError, match=r"domain lamps: offers no requests\(\); add it to"):
        make_requests(domain, "train", 1, seed=0)
    with pytest.raises(DomainError, match="no split 'test'; use one of train, dev"):
        make_requests(domain, "test", 1, seed=0)
    with pytest.raises(BBError, match="domain lamps: declares no service"), open_adapters(domain):
        pass


def test_an_installed_domain_knows_its_package() -> None:
    assert load_domain("api_json").package == "bb_domains.api_json"
