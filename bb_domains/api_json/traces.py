"""Instrumented traces: the scripted workflow driven against the running service, call by call.

Requests are planned first, from the service's own data and a seed, so that they do not depend on
timing; then each is carried out. An order is refunded or cancelled at most once and no request
appears twice, in all splits of one `TraceMaker` together. Everything in a trace is a function of
the seeds of service and maker but `t_s`.
"""

from __future__ import annotations

import random
import time
from collections.abc import Container, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from bb_core.errors import BBError
from bb_core.plan import Plan, parse_reference
from bb_core.trace import Trace, TraceStep
from bb_domains.api_json.entities import make_amount, make_city, make_email, make_name
from bb_domains.api_json.skins import Skin, held_out_skins, render, training_skins
from bb_domains.api_json.workflows import (
    GOAL_KINDS,
    LEVELS,
    REASONS,
    TAGS,
    WORKFLOWS,
    Goal,
    plan_for,
)

DOMAIN = "api_json"
SPLITS: tuple[str, ...] = ("train", "dev", "unseen_wordings", "unseen_compositions", "fresh")
MAX_TRIES = 200


class Adapters(Protocol):
    """What carries out a tool call; arguments are resolved."""

    def call(
        self, tool: str, args: Mapping[str, Any], idempotency_key: str | None = None
    ) -> dict[str, Any]:
        """The tool's result."""


class Auditor(Protocol):
    """What reads the service's state."""

    def orders(self) -> list[dict[str, Any]]:
        """All orders, by number."""

    def customers(self) -> list[dict[str, Any]]:
        """All customers, by identifier."""

    def state(self, numbers: Sequence[int], customer_ids: Sequence[str]) -> dict[str, Any]:
        """The named orders and customers."""


def held_out_pairs() -> frozenset[tuple[str, str]]:
    """The ordered pairs of goal kinds that training never sees: 16 of 64.

    Each kind comes first in two of them and second in two of them, so training has seen every kind
    in both places.
    """
    n = len(GOAL_KINDS)
    return frozenset(
        (kind, GOAL_KINDS[(i + offset) % n])
        for i, kind in enumerate(GOAL_KINDS)
        for offset in (1, 4)
    )


def training_pairs() -> tuple[tuple[str, str], ...]:
    """The ordered pairs of goal kinds that training may see: 48 of 64."""
    held_out = held_out_pairs()
    return tuple((a, b) for a in GOAL_KINDS for b in GOAL_KINDS if (a, b) not in held_out)


def composition(split: str, rng: random.Random) -> tuple[str, ...]:
    """The goal kinds of one request of a split.

    train, dev, unseen_wordings: one goal (40%) or a training pair. unseen_compositions: three goals
        (3/4) or a held-out pair.
    fresh: one to three goals, any.
    """
    if split == "unseen_compositions":
        if rng.random() < 0.25:
            return rng.choice(sorted(held_out_pairs()))
        return tuple(rng.choice(GOAL_KINDS) for _ in range(3))
    if split == "fresh":
        return tuple(rng.choice(GOAL_KINDS) for _ in range(rng.randint(1, 3)))
    return (rng.choice(GOAL_KINDS),) if rng.random() < 0.4 else rng.choice(training_pairs())


def skins_of(split: str) -> tuple[Skin, ...]:
    """The skins that a split draws from."""
    if split == "unseen_wordings":
        return held_out_skins()
    if split == "fresh":
        return training_skins() + held_out_skins()
    return training_skins()


@dataclass
class World:
    """The service's orders and customers, and what the traces have used up.

    Attributes:
        orders: state of each order by number, as the service said at the start.
        emails: current address of each customer by identifier.
        spent: numbers of orders that are refunded, cancelled or promised to be.
        noted: (customer, tag) pairs that exist or are promised.
        taken_emails: every address that was ever in use.
    """

    orders: dict[int, dict[str, Any]]
    emails: dict[str, str]
    spent: set[int]
    noted: set[tuple[str, str]]
    taken_emails: set[str]

    @classmethod
    def read(cls, auditor: Auditor) -> World:
        """The world as the service reports it."""
        orders = {order["number"]: order for order in auditor.orders()}
        emails = {customer["id"]: customer["email"] for customer in auditor.customers()}
        spent = {
            number
            for number, order in orders.items()
            if order["status"] == "cancelled" or order["refunded"] is not None
        }
        return cls(orders, emails, spent, set(), set(emails.values()))


@dataclass(frozen=True)
class PlannedRequest:
    """A request that is ready to be carried out.

    Attributes:
        split, skin, text: where it belongs and how it reads.
        goals: what it asks for.
        customers: identifiers of the customers concerned, for reading their state.
    """

    split: str
    skin: str
    text: str
    goals: tuple[Goal, ...]
    customers: tuple[str, ...]


class TraceMaker:
    """Plans requests of all splits and drives the service with them.

    Requests are unique over all splits that one maker makes.
    """

    def __init__(self, adapters: Adapters, auditor: Auditor, seed: int):
        self._adapters = adapters
        self._auditor = auditor
        self._seed = seed
        self._world = World.read(auditor)
        self._numbers = sorted(self._world.orders)
        self._customers = sorted(self._world.emails)
        self._texts: set[str] = set()

    def make(self, split: str, n: int) -> Iterator[Trace]:
        """`n` traces of a split.

        Raises:
            BBError: unknown split, or the service has no suitable order left.
            ToolFailed: the service refused a call; its rules and the workflow disagree.
        """
        if split not in SPLITS:
            raise BBError(
                f"no split {split!r}", where="traces", fix=f"use one of {', '.join(SPLITS)}"
            )
        rng = random.Random(f"{self._seed}/{split}")
        for i in range(n):
            yield self._carry_out(self._plan_request(split, rng), f"{split}-{i:05d}")

    def _plan_request(self, split: str, rng: random.Random) -> PlannedRequest:
        for _ in range(MAX_TRIES):
            skin = rng.choice(skins_of(split))
            wishes: dict[str, Goal] = {}  # by customer: no two goals of a request share one
            for kind in composition(split, rng):
                customer, goal = self._goal(kind, wishes, rng)
                wishes[customer] = goal
            text = render(skin, tuple(wishes.values()), rng)
            if text not in self._texts:
                self._texts.add(text)
                for customer, goal in wishes.items():
                    self._promise(customer, goal)
                return PlannedRequest(split, skin.name, text, tuple(wishes.values()), tuple(wishes))
        raise BBError("no new request found", where=f"traces: {split}", fix="ask for fewer traces")

    def _goal(self, kind: str, taken: Container[str], rng: random.Random) -> tuple[str, Goal]:
        """A goal that the service will grant, and the customer concerned, who is not in `taken`."""
        make = self._order_goal if WORKFLOWS[kind].target == "order" else self._customer_goal
        for _ in range(MAX_TRIES):
            found = make(kind, rng)
            if found is not None and found[0] not in taken:
                return found
        raise BBError(
            f"the service has no order or customer left for {kind}",
            where="traces",
            fix="start the service on a new database file, or make fewer traces",
        )

    def _order_goal(self, kind: str, rng: random.Random) -> tuple[str, Goal] | None:
        number = rng.choice(self._numbers)
        order = self._world.orders[number]
        if kind != "track" and number in self._world.spent:
            return None
        if kind in ("cancel", "city", "priority") and order["status"] == "delivered":
            return None
        customer = order["customer_id"]
        slots: dict[str, int | float | str] = {"number": number}
        if WORKFLOWS[kind].confirms_owner:
            slots["email"] = self._world.emails[customer]
        if kind == "refund":
            slots["amount"] = _refund_amount(order["total"], rng)
            slots["reason"] = rng.choice(REASONS)
        elif kind == "city":
            slots["city"] = make_city(rng)
        elif kind == "priority":
            slots["level"] = rng.choice(LEVELS)
        return customer, Goal(kind, slots)

    def _customer_goal(self, kind: str, rng: random.Random) -> tuple[str, Goal] | None:
        customer = rng.choice(self._customers)
        slots: dict[str, int | float | str] = {"email": self._world.emails[customer]}
        if kind == "email":
            slots["new_email"] = make_email(rng, *make_name(rng))
            if slots["new_email"] in self._world.taken_emails:
                return None
        elif kind == "voucher":
            slots["amount"] = in_units(make_amount(rng, 200, 20_000))
        else:
            slots["tag"] = rng.choice(TAGS)
            if (customer, slots["tag"]) in self._world.noted:
                return None
        return customer, Goal(kind, slots)

    def _promise(self, customer: str, goal: Goal) -> None:
        """Remember what the goal will change, for the requests that come after."""
        if goal.kind in ("refund", "cancel"):
            self._world.spent.add(int(goal.slots["number"]))
        elif goal.kind == "email":
            self._world.emails[customer] = str(goal.slots["new_email"])
            self._world.taken_emails.add(str(goal.slots["new_email"]))
        elif goal.kind == "note":
            self._world.noted.add((customer, str(goal.slots["tag"])))

    def _carry_out(self, request: PlannedRequest, trace_id: str) -> Trace:
        numbers = [int(goal.slots["number"]) for goal in request.goals if "number" in goal.slots]
        before = self._auditor.state(numbers, request.customers)
        steps = self._call_all(plan_for(request.goals))
        after = self._auditor.state(numbers, request.customers)
        label = {"split": request.split, "goals": [goal.as_label() for goal in request.goals]}
        return Trace(trace_id, DOMAIN, request.skin, request.text, steps, before, after, label)

    def _call_all(self, plan: Plan) -> tuple[TraceStep, ...]:
        results: dict[str, dict[str, Any]] = {}
        steps = []
        for step in plan.steps:
            args = {name: _resolve(value, results) for name, value in step.args.items()}
            start = time.perf_counter()
            results[step.id] = self._adapters.call(step.tool, args)
            t_s = round(time.perf_counter() - start, 6)
            steps.append(TraceStep(step.tool, dict(step.args), results[step.id], True, t_s))
        return tuple(steps)


def in_units(cents: int) -> int | float:
    """An amount in the currency's unit: int when whole, else a float with at most two decimals."""
    return cents // 100 if cents % 100 == 0 else cents / 100


def _refund_amount(total: float, rng: random.Random) -> int | float:
    """The whole total (one time in five) or a part of it."""
    cents = round(total * 100)
    return in_units(cents if rng.random() < 0.2 else make_amount(rng, 100, cents))


def _resolve(value: Any, results: Mapping[str, Mapping[str, Any]]) -> Any:
    reference = parse_reference(value) if isinstance(value, str) else None
    return value if reference is None else results[reference.step][reference.path]
