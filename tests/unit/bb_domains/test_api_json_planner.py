"""Planned requests: distinct, in the right split, and such that the service will grant them."""

from __future__ import annotations

import itertools
import random
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from bb_core.errors import BBError
from bb_domains.api_json.planner import (
    COMPOSITIONS,
    SPLITS,
    PlannedRequest,
    RequestPlanner,
    World,
    composition,
)
from bb_domains.api_json.rules import Rules
from bb_domains.api_json.skins import skins
from bb_domains.api_json.store import connect, seed_database
from bb_domains.api_json.workflows import GOAL_KINDS

ALL = 10_000


@dataclass(frozen=True)
class LocalAuditor:
    """Reads the database without the service."""

    rules: Rules

    def orders(self) -> list[dict[str, Any]]:
        return self.rules.list_orders(0, ALL)

    def customers(self) -> list[dict[str, Any]]:
        return self.rules.list_customers("", ALL)

    def state(self, numbers: Any, customer_ids: Any) -> dict[str, Any]:
        return self.rules.read_state(list(numbers), list(customer_ids))


@pytest.fixture(scope="module")
def auditor(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalAuditor]:
    database: Path = tmp_path_factory.mktemp("store") / "service.db"
    connection = connect(database)
    seed_database(connection, 5)
    connection.execute(
        "INSERT INTO notes SELECT id, 'vip' FROM customers WHERE id < 'cus_8' ORDER BY id"
    )
    yield LocalAuditor(Rules(connection, ""))
    connection.close()


@pytest.fixture(scope="module")
def planned(auditor: LocalAuditor) -> dict[str, list[PlannedRequest]]:
    """A thousand requests of each split."""
    planner = RequestPlanner(World.read(auditor), 1)
    return {split: list(planner.plan(split, 1000)) for split in SPLITS}


def kinds(request: PlannedRequest) -> tuple[str, ...]:
    return tuple(goal.kind for goal in request.goals)


def test_training_sees_no_held_out_composition(planned: dict[str, list[PlannedRequest]]) -> None:
    for split in ("train", "dev", "unseen_wordings"):
        for request in planned[split]:
            assert not COMPOSITIONS.holds_out(kinds(request))
    unseen = [kinds(request) for request in planned["unseen_compositions"]]
    assert all(map(COMPOSITIONS.holds_out, unseen))
    assert 0.7 < sum(len(k) == 3 for k in unseen) / len(unseen) < 0.8
    assert {len(kinds(request)) for request in planned["fresh"]} == {1, 2, 3}


def test_training_sees_no_held_out_wording(planned: dict[str, list[PlannedRequest]]) -> None:
    trained = {skin.name for skin in skins().of("train")}
    held_out = {skin.name for skin in skins().of("unseen_wordings")}
    wanted = {"unseen_wordings": held_out, "fresh": trained | held_out}
    for split in SPLITS:
        assert {request.skin for request in planned[split]} == wanted.get(split, trained)


def test_no_request_appears_twice(planned: dict[str, list[PlannedRequest]]) -> None:
    texts = [request.text for split in SPLITS for request in planned[split]]
    assert len(set(texts)) == len(texts)


def test_goals_of_a_request_share_no_order_and_no_customer(
    planned: dict[str, list[PlannedRequest]],
) -> None:
    for request in itertools.chain(*planned.values()):
        assert len(set(request.numbers)) == len(request.numbers)
        assert len(set(request.customers)) == len(request.customers) == len(request.goals)


def test_an_order_is_spent_at_most_once(planned: dict[str, list[PlannedRequest]]) -> None:
    spent = [
        goal.slots["number"]
        for request in itertools.chain(*planned.values())
        for goal in request.goals
        if goal.kind in ("refund", "cancel")
    ]
    assert len(spent) > 500 and len(set(spent)) == len(spent)


def test_goals_are_ones_that_the_service_grants(
    auditor: LocalAuditor, planned: dict[str, list[PlannedRequest]]
) -> None:
    orders = {order["number"]: order for order in auditor.orders()}
    customers = {customer["email"]: customer for customer in auditor.customers()}
    for goal in (g for r in itertools.chain(*planned.values()) for g in r.goals):
        order = orders.get(goal.slots.get("number"))
        assert (order is None) == (goal.kind in ("email", "voucher", "note"))
        if goal.kind in ("cancel", "city", "priority"):
            assert order is not None and order["status"] in ("placed", "shipped")
        if goal.kind == "refund":
            assert order is not None and order["status"] != "cancelled"
            assert float(goal.slots["amount"]) <= order["total"]
        if goal.kind == "note" and goal.slots["email"] in customers:
            assert goal.slots["tag"] not in customers[goal.slots["email"]]["notes"]


def test_amounts_are_in_the_form_of_plans(planned: dict[str, list[PlannedRequest]]) -> None:
    amounts = [
        goal.slots["amount"]
        for request in itertools.chain(*planned.values())
        for goal in request.goals
        if "amount" in goal.slots
    ]
    for amount in amounts:
        assert isinstance(amount, int) or (amount != int(amount) and round(amount, 2) == amount)
        assert 0.01 <= float(amount) <= 500
    whole = sum(isinstance(amount, int) for amount in amounts) / len(amounts)
    assert 0.3 < whole < 0.7


def test_entities_are_many(planned: dict[str, list[PlannedRequest]]) -> None:
    slots = [goal.slots for request in planned["train"] for goal in request.goals]
    emails = [slot["email"] for slot in slots if "email" in slot]
    assert len(set(emails)) > 0.8 * len(emails)
    assert len({str(email).split("@")[1] for email in emails}) >= 40
    assert len({slot["city"] for slot in slots if "city" in slot}) >= 60


def test_planning_is_a_function_of_the_seed(auditor: LocalAuditor) -> None:
    def texts(seed: int) -> list[str]:
        planner = RequestPlanner(World.read(auditor), seed)
        return [request.text for split in SPLITS for request in planner.plan(split, 5)]

    assert texts(3) == texts(3) != texts(4)


def test_an_unknown_split_is_named(auditor: LocalAuditor) -> None:
    planner = RequestPlanner(World.read(auditor), 0)
    with pytest.raises(BBError, match=r"requests: no split 'test'; use one of train, dev"):
        next(planner.plan("test", 1))


def test_a_used_up_service_is_said(auditor: LocalAuditor) -> None:
    world = World.read(auditor)
    world.spent.update(world.orders)
    planner = RequestPlanner(world, 0)
    with pytest.raises(BBError, match=r"no order or customer left for (refund|cancel|city|prio)"):
        list(planner.plan("train", 100))


@pytest.mark.parametrize("split", SPLITS)
def test_compositions_are_of_known_kinds(split: str) -> None:
    rng = random.Random(split)
    assert {kind for _ in range(500) for kind in composition(split, rng)} == set(GOAL_KINDS)
