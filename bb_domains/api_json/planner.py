"""Planning requests: which wishes, on which orders and customers, in which words.

Requests are made from the service's own data and a seed, before any of them is carried out, so that
timing plays no part. Each goal is one that the service will grant: an order is refunded or
cancelled at most once, in all splits of one planner together, and no request appears twice.
"""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Protocol

from bb_core.errors import BBError
from bb_domains.api_json.entities import make_amount, make_city, make_email, make_name
from bb_domains.api_json.skins import skins
from bb_domains.api_json.workflows import GOAL_KINDS, LEVELS, REASONS, TAGS, WORKFLOWS
from bb_domains.variants import Compositions
from bb_domains.wordings import Goal, Skin, render

SPLITS: tuple[str, ...] = ("train", "dev", "unseen_wordings", "unseen_compositions", "fresh")
COMPOSITIONS = Compositions(GOAL_KINDS, (1, 4), pair_share=0.25)
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

    @cached_property
    def numbers(self) -> list[int]:
        """Numbers of all orders."""
        return sorted(self.orders)

    @cached_property
    def customers(self) -> list[str]:
        """Identifiers of all customers."""
        return sorted(self.emails)

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


def composition(split: str, rng: random.Random) -> tuple[str, ...]:
    """The goal kinds of one request of a split; `fresh`: one to three goals, any."""
    if split == "fresh":
        return tuple(rng.choice(GOAL_KINDS) for _ in range(rng.randint(1, 3)))
    return COMPOSITIONS.draw(split, rng)


def _skins_of(split: str) -> tuple[Skin, ...]:
    known = skins()
    if split == "fresh":
        return known.of("train") + known.of("unseen_wordings")
    return known.of(split)


class RequestPlanner:
    """Plans requests on one world. What it plans is expected to be carried out, in that order.

    Args:
        world: the service's data, kept up to date by the planner.
        seed: makes the requests; the same calls on the same world give the same requests.
    """

    def __init__(self, world: World, seed: int) -> None:
        self._world = world
        self._seed = seed
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
            skin = rng.choice(_skins_of(split))
            wishes = granted_goals(self._world, composition(split, rng), rng)
            text = render(skin, tuple(wishes.values()), rng)
            if text not in self._texts:
                self._texts.add(text)
                for customer, goal in wishes.items():
                    self._promise(customer, goal)
                return PlannedRequest(split, skin.name, text, tuple(wishes.values()), tuple(wishes))
        raise BBError("no new request found", where=f"requests: {split}", fix="ask for fewer")

    def _promise(self, customer: str, goal: Goal) -> None:
        """Remember what the goal will change, for the requests that come after."""
        if goal.kind in ("refund", "cancel"):
            self._world.spent.add(int(goal.slots["number"]))
        elif goal.kind == "email":
            self._world.emails[customer] = str(goal.slots["new_email"])
            self._world.taken_emails.add(str(goal.slots["new_email"]))
        elif goal.kind == "note":
            self._world.noted.add((customer, str(goal.slots["tag"])))


def granted_goals(world: World, kinds: tuple[str, ...], rng: random.Random) -> dict[str, Goal]:
    """Goals of these kinds that the service will grant, by customer: no two of them share one.

    Raises:
        BBError: the service has no suitable order or customer left.
    """
    wishes: dict[str, Goal] = {}
    for kind in kinds:
        make = _order_goal if WORKFLOWS[kind].target == "order" else _customer_goal
        for _ in range(MOST_TRIES):
            found = make(world, kind, rng)
            if found is not None and found[0] not in wishes:
                wishes[found[0]] = found[1]
                break
        else:
            raise BBError(
                f"the service has no order or customer left for {kind}",
                where="requests",
                fix="start the service on a new database file, or ask for fewer requests",
            )
    return wishes


def _order_goal(world: World, kind: str, rng: random.Random) -> tuple[str, Goal] | None:
    number = rng.choice(world.numbers)
    order = world.orders[number]
    if kind != "track" and number in world.spent:
        return None
    if kind in ("cancel", "city", "priority") and order["status"] == "delivered":
        return None
    customer = order["customer_id"]
    slots: dict[str, int | float | str] = {"number": number}
    if WORKFLOWS[kind].confirms_owner:
        slots["email"] = world.emails[customer]
    if kind == "refund":
        slots["amount"] = _refund_amount(order["total"], rng)
        slots["reason"] = rng.choice(REASONS)
    elif kind == "city":
        slots["city"] = make_city(rng)
    elif kind == "priority":
        slots["level"] = rng.choice(LEVELS)
    return customer, Goal(kind, slots)


def _customer_goal(world: World, kind: str, rng: random.Random) -> tuple[str, Goal] | None:
    customer = rng.choice(world.customers)
    slots: dict[str, int | float | str] = {"email": world.emails[customer]}
    if kind == "email":
        slots["new_email"] = make_email(rng, *make_name(rng))
        if slots["new_email"] in world.taken_emails:
            return None
    elif kind == "voucher":
        slots["amount"] = in_units(make_amount(rng, 200, 20_000))
    else:
        slots["tag"] = rng.choice(TAGS)
        if (customer, slots["tag"]) in world.noted:
            return None
    return customer, Goal(kind, slots)


def in_units(cents: int) -> int | float:
    """An amount in the currency's unit: int when whole, else with at most two decimals."""
    return cents // 100 if cents % 100 == 0 else cents / 100


def _refund_amount(total: float, rng: random.Random) -> int | float:
    """The whole total (one time in five) or a part of it."""
    cents = round(total * 100)
    return in_units(cents if rng.random() < 0.2 else make_amount(rng, 100, cents))
