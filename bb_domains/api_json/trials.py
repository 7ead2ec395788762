"""The demonstration service as a simulator: states brought about by calling tools.

What a learner of action models asks about is a set of facts (`observations`). A new session takes
an order of a fitting status, makes the calls whose success the facts speak of, each after those it
depends on, and then the call itself. Where no calls lead to a state the answer is about another,
the one that was reached.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from bb_domains.api_json.exploration import Explorer, Ground, Move
from bb_domains.api_json.workflows import TAGS
from bb_domains.observations import REPEATED, attempts_of
from bb_domains.vocabulary import Vocabulary
from bem_kernel.learning.action_traces import Attempt

_ORDER = (
    "login",
    "get_order",
    "find_customer",
    "confirm_owner",
    "track_shipment",
    "set_priority",
    "change_city",
    "refund_order",
    "update_email",
    "issue_voucher",
    "add_note",
    "cancel_order",  # last: hardly anything can be done to a cancelled order
)


_ARGS = {"refund_order": ("reason",), "set_priority": ("level",), "add_note": ("tag",)}


@dataclass(frozen=True)
class Trials:
    """Tries calls of the service; a simulator for action models.

    Attributes:
        explorer: makes the calls.
        vocabulary: what the facts speak about.
    """

    explorer: Explorer
    vocabulary: Vocabulary

    def attempt(self, action: str, before: Mapping[str, bool]) -> Attempt:
        """What a call does where these facts hold, or about so.

        Raises:
            BBError: the service has no order or customer left.
        """
        true = {fact.partition("(")[0] for fact, value in before.items() if value}
        ground = self.explorer.ground(1, _statuses(true))
        trace = self.explorer.play("trial", ground, self._moves(action, true, ground))
        return attempts_of([trace], self.vocabulary)[-1]

    def _moves(self, action: str, true: set[str], ground: Ground) -> Iterator[Move]:
        (order,) = ground.orders
        for tool in _ORDER:
            if self.vocabulary.name(tool) in true:
                yield Move(tool, order, _earlier_args(tool, true))
        if "refunded.is.known" in true:  # only a new look tells
            yield Move("get_order", order)
        last = Move(action, order, _args(action, true, order))
        if REPEATED in true:
            yield last
        yield last


def _statuses(true: set[str]) -> tuple[str, ...]:
    """The statuses that an order may have had before the calls."""
    if "cancelled" in true:
        return ("placed", "shipped")
    status = _said(true, "status")
    return (status,) if status else ()


def _said(true: set[str], name: str) -> str:
    """The value that a field or argument is to have; empty if none is said, or several."""
    values = [fact.removeprefix(f"{name}.") for fact in true if fact.startswith(f"{name}.")]
    return values[0] if len(values) == 1 and "." not in values[0] else ""


def _earlier_args(tool: str, true: set[str]) -> dict[str, Any]:
    """Arguments of a call that leads to a state; others than the call that is tried has."""
    match tool:
        case "set_priority" if level := _said(true, "priority"):
            return {"level": level}
        case "refund_order":
            return {"amount": 1}
        case "add_note":
            return {"tag": next(tag for tag in TAGS if tag != _said(true, "tag"))}
    return {}


def _args(tool: str, true: set[str], order: Mapping[str, Any]) -> dict[str, Any]:
    """Arguments of the call that is tried, as far as facts speak of them."""
    names = [name for name in ("reason", "level", "tag") if name in _ARGS.get(tool, ())]
    args: dict[str, Any] = {name: _said(true, name) for name in names if _said(true, name)}
    if tool == "refund_order":
        args["amount"] = 2 if "amount.at_most.total" in true else order["total"] + 1
    elif tool == "issue_voucher":
        args["amount"] = 2
    elif tool == "change_city":
        args["city"] = "Elsewhere"
    return args
