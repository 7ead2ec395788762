"""Planning requests: which wishes, on which orders and customers, in which words.

Requests are made from the service's own data and a seed, before any of them is carried out, so that
timing plays no part. Each goal is one that the service will grant: an order is refunded or
cancelled at most once, in all splits of one planner together, and no request appears twice.
"""

from __future__ import annotations

import random
from collections.abc import Container, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from bb_core.errors import BBError
from bb_domains.api_json.entities import make_amount, make_city, make_email, make_name
from bb_domains.api_json.skins import held_out_skins, training_skins
from bb_domains.api_json.workflows import GOAL_KINDS, LEVELS, REASONS, TAGS, WORKFLOWS
from bb_domains.wordings import Goal, Skin, render

SPLITS: tuple[str, ...] = ("train", "dev", "unseen_wordings", "unseen_compositions", "fresh")
SINGLE_SHARE = 0.4  # of requests with one or two goals
HELD_OUT_PAIR_SHARE = 0.25  # of unseen_compositions; the others have three goals
MOST_TRIES = 200


class Auditor(Protocol):
    """What reads the service's state."""

    def orders(self) -> list[dict[str, Any]]:
        """All orders, by number."""
        ...

    def customers(self) -> list[dict[str, Any]]:
        """All customers, by identifier."""
        ...

    def state(self, numbers: Sequence[int], customer_ids: Sequence[str]) -> dict[str, Any]:
        """The named orders and customers."""
        ...


@dataclass
class World:
    """The service's orders and customers, and what the planned requests will have changed.

    Attributes:
        orders: each order by number, as the service said at the start.
        emails: current address of each customer by identifier.
        spent: numbers of orders that are refunded or cancelled.
        noted: (customer, tag) pairs that exist.
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
        customers = auditor.customers()
        emails = {customer["id"]: customer["email"] for customer in customers}
        noted = {(customer["id"], tag) for customer in customers for tag in customer["notes"]}
        spent = {
            number
            for number, order in orders.items()
            if order["status"] == "cancelled" or order["refunded"] is not None
        }
        return cls(orders, emails, spent, noted, set(emails.values()))


@dataclass(frozen=True)
class PlannedRequest:
    """A request that is ready to be carried out.

    Attributes:
        split: the split it was made for.
        skin: name of its wording.
        text: what the user says.
        goals: what it asks for, in the order of its sentences.
        customers: identifiers of the customers concerned, one per goal.
    """

    split: str
    skin: str
    text: str
    goals: tuple[Goal, ...]
    customers: tuple[str, ...]

    @property
    def numbers(self) -> tuple[int, ...]:
        """Numbers of the orders concerned."""
        slots = (goal.slots for goal in self.goals)
        return tuple(int(slot["number"]) for slot in slots if "number" in slot)


def held_out_pairs() -> frozenset[tuple[str, str]]:
    """The ordered pairs of goal kinds that training never sees: 16 of 64.

    Each kind comes first in two of them and second in two, so training has seen every kind in both
    places.
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
    pairs = ((first, second) for first in GOAL_KINDS for second in GOAL_KINDS)
    return tuple(pair for pair in pairs if pair not in held_out)


def composition(split: str, rng: random.Random) -> tuple[str, ...]:
    """The goal kinds of one request of a split.

    `unseen_compositions`: three goals (3/4) or a held-out pair. `fresh`: one to three goals, any.
    The others: one goal (2/5) or a training pair.
    """
    if split == "unseen_compositions":
        if rng.random() < HELD_OUT_PAIR_SHARE:
            return rng.choice(sorted(held_out_pairs()))
        return tuple(rng.choice(GOAL_KINDS) for _ in range(3))
    if split == "fresh":
        return tuple(rng.choice(GOAL_KINDS) for _ in range(rng.randint(1, 3)))
    if rng.random() < SINGLE_SHARE:
        return (rng.choice(GOAL_KINDS),)
    return rng.choice(training_pairs())


def skins_of(split: str) -> tuple[Skin, ...]:
    """The skins that a split draws from."""
    if split == "unseen_wordings":
        return held_out_skins()
    if split == "fresh":
        return training_skins() + held_out_skins()
    return training_skins()


class RequestPlanner:
    """Plans requests on one world. What it plans is expected to be carried out, in that order.

    Args:
        world: the service's data, kept up to date by the planner.
        seed: makes the requests; the same calls on the same world give the same requests.
    """

    def __init__(self, world: World, seed: int) -> None:
        self._world = world
        self._seed = seed
        self._numbers = sorted(world.orders)
        self._customers = sorted(world.emails)
        self._texts: set[str] = set()

    def plan(self, split: str, n: int) -> Iterator[PlannedRequest]:
        """`n` requests of a split.

        Raises:
            BBError: unknown split, or the service has no suitable order left.
        """
        if split not in SPLITS:
            known = ", ".join(SPLITS)
            raise BBError(f"no split {split!r}", where="requests", fix=f"use one of {known}")
        rng = random.Random(f"{self._seed}/{split}")
        for _ in range(n):
            yield self._request(split, rng)

    def _request(self, split: str, rng: random.Random) -> PlannedRequest:
        for _ in range(MOST_TRIES):
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
        raise BBError("no new request found", where=f"requests: {split}", fix="ask for fewer")

    def _goal(self, kind: str, taken: Container[str], rng: random.Random) -> tuple[str, Goal]:
        """A goal that the service will grant, and its customer, who is not in `taken`."""
        make = self._order_goal if WORKFLOWS[kind].target == "order" else self._customer_goal
        for _ in range(MOST_TRIES):
            found = make(kind, rng)
            if found is not None and found[0] not in taken:
                return found
        raise BBError(
            f"the service has no order or customer left for {kind}",
            where="requests",
            fix="start the service on a new database file, or ask for fewer requests",
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


def in_units(cents: int) -> int | float:
    """An amount in the currency's unit: int when whole, else with at most two decimals."""
    return cents // 100 if cents % 100 == 0 else cents / 100


def _refund_amount(total: float, rng: random.Random) -> int | float:
    """The whole total (one time in five) or a part of it."""
    cents = round(total * 100)
    return in_units(cents if rng.random() < 0.2 else make_amount(rng, 100, cents))
