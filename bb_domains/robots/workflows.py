"""Kinds of goals, and the scripted plan of a request.

    fetch      bring an item from one place to another
    inspect    go and look around
    open       open a door
    close      close a door
    wait       stand somewhere for a while
    charge     charge first; always the first goal
    report     say how things stand; after all work
    home       come back and dock; always the last goal

Every goal that goes somewhere says a manner: how to drive.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from bb_core.plan import Plan, Step, step_id
from bb_domains.robots.policies import Pace
from bb_domains.wordings import Goal

WORK: tuple[str, ...] = ("fetch", "inspect", "open", "close", "wait")
GOAL_KINDS: tuple[str, ...] = ("charge", *WORK, "report", "home")
STAYING: tuple[str, ...] = ("charge", "report")  # go nowhere


@dataclass(frozen=True)
class Manner:
    """How to drive: which way, at which pace."""

    way: str
    pace: Pace


MANNERS: dict[str, Manner] = {
    "careful": Manner("safe", "slow"),
    "usual": Manner("safe", "normal"),
    "brisk": Manner("safe", "fast"),
    "direct": Manner("short", "normal"),
}


@dataclass
class _Script:
    """A plan in the making; remembers where the robot stands and what has been looked up."""

    steps: list[Step] = field(default_factory=list)
    here: str = ""

    def add(self, tool: str, **args: Any) -> str:
        """Add a step; a reference to its result comes back."""
        name = step_id(len(self.steps))
        self.steps.append(Step(name, tool, args))
        return f"${name}.id"

    def go(self, place: str, manner: str) -> str:
        """Drive to a place, said as `shelf 3`; a reference to the stop comes back."""
        kind, number = place.split()
        how = MANNERS[manner]
        stop = self.add("plan_route", kind=kind, number=int(number), way=how.way)
        self.add("drive", **{"to": stop, "from": self.here, "pace": how.pace})
        self.here = stop
        return stop

    def do(self, kind: str, slots: Mapping[str, Any]) -> None:
        """The steps of one goal."""
        if kind == "report":
            self.add("report")
            return
        if kind == "fetch":
            item = self.add("find_item", tag=slots["tag"])
            self.add("grasp", item=item, at=self.go(slots["source"], slots["manner"]))
            self.add("stow_arm")
            self.add("put", item=item, at=self.go(slots["target"], slots["manner"]))
            self.add("stow_arm")
            return
        stop = self.go(slots["place"], slots["manner"])
        match kind:
            case "inspect":
                self.add("look", at=stop)
            case "wait":
                self.add("wait", at=stop, seconds=slots["seconds"])
            case "home":
                self.add("dock", at=stop)
            case "open" | "close":
                self.add(f"{kind}_door", at=stop)
                self.add("stow_arm")


def make_plan(goals: Sequence[Goal]) -> Plan:
    """The plan of a request: charge if asked for, leave the charger, then goal after goal.

    Raises:
        BBError: it would have more steps than a plan may have.
    """
    script = _Script()
    for goal in goals:
        if goal.kind == "charge":
            script.add("charge", percent=goal.slots["percent"])
    script.here = script.add("undock")
    for goal in goals:
        if goal.kind != "charge":
            script.do(goal.kind, goal.slots)
    return Plan(tuple(script.steps))


_STEPS = {
    "charge": 1,
    "fetch": 9,
    "inspect": 3,
    "open": 4,
    "close": 4,
    "wait": 3,
    "report": 1,
    "home": 3,
}


def n_steps(kinds: Sequence[str]) -> int:
    """Steps of a plan for goals of these kinds."""
    return 1 + sum(_STEPS[kind] for kind in kinds)
