"""Errors of the runtime.

BBError
├── MaskError         a constraint or tokenizer gives no mask, or a mask allows nothing
├── PlanRefused       the checker refuses a plan: node, rule, repair
├── ExecutionRefused  a program may not start: wrong certificate, wrong domain
└── JournalError      the journal of runs cannot be read or written
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from bb_core.errors import BBError

if TYPE_CHECKING:
    from bb_runtime.repair import Repair


class MaskError(BBError):
    """A constraint that is no constraint, or a mask that would allow no token at all."""


class PlanRefused(BBError):  # noqa: N818 - a verdict, not a malfunction
    """A plan that must not run.

    Attributes:
        node: id of the step at fault, "" where the plan as a whole is at fault.
        rule: the rule that is broken, e.g. "syntax", "arguments", "precondition".
        repair: the nearest admissible alternative, in words.
        nearest: the nearest plan found that would pass; None if none was found or looked for.
    """

    def __init__(self, node: str, rule: str, what: str, repair: str = "") -> None:
        self.node = node
        self.rule = rule
        self.what = what
        self.repair = repair
        self.nearest: Repair | None = None
        where = f"plan: step {node}: {rule}" if node else f"plan: {rule}"
        super().__init__(what, where=where, fix=repair)


class ExecutionRefused(BBError):  # noqa: N818 - a verdict, not a malfunction
    """A program that may not start, because its certificate does not fit."""


class JournalError(BBError):
    """A journal that cannot be read or written."""
