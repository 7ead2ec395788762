"""No side effect without a certificate: what forged ones come to, and what the last gate says."""

from __future__ import annotations

from dataclasses import replace

import pytest

from bb_core.plan import Plan, Step, parse_plan
from bb_domains.domain import make_domain
from bb_domains.privacy import Redactor
from bb_domains.schema import parse_schema, schema_data
from bb_runtime.carrier import Carrier, Task
from bb_runtime.check import check_plan
from bb_runtime.errors import ExecutionRefused
from bb_runtime.execute import execute
from bb_runtime.journal import Journal, journal_path
from bb_runtime.run_log import RunLog
from bem_kernel.ledger.chain import Ledger, read_entries


@pytest.fixture
def plan(plan_json):
    return parse_plan(plan_json)


def forgeries(shop, plan):
    """A certificate, and what it is shown for although it was made for something else."""
    good = check_plan(shop, plan)
    flipped = good.seal[:-1] + ("0" if good.seal[-1] != "0" else "1")
    other = Plan((*plan.steps[:3], Step("d", "refund_order", {**plan.steps[3].args, "amount": 99})))
    data = schema_data(shop.schema)
    data["tools"]["refund_order"]["guards"] = []
    lax = make_domain(parse_schema(data))
    hasty = replace(good, order=good.order[:-1])
    return [
        (shop, plan, replace(good, seal=flipped), "not made by the checker"),
        (shop, plan, replace(good, seal=""), "not made by the checker"),
        (shop, plan, replace(good, proof="0" * 64), "not made by the checker"),
        (shop, plan, hasty, "not made by the checker"),
        (shop, other, good, "belongs to another plan"),
        (shop, other, replace(good, plan_hash="f" * 64), "not made by the checker"),
        (shop, Plan(plan.steps[:2]), good, "belongs to another plan"),
        (lax, plan, good, "another version of domain shop"),
        (lax, plan, replace(good, domain_fingerprint=lax.fingerprint), "not made by the checker"),
    ]


def test_forged_plans_call_nothing(shop, plan, service, tmp_path):
    with Ledger(tmp_path / "x.ledger") as ledger:
        for domain, forged, certificate, message in forgeries(shop, plan):
            with pytest.raises(ExecutionRefused, match=message):
                execute(domain, forged, certificate, service, ledger)
    assert service.calls == [] and list(read_entries(tmp_path / "x.ledger")) == []
    assert not journal_path(tmp_path / "x.ledger").exists()


@pytest.fixture
def carrier(shop, plan, service, tmp_path):
    with (
        Ledger(tmp_path / "x.ledger") as ledger,
        Journal(tmp_path / "x.journal") as journal,
    ):
        log = RunLog(shop, ledger, Redactor(bytes(32)), "r")
        yield Carrier(shop, plan, check_plan(shop, plan), service, journal, log)


@pytest.mark.parametrize(
    "task",
    [
        Task("z", "login"),
        Task("a", "add_note", {"customer": "c1", "tag": "vip"}),
        Task("b", "get_order", {"number": 1043}),
        Task("b", "get_order", {"number": 1042, "all": True}),
        Task("d", "refund_order", {"order": "o1042", "amount": 99, "reason": "late"}),
        Task("undo:d", "add_note", {"customer": "c1", "tag": "vip"}),
        Task("undo:z", "login"),
    ],
)
def test_the_last_gate_lets_nothing_through_that_is_not_in_the_plan(carrier, service, task):
    with pytest.raises(ExecutionRefused, match="is not in the certified plan"):
        carrier.start(task)
    assert service.calls == []


def test_the_last_gate_lets_the_plan_through(carrier, service):
    carrier.start(Task("b", "get_order", {"number": 1042}, {"number": 1042}))
    assert carrier.end("b").ok and service.tools == ["get_order"]
