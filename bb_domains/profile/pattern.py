r"""Python's regular expressions as trees that keep the order in which alternatives are tried.

Python's own parser reads the expression, so that flags, classes and escapes mean what they mean to
lark. Sets of characters are written out as ranges, because Rust's `\w` and `\s` are not Python's.
"""

from __future__ import annotations

import importlib
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from bb_domains.errors import ProfileError
from bb_domains.json_schema import regex as rx
from bb_domains.json_schema.regex import Ranges

_MOST_COPIES = 400


@dataclass(frozen=True)
class One:
    """One character of a set."""

    ranges: Ranges


@dataclass(frozen=True)
class Sequence:
    """One after the other."""

    items: tuple[Node, ...]


@dataclass(frozen=True)
class Choice:
    """The first that leads to a match."""

    items: tuple[Node, ...]


@dataclass(frozen=True)
class Loop:
    """`least` to `most` times, as often as possible, or as seldom if `lazy`."""

    item: Node
    least: int
    most: int | None
    lazy: bool


@dataclass(frozen=True)
class Behind:
    """The character just read is one of a set; there must be one, within the terminal."""

    ranges: Ranges
    negated: bool


Node = One | Sequence | Choice | Loop | Behind


def parse_pattern(pattern: str, where: str) -> Node:
    """Read a regular expression as Python does.

    Args:
        pattern: the expression, flags inside (`(?i:…)`).
        where: place for messages.

    Raises:
        ProfileError: it is none, or holds a construct that only one of the engines has.
    """
    parser: Any = importlib.import_module("re._parser")
    try:
        parsed = parser.parse(pattern)
    except (re.error, RecursionError, OverflowError) as error:
        raise ProfileError(
            f"Python reads no regular expression there: {error}",
            where=where,
            fix="classes such as \\p{L} must be written as ranges",
        ) from None
    return _Reader(where).sequence(parsed, parsed.state.flags)


def nodes(node: Node) -> Iterator[Node]:
    """The node and all that it holds."""
    yield node
    match node:
        case Sequence(items) | Choice(items):
            for item in items:
                yield from nodes(item)
        case Loop(item):
            yield from nodes(item)


def sets(node: Node) -> set[Ranges]:
    """The sets of characters that an expression speaks of."""
    return {part.ranges for part in nodes(node) if isinstance(part, One | Behind)}


class _Reader:
    """Turns Python's parse into ours."""

    def __init__(self, where: str) -> None:
        self._where = where

    def sequence(self, items: Any, flags: int) -> Node:
        found = tuple(self._item(str(op), value, flags) for op, value in items)
        return found[0] if len(found) == 1 else Sequence(found)

    def _item(self, op: str, value: Any, flags: int) -> Node:
        if op in {"LITERAL", "NOT_LITERAL"}:
            ranges = _case(((value, value),), flags)
            return One(rx.invert(ranges) if op == "NOT_LITERAL" else ranges)
        if op == "ANY":
            return One(rx.invert(()) if flags & re.DOTALL else rx.invert(((10, 10),)))
        if op == "IN":
            return One(self._set(value, flags))
        if op == "BRANCH":
            return Choice(tuple(self.sequence(item, flags) for item in value[1]))
        if op == "SUBPATTERN":
            _, added, removed, inner = value
            return self.sequence(inner, (flags | added) & ~removed)
        if op in {"MAX_REPEAT", "MIN_REPEAT"}:
            return self._loop(value, flags, lazy=op == "MIN_REPEAT")
        if op in {"ASSERT", "ASSERT_NOT"}:
            return self._behind(value, flags, negated=op == "ASSERT_NOT")
        raise self._refusal(op, value)

    def _loop(self, value: Any, flags: int, lazy: bool) -> Node:
        least, most, inner = int(value[0]), int(value[1]), value[2]
        unbounded = value[1] is importlib.import_module("re._constants").MAXREPEAT
        if max(least, 0 if unbounded else most) > _MOST_COPIES:
            raise ProfileError(
                f"a repetition of more than {_MOST_COPIES} is too much to compare",
                where=self._where,
                fix="repeat without an upper bound",
            )
        return Loop(self.sequence(inner, flags), least, None if unbounded else most, lazy)

    def _behind(self, value: Any, flags: int, negated: bool) -> Node:
        direction, inner = value
        if direction > 0:
            raise self._refusal("negative lookahead" if negated else "lookahead", None)
        seen = self.sequence(inner, flags)
        if not isinstance(seen, One):
            raise self._refusal("lookbehind of more than one character", None)
        return Behind(seen.ranges, negated)

    def _set(self, items: Any, flags: int) -> Ranges:
        found: list[tuple[int, int]] = []
        negated = False
        for kind, value in items:
            name = str(kind)
            if name == "NEGATE":
                negated = True
            elif name == "LITERAL":
                found.append((value, value))
            elif name == "RANGE":
                found.append((value[0], value[1]))
            else:
                found.extend(_category(str(value), bool(flags & re.ASCII)))
        ranges = _case(rx.join(found), flags)
        return rx.invert(ranges) if negated else ranges

    def _refusal(self, op: str, value: Any) -> ProfileError:
        named = {
            "AT": f"the anchor {_ANCHORS.get(str(value), str(value))}",
            "GROUPREF": "a back-reference",
            "GROUPREF_EXISTS": "a conditional group",
            "ATOMIC_GROUP": "an atomic group",
            "POSSESSIVE_REPEAT": "a possessive quantifier",
        }
        return ProfileError(
            f"{named.get(op, op)} has no counterpart in the mask",
            where=self._where,
            fix="write the terminal without it",
        )


_ANCHORS = {
    "AT_BEGINNING": "^",
    "AT_END": "$",
    "AT_BEGINNING_STRING": "\\A",
    "AT_END_STRING": "\\Z",
    "AT_BOUNDARY": "\\b",
    "AT_NON_BOUNDARY": "\\B",
}
_TESTS: dict[str, Callable[[str], bool]] = {
    "DIGIT": str.isdecimal,
    "SPACE": str.isspace,
    "WORD": lambda char: char.isalnum() or char == "_",
}


@lru_cache(maxsize=32)
def _category(name: str, ascii_only: bool) -> Ranges:
    r"""The characters of `\d`, `\s`, `\w` and their opposites, as Python has them."""
    test = _TESTS[name.rpartition("_")[2]]
    last = 0x7F if ascii_only else rx.LAST
    points = [p for p in range(last + 1) if not 0xD800 <= p <= 0xDFFF and test(chr(p))]
    if ascii_only:
        points = [p for p in points if not 0x1C <= p <= 0x1F]
    ranges = rx.join([(p, p) for p in points])
    return rx.invert(ranges) if "NOT" in name else ranges


def _case(ranges: Ranges, flags: int) -> Ranges:
    """A set closed under what Python takes for the same letter, if the flag says so."""
    if not flags & re.IGNORECASE:
        return ranges
    ascii_only = bool(flags & re.ASCII)
    found = list(ranges)
    for points in _letters(ascii_only):
        if any(low <= p <= high for p in points for low, high in ranges):
            found.extend((p, p) for p in points)
    return rx.join(found)


@lru_cache(maxsize=2)
def _letters(ascii_only: bool) -> tuple[tuple[int, ...], ...]:
    """Characters that Python's re holds for one letter, by classes of at least two."""
    lower: Any = importlib.import_module("_sre")
    fold: Callable[[int], int] = lower.ascii_tolower if ascii_only else lower.unicode_tolower
    extra: dict[int, tuple[int, ...]] = (
        {} if ascii_only else importlib.import_module("re._casefix")._EXTRA_CASES
    )
    classes: dict[int, set[int]] = {}
    for point in range(0x80 if ascii_only else rx.LAST + 1):
        folded = fold(point)
        if folded != point:
            classes.setdefault(folded, {folded}).add(point)
    for point, others in extra.items():
        whole = {point, *others}.union(*(classes.get(p, set()) for p in (point, *others)))
        for member in whole:
            classes[member] = whole
    return tuple({tuple(sorted(points)) for points in classes.values()})
