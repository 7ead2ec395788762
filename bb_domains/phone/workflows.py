"""Kinds of goals, and the scripted plan of a request.

message    send somebody a text
call       call somebody
contact    add a contact
delete     delete a contact
event      put something in the calendar
switch     turn something on or off
pay        send money
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from bb_core.plan import Plan, Step, step_id
from bb_domains.phone.policies import Policy
from bb_domains.wordings import Goal

APP_OF: Mapping[str, str] = {
    "message": "messages",
    "call": "contacts",
    "contact": "contacts",
    "delete": "contacts",
    "event": "calendar",
    "switch": "settings",
    "pay": "bank",
}
GOAL_KINDS: tuple[str, ...] = tuple(APP_OF)


@dataclass
class _Script:
    """A plan in the making; remembers which apps have been open."""

    steps: list[Step] = field(default_factory=list)
    opened: set[str] = field(default_factory=set)

    def add(self, tool: str, **args: Any) -> str:
        """Add a step; a reference to its result comes back."""
        name = step_id(len(self.steps))
        self.steps.append(Step(name, tool, args))
        return f"${name}.id"

    def open(self, app: str, policy: Policy) -> None:
        """Open an app, and answer what it asks the first time."""
        if self.opened:
            self.add("press_home")
        self.add(f"open_{app}")
        asked = policy.asks.get(app)
        if asked is not None and app not in self.opened:
            self.add(f"{asked.say}_permission", permission=asked.permission)
        self.opened.add(app)

    def do(self, kind: str, slots: Mapping[str, Any]) -> None:
        """The steps of one goal, its app being open."""
        match kind:
            case "message":
                self.add("new_message")
                draft = self.add("type_recipient", to=slots["name"])
                self.add("type_message", draft=draft, text=slots["text"])
                self.add("send_message", draft=draft)
            case "call":
                self.add("call", contact=self.add("open_contact", name=slots["name"]))
            case "delete":
                contact = self.add("open_contact", name=slots["name"])
                self.add("delete_contact", contact=contact)
                self.add("confirm_delete", contact=contact, name=slots["name"])
            case "contact":
                self.add("new_contact")
                self.add("type_name", name=slots["name"])
                self.add("type_phone", number=slots["number"])
                self.add("save_contact")
            case "event":
                hour, minute = slots["time"].split(":")
                self.add("new_event")
                self.add("type_title", title=slots["title"])
                self.add("type_date", date=slots["date"])
                self.add("type_time", hour=int(hour), minute=int(minute))
                self.add("save_event")
            case "switch":
                self.add("set_switch", switch=slots["switch"], state=slots["state"])
            case "pay":
                self.add("log_in")
                self.add("new_payment")
                self.add("type_payee", payee=slots["name"])
                self.add("type_amount", amount=slots["amount"])
                payment = self.add("review_payment")
                self.add(
                    "confirm_payment",
                    payment=payment,
                    payee=slots["name"],
                    amount=slots["amount"],
                )


def make_plan(goals: Sequence[Goal], policy: Policy) -> Plan:
    """The plan of a request: wake, unlock if locked, then app after app.

    Raises:
        BBError: it would have more steps than a plan may have.
    """
    script = _Script()
    script.add("wake")
    if policy.locked:
        script.add("unlock")
    for goal in goals:
        script.open(APP_OF[goal.kind], policy)
        script.do(goal.kind, goal.slots)
    return Plan(tuple(script.steps))
