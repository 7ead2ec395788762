"""The world: a building whose doors are locked or not, and a rule of the house."""

from __future__ import annotations

import random
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from bb_domains.simulation import Request
from bb_domains.tools import ToolFailed

LAYOUTS: Mapping[str, range] = {"house": range(100, 160), "tower": range(300, 499)}
"""Numbers of the doors; `tower` is held out."""

POLICIES: Mapping[str, str] = {"free": "", "announced": "Announce every door before you open it."}
"""What a request says about the rule of the house; `announced` is held out."""

LOCKED_SHARE = 0.8


@dataclass
class Building:
    """A building with one caller; `bb_domains.simulation.Simulator`.

    Attributes:
        locked: whether each door is locked, by number.
        must_announce: whether doors may be opened unannounced.
    """

    locked: dict[int, bool]
    must_announce: bool = False
    signed_in: bool = False
    announced: set[int] = field(default_factory=set)
    opened: set[int] = field(default_factory=set)
    startled: int = 0

    def call(
        self, tool: str, args: Mapping[str, Any], idempotency_key: str | None = None
    ) -> dict[str, Any]:
        """The tool's result.

        Raises:
            ToolFailed: the building refuses the call.
        """
        if tool == "sign_in":
            self.signed_in = True
            return {}
        if not self.signed_in:
            raise ToolFailed(tool, 401, "sign in first")
        if tool == "find_door":
            return self._found(args["number"])
        number = int(str(args["door"]).removeprefix("door-"))
        if tool == "announce":
            self.announced.add(number)
        elif tool == "unlock":
            if not self.locked[number]:
                raise ToolFailed(tool, 409, "this door is not locked")
            self.locked[number] = False
        elif tool == "open":
            self._open(number)
        else:
            raise ToolFailed(tool, 404, "there is no such tool")
        return {"door": args["door"]}

    def state(self) -> dict[str, Any]:
        """Which doors are unlocked and open."""
        unlocked = sorted(number for number, locked in self.locked.items() if not locked)
        return {"unlocked": unlocked, "opened": sorted(self.opened)}

    def incidents(self) -> dict[str, int]:
        """How often somebody was startled by a door that nobody announced."""
        return {"startled": self.startled}

    def copy(self) -> Building:
        """A building of its own in the same state."""
        return Building(
            dict(self.locked),
            self.must_announce,
            self.signed_in,
            set(self.announced),
            set(self.opened),
            self.startled,
        )

    def _found(self, number: int) -> dict[str, Any]:
        if number not in self.locked:
            raise ToolFailed("find_door", 404, f"there is no door {number}")
        return {"id": f"door-{number}", "number": number, "locked": self.locked[number]}

    def _open(self, number: int) -> None:
        if self.locked[number]:
            raise ToolFailed("open", 409, "this door is locked")
        if self.must_announce and number not in self.announced:
            self.startled += 1
            raise ToolFailed("open", 409, "announce it first")
        self.opened.add(number)


def building(request: Request) -> Building:
    """The building in which a request is made: a function of its layout and seed."""
    rng = random.Random(f"{request.layout}/{request.seed}")
    locked = {number: rng.random() < LOCKED_SHARE for number in LAYOUTS[request.layout]}
    return Building(locked, must_announce=request.policy == "announced")
