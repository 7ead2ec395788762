"""Policies: house rules that a shop adds to the service's own, and how a request states them.

A policy asks for a call before another, or caps an amount. The request says so in words, so that
who plans can know it; the service refuses what breaks it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from bb_domains.variants import Variants
from bb_domains.wordings import Goal


@dataclass(frozen=True)
class Prerequisite:
    """A call that must have succeeded on an object before another may be made on it.

    Attributes:
        tool: the call that is restricted.
        before: the tool that comes first, on the same object.
        args: its other arguments.
    """

    tool: str
    before: str
    args: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Policy:
    """The house rules of a shop.

    Attributes:
        name: its name.
        held_out: whether it is kept for `unseen_policies`.
        prerequisites: what has to come first.
        caps: highest amount by tool, in units.
        says: ways to state it; empty if there is nothing to state.
    """

    name: str
    held_out: bool
    prerequisites: tuple[Prerequisite, ...] = ()
    caps: Mapping[str, float] = field(default_factory=dict)
    says: tuple[str, ...] = ()

    def grants(self, goals: Sequence[Goal], tool_of: Mapping[str, str]) -> bool:
        """Whether no goal asks for more than its tool may give."""
        return all(
            goal.slots["amount"] <= self.caps[tool_of[goal.kind]]  # type: ignore[operator]
            for goal in goals
            if tool_of[goal.kind] in self.caps
        )


def _tracked_first(tool: str) -> tuple[Prerequisite, ...]:
    return (Prerequisite(tool, "track_shipment"),)


POLICIES = Variants(
    "policy",
    (
        Policy("standard", False),
        Policy(
            "track_before_cancel", False, _tracked_first("cancel_order"), {},
            ("House rule: track the shipment of an order before you cancel it.",
             "We never cancel an order whose shipment was not tracked first."),
        ),
        Policy(
            "track_before_redirect", False, _tracked_first("change_city"), {},
            ("House rule: track the shipment before you change the city of an order.",
             "The city of an order only changes after its shipment was tracked."),
        ),
        Policy(
            "call_before_voucher", False,
            (Prerequisite("issue_voucher", "add_note", {"tag": "call_back"}),), {},
            ("House rule: note a call back before you issue a voucher.",
             "Whoever gets a voucher is noted for a call back first."),
        ),
        Policy(
            "capped_refunds", False, (), {"refund_order": 100},
            ("House rule: no refund above 100.", "Refunds here never exceed 100."),
        ),
        Policy(
            "track_before_refund", True, _tracked_first("refund_order"), {},
            ("House rule: track the shipment of an order before you refund it.",
             "An order is only refunded after its shipment was tracked."),
        ),
        Policy(
            "track_before_priority", True, _tracked_first("set_priority"), {},
            ("House rule: track the shipment of an order before you set its priority.",),
        ),
        Policy(
            "watch_before_email", True,
            (Prerequisite("update_email", "add_note", {"tag": "fraud_watch"}),), {},
            ("House rule: note a fraud watch before you change an email address.",
             "Whoever changes their email is noted for fraud watch first."),
        ),
        Policy(
            "capped_vouchers", True, (), {"issue_voucher": 50},
            ("House rule: no voucher above 50.",),
        ),
    ),
)  # fmt: skip
