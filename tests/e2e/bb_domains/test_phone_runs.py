"""Plans of the phone domain checked and carried out in its simulator, by the executor."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest

from bb_core.plan import Plan
from bb_domains import phone
from bb_domains.domain import Domain, make_domain
from bb_domains.phone.driver import Driver
from bb_domains.phone.elements import load_book
from bb_domains.phone.simulated import SECRETS, PhoneSimulator
from bb_domains.simulation import SPLITS, Request
from bb_domains.tools import ToolFailed
from bb_runtime.check import check_plan
from bb_runtime.execute import Execution, execute
from bem_kernel.ledger.chain import Ledger


@pytest.fixture(scope="module")
def domain() -> Domain:
    return make_domain(phone.plan_schema(), package="bb_domains.phone")


def run(domain: Domain, plan: Plan, adapters: Any, folder: Path) -> Execution:
    with Ledger(folder / "log") as ledger:
        return execute(domain, plan, check_plan(domain, plan), adapters, ledger)


def first(kind: str) -> Request:
    return next(
        request
        for request in phone.requests("train", 400, 0)
        if [goal["kind"] for goal in request.label["goals"]] == [kind] and request.policy == "open"
    )


@pytest.mark.parametrize("split", SPLITS)
def test_requests_are_carried_out_and_nothing_private_is_logged(
    domain: Domain, split: str, tmp_path: Path
) -> None:
    for request in phone.requests(split, 1, 6):
        simulator = phone.simulator(request)
        done = run(domain, request.plan, simulator, tmp_path)
        assert done.status == "done"
        assert not any(simulator.incidents().values())
        kept = b"".join(path.read_bytes() for path in tmp_path.rglob("log") if path.is_file())
        assert kept
        hidden = [
            str(step.args[name])
            for step in request.plan.steps
            for name in domain.schema.tools[step.tool].private
            if name in step.args
        ]
        for private in (*hidden, *SECRETS.values()):
            assert private.encode() not in kept


@dataclass
class Forgetful:
    """Does what it is told, and gives no answer for one tool, before or after doing it."""

    phone: PhoneSimulator
    tool: str
    does: bool
    n: int = 0

    def call(
        self, tool: str, args: Mapping[str, Any], idempotency_key: str | None = None
    ) -> dict[str, Any]:
        if tool == self.tool and self.n == 0:
            self.n += 1
            if self.does:
                self.phone.call(tool, args)
            raise ToolFailed(tool, 0, "no answer")
        return self.phone.call(tool, args)


def test_a_tap_without_an_answer_is_looked_up(domain: Domain, tmp_path: Path) -> None:
    request = first("message")
    adapters = Forgetful(phone.simulator(request), "send_message", does=True)
    assert run(domain, request.plan, adapters, tmp_path).status == "done"
    assert len(adapters.phone.phone.sent) == 1
    request = first("pay")
    adapters = Forgetful(phone.simulator(request), "confirm_payment", does=True)
    assert run(domain, request.plan, adapters, tmp_path).status == "done"
    assert len(adapters.phone.phone.payments) == 1


def test_a_payment_that_may_not_have_happened_is_not_made_again(
    domain: Domain, tmp_path: Path
) -> None:
    request = first("pay")
    adapters = Forgetful(phone.simulator(request), "confirm_payment", does=False)
    assert run(domain, request.plan, adapters, tmp_path).status != "done"
    assert adapters.phone.phone.payments == []


def test_guards_hold_what_the_screen_says_against_the_plan(domain: Domain, tmp_path: Path) -> None:
    request = first("pay")
    steps = [
        replace(step, args={"amount": 399.99}) if step.tool == "type_amount" else step
        for step in request.plan.steps
    ]
    simulator = phone.simulator(request)
    done = run(domain, Plan(tuple(steps)), simulator, tmp_path)
    assert done.status != "done"
    assert simulator.phone.payments == [] and simulator.phone.screen == "review"


def test_a_careful_driver_runs_the_same_plan(domain: Domain, tmp_path: Path) -> None:
    request = first("delete")
    handset = phone.simulator(request).phone
    driver = Driver(handset, load_book(), SECRETS)
    assert run(domain, request.plan, driver, tmp_path).status == "done"
    assert request.label["goals"][0]["name"] not in handset.contacts
