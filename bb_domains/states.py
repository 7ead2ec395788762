"""Plan states and calls: the values that the plan machine takes and returns."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True)
class Bound:
    """An object bound by a step: its type, its slot, and the text of the key that names it."""

    step: str
    object: str
    slot: int
    key: str = ""


@dataclass(frozen=True)
class PlanState:
    """Where a plan stands.

    Attributes:
        bits: the state bits, bit i of the integer is bit i of the layout.
        handles: the objects bound so far, in order of binding.
        used: which of them a later step uses, bit `Layout.ordinal(object, slot)`.
        n_steps: steps taken.
        cost: what they cost together; 0 where the domain sets no limit.
    """

    bits: int = 0
    handles: tuple[Bound, ...] = ()
    used: int = 0
    n_steps: int = 0
    cost: int = 0

    def step_of(self) -> dict[tuple[str, int], str]:
        """The step that bound each (object, slot)."""
        return {(h.object, h.slot): h.step for h in self.handles}


@dataclass(frozen=True)
class Call:
    """A tool with the steps whose handles it is given, by argument."""

    tool: str
    handles: Mapping[str, str] = field(default_factory=dict, hash=False)
