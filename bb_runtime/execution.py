"""What became of a plan."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from bb_runtime.carrier import StepOutcome

Rule = Literal["", "tool", "guard", "precondition", "invariant"]
End = Literal["done", "failed", "in_doubt", "undone"]
OnStep = Callable[[StepOutcome], object]


@dataclass(frozen=True)
class Execution:
    """What became of a plan.

    Attributes:
        run: identifier of the run in the log.
        status: as in `execute`.
        outcomes: one per step that was called, in the order in which they ended.
        step: the step that failed, "" if none did.
        reason: why, "" if none did.
        rule: what stopped it: a tool, or a violation of a rule.
        facts: names of the state bits that hold afterwards.
        undone: the steps taken back, the first to be taken back first.
        stands: the steps that changed something and were not taken back.
        head: the chain hash after the run's last entry, hex.
        dry_run: whether no tool was called.
    """

    run: str
    status: End
    outcomes: tuple[StepOutcome, ...]
    step: str
    reason: str
    rule: Rule
    facts: tuple[str, ...]
    undone: tuple[str, ...]
    stands: tuple[str, ...]
    head: str
    dry_run: bool
