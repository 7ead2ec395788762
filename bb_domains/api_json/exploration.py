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
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
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

N_ORDERS = 2
SET_UP = 0.9
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
_WEIGHTS = (0.25, *(1.0 for _ in TOOLS[1:]))  # a login undoes what was set up


@dataclass(frozen=True)
class Ground:
    """The orders and the customer that one trace is about; nobody else touches them."""

    orders: Sequence[dict[str, Any]]
    customer: str


@dataclass(frozen=True)
class Move:
    """A call to be made.

    Attributes:
        tool: its name.
        order: that it is about, if it is about one.
        args: values that are not left to chance.
    """

    tool: str
    order: Mapping[str, Any]
    args: Mapping[str, Any] = field(default_factory=dict)


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
            ground = self.ground(N_ORDERS)
            yield self.play(f"explore-{i:05d}", ground, self._moves(ground))

    def ground(self, n_orders: int, statuses: Sequence[str] = ()) -> Ground:
        """Orders and a customer that no trace has had.

        Args:
            n_orders: how many orders.
            statuses: that they may have at first; any if empty.

        Raises:
            BBError: there are not enough.
        """
        wanted = statuses or sorted(self._by_status)
        orders = []
        for _ in range(n_orders):
            left = [status for status in wanted if self._by_status.get(status)]
            orders.append(_taken(self._by_status[self._rng.choice(left)] if left else []))
        return Ground(orders, _taken(self._customers))

    def play(self, name: str, ground: Ground, moves: Iterable[Move]) -> Trace:
        """Make some calls in a session of their own, and record them."""
        adapters, steps = self._open(), list[TraceStep]()
        for move in moves:
            args = self._args(move, ground, steps) | dict(move.args)
            steps.append(_called(adapters, move.tool, args, steps))
            if move.tool == "update_email" and steps[-1].ok:  # from now on it is the address
                self._emails[ground.customer] = steps[-1].args["new_email"]
        return Trace(name, DOMAIN, "", "", tuple(steps))

    def _moves(self, ground: Ground) -> Iterator[Move]:
        rng = self._rng
        scene = [Move("login", ground.orders[0])]
        for order in ground.orders:
            scene += [Move("get_order", order), Move("confirm_owner", order)]
        scene.append(Move("find_customer", ground.orders[0]))
        yield from (move for move in scene if rng.random() < SET_UP)
        for _ in range(MOST_CALLS - len(scene)):
            yield Move(rng.choices(TOOLS, _WEIGHTS)[0], rng.choice(ground.orders))

    def _args(self, move: Move, ground: Ground, steps: Sequence[TraceStep]) -> dict[str, Any]:
        if move.tool == "login":
            return {}
        if move.tool in CUSTOMER_TOOLS:
            return self._customer_args(move.tool, ground.customer, steps)
        if move.tool == "get_order":
            return {"number": move.order["number"]}
        handle = _handle(move.order["id"], steps)
        return {"order": handle, **self._order_values(move.tool, move.order)}

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
