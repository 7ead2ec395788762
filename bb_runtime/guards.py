"""Guards: comparisons of arguments with facts that only earlier results know.

    amount <= order.total          an argument, and a field of the result behind a handle argument
    order.status != "cancelled"

A guard is checked again right before its tool is called. A fact that is missing, or of a kind that
cannot be compared, breaks the guard: what is not known to be allowed is not done.
"""

from __future__ import annotations

import json
import operator
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from bb_core.errors import BBError
from bb_core.plan import Step, parse_reference

_COMPARE: Mapping[str, Callable[[Any, Any], bool]] = {
    "<=": operator.le,
    ">=": operator.ge,
    "==": operator.eq,
    "!=": operator.ne,
    "<": operator.lt,
    ">": operator.gt,
}
_OPERAND = r'(?:[A-Za-z_]\w*(?:\.\w+)*|-?\d+(?:\.\d+)?|"[^"\\]*")'
_GUARD = re.compile(rf"\s*({_OPERAND})\s*(<=|>=|==|!=|<|>)\s*({_OPERAND})\s*")


@dataclass(frozen=True)
class Guard:
    """A comparison.

    Attributes:
        left, right: a number, a string in quotes, an argument, or `argument.field` of the result
            that a handle argument refers to.
        relation: one of <= >= == != < >.
    """

    left: str
    relation: str
    right: str

    def __str__(self) -> str:
        return f"{self.left} {self.relation} {self.right}"


@dataclass(frozen=True)
class Finding:
    """What a guard came to: whether it holds, and the two values compared."""

    holds: bool
    left: Any = None
    right: Any = None


def parse_guard(text: str, where: str) -> Guard:
    """Read a guard.

    Raises:
        BBError: not one comparison of two operands.
    """
    found = _GUARD.fullmatch(text)
    if not found:
        raise BBError(
            f"{text!r} is no guard", where=where, fix="write one comparison: amount <= order.total"
        )
    return Guard(found[1], found[2], found[3])


def check_guard(guard: Guard, step: Step, results: Mapping[str, Mapping[str, Any]]) -> Finding:
    """Evaluate a guard.

    Args:
        guard: the comparison.
        step: the step that is about to run, its arguments as written in the plan.
        results: results of the steps that have run, by step id.
    """
    left, right = (_value(side, step, results) for side in (guard.left, guard.right))
    if left is None or right is None or not _comparable(left, right):
        return Finding(False, left, right)
    return Finding(bool(_COMPARE[guard.relation](left, right)), left, right)


def _value(operand: str, step: Step, results: Mapping[str, Mapping[str, Any]]) -> Any:
    """The value of an operand; None if it is not known."""
    if not (operand[0].isalpha() or operand[0] == "_"):
        return json.loads(operand)
    arg, _, path = operand.partition(".")
    value = step.args.get(arg)
    if not path:
        return value
    ref = parse_reference(value) if isinstance(value, str) else None
    return follow(results.get(ref.step, {}), path) if ref else None


def follow(value: Any, path: str) -> Any:
    """The value at a dotted path of a JSON value; None if there is none."""
    for part in path.split("."):
        if not isinstance(value, Mapping) or part not in value:
            return None
        value = value[part]
    return value


def _comparable(left: Any, right: Any) -> bool:
    def is_number(value: Any) -> bool:
        return isinstance(value, (int, float)) and not isinstance(value, bool)

    return (is_number(left) and is_number(right)) or type(left) is type(right) is str
