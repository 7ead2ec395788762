"""Guards: comparisons over facts known only at run time, such as `amount <= order.total`.

    guard    = any , { "|" , any }          any = all , { "&" , all }
    all      = "!" , all | "(" , guard , ")" | operand , compare , operand
    compare  = "<=" | "<" | ">=" | ">" | "==" | "!="
    operand  = number | string | "true" | "false" | "null" | name , { "." , name }

The first name of an operand is an argument of the tool (`args.amount` says the same as `amount`);
for a handle argument it is the result of the step that bound the handle. The executor evaluates
guards just before a call. Guards are parsed here by hand into a small tree: nothing of Python is
ever evaluated.
"""

from __future__ import annotations

import json
import operator
import re
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from typing import Any

from bb_domains.errors import ConditionError

_COMPARE: dict[str, Callable[[Any, Any], bool]] = {
    "<=": operator.le,
    "<": operator.lt,
    ">=": operator.ge,
    ">": operator.gt,
    "==": operator.eq,
    "!=": operator.ne,
}
_CONSTANTS: dict[str, Any] = {"true": True, "false": False, "null": None}
_TOKEN = re.compile(
    r"""\s*(?:(?P<op><=|>=|==|!=|<|>|[&|!()])
    |(?P<number>-?[0-9]+(?:\.[0-9]+)?)
    |(?P<string>"(?:[^"\\]|\\.)*")
    |(?P<name>[A-Za-z_][A-Za-z0-9_]*(?:\.[A-Za-z_][A-Za-z0-9_]*)*))""",
    re.VERBOSE,
)
_ARGS = "args"
_MOST_CHARACTERS = 400  # the parser recurses over parentheses


@dataclass(frozen=True)
class Value:
    """A constant."""

    value: Any


@dataclass(frozen=True)
class Field:
    """A dotted path: an argument, or a field of the result behind a handle argument."""

    path: tuple[str, ...]

    def __str__(self) -> str:
        return ".".join(self.path)


@dataclass(frozen=True)
class Comparison:
    """`left op right`."""

    op: str
    left: Value | Field
    right: Value | Field


@dataclass(frozen=True)
class Not:
    """The negation of a condition."""

    item: Condition


@dataclass(frozen=True)
class Both:
    """All of these conditions."""

    items: tuple[Condition, ...]


@dataclass(frozen=True)
class Either:
    """At least one of these conditions."""

    items: tuple[Condition, ...]


Condition = Comparison | Not | Both | Either


@dataclass(frozen=True)
class Guard:
    """A parsed guard with the text it was parsed from."""

    text: str
    condition: Condition


def parse_guard(text: str, names: Collection[str], where: str) -> Guard:
    """Parse a guard.

    Args:
        text: the guard.
        names: arguments of the tool, with which every path must begin.
        where: place of the guard, for messages.

    Raises:
        ConditionError: the text does not parse, or a path begins with something else.
    """
    if len(text) > _MOST_CHARACTERS:
        what = f"has {len(text)} characters"
        raise ConditionError(what, where=where, fix=f"use at most {_MOST_CHARACTERS}")
    reader = _Reader(text, names, where)
    condition = reader.either()
    if reader.kind:
        raise reader.fault("expected the end")
    return Guard(text, condition)


def parse_operand(text: str, names: Collection[str], where: str) -> Value | Field:
    """Parse one operand, such as `order.city` or `"late"`.

    Raises:
        ConditionError: the text is no operand, or a path begins with something else.
    """
    if len(text) > _MOST_CHARACTERS:
        what = f"has {len(text)} characters"
        raise ConditionError(what, where=where, fix=f"use at most {_MOST_CHARACTERS}")
    reader = _Reader(text, names, where)
    found = reader.operand()
    if reader.kind:
        raise reader.fault("expected the end")
    return found


def operand_value(operand: Value | Field, values: Mapping[str, Any]) -> Any:
    """The value of an operand.

    Raises:
        ConditionError: a field is missing.
    """
    return _value(operand, values, str(operand))


def holds(guard: Guard, values: Mapping[str, Any]) -> bool:
    """Evaluate a guard.

    Args:
        guard: the guard.
        values: by argument, its value; for a handle argument the result of the step behind it.

    Raises:
        ConditionError: a field is missing, or two values cannot be compared.
    """
    return _holds(guard.condition, values, guard.text)


def _holds(condition: Condition, values: Mapping[str, Any], text: str) -> bool:
    match condition:
        case Comparison(op, left, right):
            return _compare(op, _value(left, values, text), _value(right, values, text), text)
        case Not(item):
            return not _holds(item, values, text)
        case Both(items):
            return all(_holds(item, values, text) for item in items)
        case Either(items):
            return any(_holds(item, values, text) for item in items)


def _value(operand: Value | Field, values: Mapping[str, Any], text: str) -> Any:
    if isinstance(operand, Value):
        return operand.value
    found: Any = values
    for name in operand.path:
        if not isinstance(found, Mapping) or name not in found:
            raise ConditionError(
                f"there is no {operand}", where=f"guard {text!r}", fix="look at the tool's result"
            )
        found = found[name]
    return found


def _compare(op: str, left: Any, right: Any, text: str) -> bool:
    numbers = all(isinstance(v, (int, float)) and not isinstance(v, bool) for v in (left, right))
    strings = isinstance(left, str) and isinstance(right, str)
    if op not in ("==", "!=") and not numbers and not strings:
        raise ConditionError(
            f"{left!r} and {right!r} have no order", where=f"guard {text!r}", fix="use == or !="
        )
    if op in ("==", "!=") and isinstance(left, bool) != isinstance(right, bool):
        return op == "!="  # JSON's true is not its 1, Python's is
    return bool(_COMPARE[op](left, right))


class _Reader:
    """Recursive descent over the tokens of one guard."""

    def __init__(self, text: str, names: Collection[str], where: str) -> None:
        self._text, self._names, self._where = text, names, where
        self._next = 0
        self.kind = ""
        self._token = ""
        self._column = 1
        self._advance()

    def either(self) -> Condition:
        items = [self._both()]
        while self._take("|"):
            items.append(self._both())
        return items[0] if len(items) == 1 else Either(tuple(items))

    def _both(self) -> Condition:
        items = [self._one()]
        while self._take("&"):
            items.append(self._one())
        return items[0] if len(items) == 1 else Both(tuple(items))

    def _one(self) -> Condition:
        if self._take("!"):
            return Not(self._one())
        if self._take("("):
            inner = self.either()
            if not self._take(")"):
                raise self.fault("expected )")
            return inner
        left = self.operand()
        op = self._token
        if op not in _COMPARE:
            raise self.fault(f"expected one of {' '.join(_COMPARE)}")
        self._advance()
        return Comparison(op, left, self.operand())

    def operand(self) -> Value | Field:
        """Read a constant or a path."""
        kind, token = self.kind, self._token
        if kind not in ("number", "string", "name"):
            raise self.fault("expected a number, a string or an argument")
        if kind != "name" or token in _CONSTANTS:
            value = self._constant(kind, token)
            self._advance()
            return Value(value)
        path = tuple(token.split("."))
        if path[0] == _ARGS and _ARGS not in self._names:
            path = path[1:]
        if not path or path[0] not in self._names:
            known = ", ".join(self._names) or "none"
            raise self.fault(f"{token!r} is no argument; arguments are {known}")
        self._advance()
        return Field(path)

    def _constant(self, kind: str, token: str) -> Any:
        if kind == "name":
            return _CONSTANTS[token]
        try:
            return json.loads(token)
        except json.JSONDecodeError:
            raise self.fault("expected JSON") from None

    def _take(self, op: str) -> bool:
        if self.kind == "op" and self._token == op:
            self._advance()
            return True
        return False

    def _advance(self) -> None:
        found = _TOKEN.match(self._text, self._next)
        rest = self._text[self._next :]
        self._column = self._next + len(rest) - len(rest.lstrip()) + 1
        if found is None:
            self.kind, self._token = ("", "") if not rest.strip() else ("other", rest.strip()[0])
            return
        self.kind, self._token = str(found.lastgroup), found.group(str(found.lastgroup))
        self._next = found.end()

    def fault(self, what: str) -> ConditionError:
        """The error for the current token."""
        found = f" instead of {self._token!r}" if self._token else ""
        where = f"{self._where}: column {self._column}"
        return ConditionError(f"{what}{found}", where=where, fix=f"mend {self._text!r}")
