"""Kinds of goals, and the scripted plan of a request.

    post       write something on a channel, now
    schedule   the same, on a day and hour to come
    answer     answer a message
    message    write to a person directly
    dismiss    take a message off the inbox
    follow     follow a person
    share      share a post of others
    delete     delete a post of ours

A text with personal data in it is redacted before it is checked.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from bb_core.plan import Plan, Step, step_id
from bb_domains.social.policies import Occasion, Rules
from bb_domains.wordings import Goal

GOAL_KINDS: tuple[str, ...] = (
    "post",
    "schedule",
    "answer",
    "message",
    "dismiss",
    "follow",
    "share",
    "delete",
)
WRITING: tuple[str, ...] = GOAL_KINDS[:4]


@dataclass
class _Script:
    """A plan in the making; what was looked up is remembered."""

    rules: Rules
    steps: list[Step] = field(default_factory=list)
    known: dict[tuple[str, Any], str] = field(default_factory=dict)

    def add(self, tool: str, **args: Any) -> str:
        """Add a step; a reference to its result comes back."""
        name = step_id(len(self.steps))
        self.steps.append(Step(name, tool, args))
        return f"${name}.id"

    def look_up(self, tool: str, **args: Any) -> str:
        """The same, once for each object."""
        key = (tool, *args.values())
        if key not in self.known:
            self.known[key] = self.add(tool, **args)
        return self.known[key]

    def pass_on(self, draft: str, occasion: Occasion, personal: bool) -> None:
        """Take a draft through redaction, check and approval."""
        if personal:
            self.add("redact", draft=draft)
        self.add("check", draft=draft)
        self.add("request_approval", draft=draft, approver=self.rules.approvers[occasion])

    def do(self, kind: str, slots: Mapping[str, Any], personal: bool) -> None:
        """The steps of one goal."""
        text = slots.get("text", "")
        match kind:
            case "post" | "schedule":
                channel = self.look_up("find_channel", name=slots["channel"])
                audience = slots["audience"]
                draft = self.add("draft_post", channel=channel, audience=audience, text=text)
                self.pass_on(draft, audience, personal)
                when = {name: slots[name] for name in ("day", "hour") if name in slots}
                self.add("schedule" if when else "publish", draft=draft, **when)
            case "answer":
                message = self.look_up("get_message", number=slots["number"])
                draft = self.add("draft_reply", message=message, text=text)
                self.pass_on(draft, "answer", personal)
                self.add("publish", draft=draft)
            case "message":
                contact = self.look_up("find_contact", handle=slots["handle"])
                draft = self.add("draft_message", contact=contact, text=text)
                self.pass_on(draft, "direct", personal)
                self.add("send", draft=draft)
            case "dismiss":
                self.add("dismiss", message=self.look_up("get_message", number=slots["number"]))
            case "follow":
                self.add("follow", contact=self.look_up("find_contact", handle=slots["handle"]))
            case _:
                self.add(kind, status=self.look_up("get_status", number=slots["number"]))


def make_plan(goals: Sequence[Goal], rules: Rules, personal: Collection[str]) -> Plan:
    """The plan of a request, goal after goal.

    Args:
        goals: of the request.
        rules: say who approves what.
        personal: texts that hold personal data.
    """
    script = _Script(rules)
    for goal in goals:
        script.do(goal.kind, goal.slots, goal.slots.get("text") in personal)
    return Plan(tuple(script.steps))
