"""Exploration: calls without a goal, of which many are refused, recorded as traces.

Scripted workflows never fail and always come the same way, so they cannot show which of the
things that were the case had to be. An explorer calls tools at random on a few orders and customers
of its own: in any order, looked up or not, twice, with amounts that are too high. So that what lies
deep is reached as well, a trace often begins by logging in, looking up, and confirming owners. What
no answer of the service tells is always right: an owner's address, one that is free.
"""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from bb_core.errors import BBError
from bb_core.plan import step_id
from bb_core.trace import Trace, TraceStep
from bb_domains.api_json.entities import make_city, make_email, make_name
from bb_domains.api_json.planner import World, in_units
from bb_domains.api_json.traces import DOMAIN
from bb_domains.api_json.workflows import LEVELS, REASONS, TAGS
from bb_domains.tools import Adapters, ToolFailed

MOST_CALLS = 26
"""As many as a plan has steps."""

SET_UP = 0.75
"""How often each step that others depend on is taken before the random ones."""

ORDER_TOOLS = (
    "get_order",
    "confirm_owner",
    "refund_order",
    "cancel_order",
    "track_shipment",
    "change_city",
    "set_priority",
)
CUSTOMER_TOOLS = ("find_customer", "update_email", "issue_voucher", "add_note")
TOOLS = ("login", *ORDER_TOOLS, *CUSTOMER_TOOLS)


@dataclass(frozen=True)
class _Ground:
    """The orders and the customer that one trace is about; nobody else touches them."""

    orders: Sequence[dict[str, Any]]
    customer: str


class Explorer:
    """Explores a service; every trace has a session, orders and a customer of its own.

    Args:
        world: the service's data, before anything is called.
        open_session: makes a caller who has not logged in.
        seed: makes the calls.
    """

    def __init__(self, world: World, open_session: Callable[[], Adapters], seed: int) -> None:
        self._emails, self._open = dict(world.emails), open_session
        self._addresses = set(world.taken_emails)
        self._rng = random.Random(f"explore/{seed}")
        self._by_status: dict[str, list[dict[str, Any]]] = {}
        for order in world.orders.values():
            self._by_status.setdefault(order["status"], []).append(order)
        self._customers = sorted(world.emails)
        for pool in (*self._by_status.values(), self._customers):
            self._rng.shuffle(pool)  # type: ignore[arg-type]

    def explore(self, n: int) -> Iterator[Trace]:
        """`n` traces of at most `MOST_CALLS` calls each.

        Raises:
            BBError: the service has no order or customer left.
        """
        for i in range(n):
            yield self._trace(f"explore-{i:05d}")

    def _trace(self, name: str) -> Trace:
        orders = [self._order() for _ in range(self._rng.randint(1, 2))]
        ground = _Ground(orders, _taken(self._customers))
        adapters, steps = self._open(), list[TraceStep]()
        for tool, order in self._calls(ground):
            steps.append(_called(adapters, tool, self._args(tool, order, ground, steps), steps))
            if tool == "update_email" and steps[-1].ok:  # it is asked for by its new address
                self._emails[ground.customer] = steps[-1].args["new_email"]
        return Trace(name, DOMAIN, "", "", tuple(steps))

    def _calls(self, ground: _Ground) -> Iterator[tuple[str, dict[str, Any]]]:
        """Tools, and the order that each is about if it is about one."""
        rng = self._rng
        scene = [("login", ground.orders[0])]
        for order in ground.orders:
            scene += [("get_order", order), ("confirm_owner", order)]
        scene.append(("find_customer", ground.orders[0]))
        yield from (call for call in scene if rng.random() < SET_UP)
        for _ in range(MOST_CALLS - len(scene)):
            yield rng.choice(TOOLS), rng.choice(ground.orders)

    def _order(self) -> dict[str, Any]:
        """An order that no trace had, of a random status while there are some."""
        left = sorted(status for status, pool in self._by_status.items() if pool)
        order: dict[str, Any] = _taken(self._by_status[self._rng.choice(left)] if left else [])
        return order

    def _args(
        self, tool: str, order: Mapping[str, Any], ground: _Ground, steps: Sequence[TraceStep]
    ) -> dict[str, Any]:
        if tool == "login":
            return {}
        if tool in CUSTOMER_TOOLS:
            return self._customer_args(tool, ground.customer, steps)
        if tool == "get_order":
            return {"number": order["number"]}
        return {"order": _handle(order["id"], steps), **self._order_values(tool, order)}

    def _order_values(self, tool: str, order: Mapping[str, Any]) -> dict[str, Any]:
        rng = self._rng
        match tool:
            case "confirm_owner":
                return {"email": self._emails[order["customer_id"]]}
            case "refund_order":
                most = round(order["total"] * 150)
                amount = in_units(rng.randint(100, max(100, min(50_000, most))))
                return {"amount": amount, "reason": rng.choice(REASONS)}
            case "change_city":
                return {"city": make_city(rng)}
            case "set_priority":
                return {"level": rng.choice(LEVELS)}
        return {}

    def _customer_args(
        self, tool: str, customer: str, steps: Sequence[TraceStep]
    ) -> dict[str, Any]:
        rng = self._rng
        if tool == "find_customer":
            return {"email": self._emails[customer]}
        handle = {"customer": _handle(customer, steps)}
        if tool == "update_email":
            return {**handle, "new_email": self._new_address()}
        if tool == "issue_voucher":
            return {**handle, "amount": in_units(rng.randint(100, 20_000))}
        return {**handle, "tag": rng.choice(TAGS)}

    def _new_address(self) -> str:
        """An address that nobody has had."""
        while (found := make_email(self._rng, *make_name(self._rng))) in self._addresses:
            pass
        self._addresses.add(found)
        return found


def _taken(pool: list[Any]) -> Any:
    if not pool:
        fix = "start the service on a new database file, or ask for fewer traces"
        raise BBError("no order or customer is left", where="exploration", fix=fix)
    return pool.pop()


def _handle(identifier: str, steps: Sequence[TraceStep]) -> str:
    """A reference to the step that found an object, or its identifier if none did."""
    for i, step in enumerate(steps):
        found = step.ok and step.tool in ("get_order", "find_customer")
        if found and step.result["id"] == identifier:
            return f"${step_id(i)}.id"
    return identifier


def _called(
    adapters: Adapters, tool: str, args: Mapping[str, Any], steps: Sequence[TraceStep]
) -> TraceStep:
    """Make a call and record what came of it."""
    resolved = {
        name: steps[ord(value[1]) - ord("a")].result["id"]
        if isinstance(value, str) and value.startswith("$")
        else value
        for name, value in args.items()
    }
    start_s = time.perf_counter()
    try:
        result, ok = adapters.call(tool, resolved), True
    except ToolFailed as error:
        result, ok = {"status": error.status, "reason": error.reason}, False
    t_s = round(time.perf_counter() - start_s, 6)
    return TraceStep(tool, dict(args), result, ok, t_s)
