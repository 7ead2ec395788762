"""Simulated shops: requests of every split are granted there, and what must not happen counts."""

from __future__ import annotations

from dataclasses import replace

import pytest

from bb_core.errors import BBError
from bb_core.plan import Plan, Step
from bb_domains.api_json import requests, simulator
from bb_domains.api_json.layouts import LAYOUTS, N_ORDERS, open_shop
from bb_domains.api_json.policies import POLICIES
from bb_domains.api_json.rules import Rules
from bb_domains.domain import Domain, load_domain
from bb_domains.simulation import Request, Simulator, try_plan
from bb_domains.tools import ToolFailed


@pytest.fixture(scope="module")
def domain() -> Domain:
    return load_domain("api_json")


def first(split: str, kind: str, policy: str = "standard") -> Request:
    """The first request of a split that has a goal of this kind, alone, under a policy."""
    return next(
        request
        for request in requests(split, 500, 0)
        if [goal["kind"] for goal in request.label["goals"]] == [kind] and request.policy == policy
    )


def opened(request: Request) -> tuple[Simulator, str]:
    """The request's shop after login and the first look-up, and what that found."""
    shop = simulator(request)
    shop.call("login", {})
    step = request.plan.steps[1]
    return shop, shop.call(step.tool, step.args)["id"]


@pytest.mark.parametrize("name", LAYOUTS)
def test_layouts_are_a_function_of_their_seed(name: str) -> None:
    one, again, other = (
        Rules(open_shop(LAYOUTS[name], seed), "").list_orders(0, 1000) for seed in (1, 1, 2)
    )
    assert one == again != other
    assert len(one) == N_ORDERS
    low, high = LAYOUTS[name].numbers
    assert all(low <= order["number"] <= high for order in one)


def test_answers_carry_what_the_layout_adds() -> None:
    request = next(r for r in requests("unseen_layouts", 99, 0) if r.layout == "marketplace")
    shop = simulator(request)
    shop.call("login", {})
    step = request.plan.steps[1]
    assert shop.call(step.tool, step.args)["seller"]["name"] == "Fern & Hill"


@pytest.mark.parametrize(
    ("split", "policy", "kind"),
    [
        ("train", "track_before_cancel", "cancel"),
        ("unseen_policies", "track_before_refund", "refund"),
        ("unseen_policies", "watch_before_email", "email"),
    ],
)
def test_house_rules_are_stated_and_kept(split: str, policy: str, kind: str) -> None:
    request = first(split, kind, policy)
    assert any(request.text.endswith(said) for said in POLICIES[policy].says)
    (rule,) = POLICIES[policy].prerequisites
    assert [step.tool for step in request.plan.steps[-2:]] == [rule.before, rule.tool]
    without = Plan((*request.plan.steps[:-2], replace(request.plan.steps[-1], id="d")))
    if len(request.plan.steps) == 4:  # no owner to confirm
        without = Plan((*request.plan.steps[:-2], replace(request.plan.steps[-1], id="c")))
    shop = simulator(request)
    outcome = try_plan(shop, without)
    assert not outcome.done
    assert outcome.steps[-1].result["reason"] == f"the house rules ask for {rule.before} first"
    assert outcome.incidents["policy_breaches"] == 1


def test_caps_are_kept() -> None:
    request = first("unseen_policies", "voucher", "capped_vouchers")
    assert request.label["goals"][0]["amount"] <= 50
    shop, customer = opened(request)
    with pytest.raises(ToolFailed, match="the house rules allow 50 at most"):
        shop.call("issue_voucher", {"customer": customer, "amount": 50.01})
    assert shop.incidents()["policy_breaches"] == 1


def test_refunds_refused_or_not_asked_for_are_errors() -> None:
    request = first("train", "refund")
    goal = request.label["goals"][0]
    shop, order = opened(request)
    asked = {"order": order, "amount": goal["amount"], "reason": goal["reason"]}
    with pytest.raises(ToolFailed, match="403: the owner of this order is not confirmed"):
        shop.call("refund_order", asked)
    assert shop.incidents()["refund_errors"] == 1
    shop.call("confirm_owner", {"order": order, "email": goal["email"]})
    less = shop.copy()
    shop.call("refund_order", {**asked, "amount": float(goal["amount"])})
    assert shop.incidents()["refund_errors"] == 1
    less.call("refund_order", {**asked, "amount": 0.01})
    assert less.incidents()["refund_errors"] == 2
    assert less.state() != shop.state()


def test_changes_that_nobody_asked_for_count() -> None:
    shop, order = opened(first("train", "track"))
    shop.call("set_priority", {"order": order, "level": "express"})
    assert shop.incidents() == {"refund_errors": 0, "unasked_changes": 1, "policy_breaches": 0}


def test_a_key_makes_a_call_happen_once() -> None:
    shop, customer = opened(first("train", "voucher"))
    args = {"customer": customer, "amount": 3}
    one = shop.call("issue_voucher", args, "k")
    assert shop.copy().call("issue_voucher", args, "k") == one
    assert shop.call("issue_voucher", args, "k") == one
    assert len(shop.state()["customers"][customer]["vouchers"]) == 1
    with pytest.raises(ToolFailed, match="422: this Idempotency-Key was used for another"):
        shop.call("issue_voucher", {**args, "amount": 4}, "k")


@pytest.mark.parametrize(
    ("tool", "args", "said"),
    [
        ("get_order", {"number": "1042"}, "422: '1042' is not of type 'integer'"),
        ("get_order", {}, "422: 'number' is a required property"),
        ("set_priority", {"order": "x", "level": "express", "rush": 1}, "422: Additional prop"),
        ("no_tool", {}, "404: there is no such tool"),
        ("get_order", {"number": 1000}, "401: log in first"),
    ],
)
def test_malformed_calls_are_refused(tool: str, args: dict[str, object], said: str) -> None:
    shop = simulator(next(requests("train", 1, 0)))
    with pytest.raises(ToolFailed, match=said):
        shop.call(tool, args)


def test_unknown_layouts_and_policies_are_named() -> None:
    request = next(requests("train", 1, 0))
    with pytest.raises(BBError, match="no layout 'x'; use one of mixed, "):
        simulator(replace(request, layout="x"))
    with pytest.raises(BBError, match="no policy 'x'; use one of standard, "):
        simulator(replace(request, policy="x"))


def test_a_plan_that_repeats_a_look_up_is_no_incident() -> None:
    request = first("train", "track")
    again = Plan((*request.plan.steps, Step("d", "track_shipment", {"order": "$b.id"})))
    assert try_plan(simulator(request), again).done
