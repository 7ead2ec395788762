"""A plan that is refused, or stopped by a rule, makes room for the next."""

from __future__ import annotations

import pytest

from bb_domains.tools import ToolFailed
from bb_runtime.errors import ExecutionRefused, PlanRefused
from bb_runtime.execute import resume
from bb_runtime.fallback import Proposer, fulfil, propose
from bem_kernel.ledger.chain import Ledger, read_entries

SMALL = (
    '{"plan":[{"id":"a","tool":"login","args":{}},'
    '{"id":"b","tool":"get_order","args":{"number":1042}},'
    '{"id":"c","tool":"change_city","args":{"order":"$b.id","city":"Bern"}}]}'
)


@pytest.fixture
def log(tmp_path):
    return tmp_path / "x.ledger"


def events(log, kind):
    return [entry for entry in read_entries(log) if entry["event"] == kind]


def proposers(*texts):
    names = ["builder", "base"]
    return [Proposer(n, lambda t=t: t) for n, t in zip(names, texts, strict=False)]


def test_a_refused_plan_is_followed_by_the_base_rails(shop, service, log, plan_json):
    with Ledger(log) as ledger:
        texts = (plan_json.replace("login", "logout"), SMALL)
        proposal, done = fulfil(shop, proposers(*texts), service, ledger)
    assert (proposal.proposer, done.status) == ("base", "done")
    (refused,) = events(log, "refused")
    assert (refused["proposer"], refused["step"], refused["rule"]) == ("builder", "a", "tool")
    assert "ana@example.com" not in log.read_text()


def test_a_violation_is_followed_by_the_base_rail(shop, service, log, plan_json):
    service.total = 1.0
    with Ledger(log) as ledger:
        proposal, done = fulfil(shop, proposers(plan_json, SMALL), service, ledger)
    assert (proposal.proposer, done.status) == ("base", "done")
    (entry,) = events(log, "fallback")
    with Ledger(log) as ledger, pytest.raises(ExecutionRefused, match="has ended: failed"):
        resume(shop, entry["run"], service, ledger)
    assert (entry["proposer"], entry["next"], entry["rule"]) == ("builder", "base", "guard")


def test_a_failing_tool_is_no_violation(shop, service, log, plan_json):
    service.failures["refund_order"] = ToolFailed("refund_order", 409, "no")
    with Ledger(log) as ledger:
        proposal, done = fulfil(shop, proposers(plan_json, SMALL), service, ledger)
    assert (proposal.proposer, done.status, done.rule) == ("builder", "failed", "tool")


def test_nothing_follows_where_something_stands(shop, service, log):
    """The city is changed and cannot be changed back: a second plan would do it twice."""
    plan = SMALL[:-2] + (
        ',{"id":"d","tool":"confirm_owner","args":{"order":"$b.id","email":"a@x.io"}},'
        '{"id":"e","tool":"refund_order","args":{"order":"$b.id","amount":12,"reason":"late"}}]}'
    )
    service.total = 1.0
    with Ledger(log) as ledger:
        proposal, done = fulfil(shop, proposers(plan, SMALL), service, ledger)
    assert (proposal.proposer, done.rule, done.stands) == ("builder", "guard", ("c",))
    assert service.tools.count("change_city") == 1


def test_the_last_refusal_is_raised(shop, log):
    with Ledger(log) as ledger, pytest.raises(PlanRefused, match="not JSON"):
        propose(shop, proposers("{", "}"), ledger)
    assert [e["proposer"] for e in events(log, "refused")] == ["builder", "base"]


def test_each_plan_is_shown_before_it_runs(shop, service, log):
    seen = []
    with Ledger(log) as ledger:
        fulfil(shop, proposers(SMALL), service, ledger, on_plan=lambda p: seen.append(p.proposer))
    assert seen == ["builder"]
