"""ECMAScript patterns, as JSON Schema uses them, to languages of whole texts.

Lookahead becomes intersection: what follows `(?!A)` is intersected with the texts that do not begin
with A. Refused by name: backreferences, lookbehind, word boundaries, and anchors that stand
neither first nor last.
"""

from __future__ import annotations

import re
import sys
import unicodedata
from dataclasses import dataclass
from functools import cache, lru_cache
from typing import NoReturn

from bb_domains.errors import LowerError
from bb_domains.json_schema import regex as rx
from bb_domains.json_schema.regex import Language, Ranges

_DIGIT: Ranges = ((48, 57),)
_WORD: Ranges = ((48, 57), (65, 90), (95, 95), (97, 122))
_LONE_SPACES = (0x20, 0xA0, 0x1680, 0x202F, 0x205F, 0x3000, 0xFEFF)
_SPACE = rx.join(
    [(9, 13), (0x2000, 0x200A), (0x2028, 0x2029), *((point, point) for point in _LONE_SPACES)]
)
_LINE_ENDS: Ranges = ((10, 10), (13, 13), (0x2028, 0x2029))
_CONTROL = {"t": 9, "n": 10, "v": 11, "f": 12, "r": 13, "0": 0}
_HEX = {
    "u": re.compile(r"\{([0-9a-fA-F]+)\}|([0-9a-fA-F]{4})"),
    "x": re.compile(r"([0-9a-fA-F]{2})"),
}
_MOST_REPEATS = 20_000

# Anchors and lookaheads while parsing; they never leave this file.
_START = rx.Cat((rx.Chars(((-1, -1),)),) * 2)
_END = rx.Cat((rx.Chars(((-2, -2),)),) * 2)


@cache
def _python_class(letter: str) -> Ranges:
    """Code points that Python's `re` counts under a class escape."""
    wanted = re.compile("\\" + letter)
    points = [(p, p) for p in range(sys.maxunicode + 1) if wanted.match(chr(p))]
    return rx.join([p for p in points if not 0xD800 <= p[0] <= 0xDFFF])


_ECMA_CLASS = {"d": _DIGIT, "w": _WORD, "s": _SPACE}


def class_ranges(letter: str, wide: bool) -> Ranges:
    r"""`\d` and its like: what both dialects accept, or what either does."""
    small = letter.lower()
    ecma, python = _ECMA_CLASS[small], _python_class(small)
    if letter.isupper():
        ecma, python = rx.invert(ecma), rx.invert(python)
    if wide:
        return rx.join([*ecma, *python])
    return rx.invert(rx.join([*rx.invert(ecma), *rx.invert(python)]))


@lru_cache(maxsize=4096)
def pattern_language(pattern: str, wide: bool = False) -> Language:
    """The texts in which a pattern is found somewhere.

    Args:
        pattern: an ECMAScript regular expression, flags "u".
        wide: what ECMAScript or Python accepts, rather than what both do.

    Raises:
        LowerError: the pattern is malformed, or uses what no regular expression over texts can say.
    """
    parser = _Parser(pattern, wide)
    found = parser.alternatives()
    if parser.at < len(pattern):
        parser.fail("unbalanced ')'")
    return rx.union(*(_anchored(branch, parser) for branch in found))


def _anchored(branch: list[_Item], parser: _Parser) -> Language:
    """One alternative as a language of whole texts."""
    before: Language = rx.ALL
    while branch and branch[0] == _START:
        before, branch = rx.EMPTY, branch[1:]
    return rx.cat(before, _to_end(branch, parser))


def _to_end(branch: list[_Item], parser: _Parser) -> Language:
    """What a sequence allows from its place up to the end of the text."""
    after: Language = rx.ALL
    while branch and branch[-1] == _END:
        after, branch = rx.EMPTY, branch[:-1]
        if parser.wide:  # Python's `$` also stands before a last newline
            after = rx.repeat(rx.literal("\n"), 0, 1)
    if _START in branch or _END in branch:
        parser.fail("an anchor in the middle")
    return _sequence(branch, after)


@dataclass(frozen=True)
class _Look:
    """A lookahead, kept in the sequence until what follows is known: the rests that it allows."""

    rests: Language


_Item = Language | _Look


def _sequence(items: list[_Item], after: Language) -> Language:
    """Concatenate, turning each lookahead into an intersection with all that follows it."""
    rest = after
    for item in reversed(items):
        match item:
            case _Look(rests):
                rest = rx.intersection(rest, rests)
            case _:
                rest = rx.cat(item, rest)
    return rest


def _is_special(branch: list[_Item]) -> bool:
    return any(item in (_START, _END) or isinstance(item, _Look) for item in branch)


def _group_language(branches: list[list[_Item]]) -> Language:
    return rx.union(*(_sequence(branch, rx.EMPTY) for branch in branches))


class _Parser:
    """Recursive descent; `at` is the place in the pattern."""

    def __init__(self, pattern: str, wide: bool) -> None:
        self.pattern, self.wide, self.at = pattern, wide, 0

    def fail(self, what: str) -> NoReturn:
        raise LowerError(
            f"pattern {self.pattern!r}: {what} at character {self.at} is not supported",
            fix="write the pattern without it",
        )

    def peek(self) -> str:
        return self.pattern[self.at : self.at + 1]

    def take(self, text: str) -> bool:
        if self.pattern.startswith(text, self.at):
            self.at += len(text)
            return True
        return False

    def alternatives(self) -> list[list[_Item]]:
        found = self.branch()
        while self.take("|"):
            found += self.branch()
        return found

    def branch(self) -> list[list[_Item]]:
        """The items of one alternative; several where a group with anchors is multiplied out."""
        sequences: list[list[_Item]] = [[]]
        while self.peek() and self.peek() not in "|)":
            options = self.quantified()
            sequences = [[*one, *other] for one in sequences for other in options]
            if len(sequences) > 256:
                self.fail("too many anchored alternatives")
        return sequences

    def quantified(self) -> list[list[_Item]]:
        options = self.atom()
        bounds = self.quantifier()
        if bounds is None:
            return options
        if any(map(_is_special, options)):
            if bounds == (0, 1):
                return [*options, []]
            self.fail("a repeated anchor or lookahead")
        return [[rx.repeat(_group_language(options), *bounds)]]

    def quantifier(self) -> tuple[int, int | None] | None:
        """Take `*`, `+`, `?` or `{n,m}`: least and most times, None for no bound; None if none."""
        simple = {"*": (0, None), "+": (1, None), "?": (0, 1)}
        found: tuple[int, int | None] | None = None
        if self.peek() in simple and self.peek():
            found = simple[self.peek()]
            self.at += 1
        elif counted := re.compile(r"\{(\d+)(,(\d*))?\}").match(self.pattern, self.at):
            least = int(counted[1])
            most = least if counted[2] is None else int(counted[3]) if counted[3] else None
            if max(least, most or 0) > _MOST_REPEATS or (most is not None and most < least):
                self.fail("these repetitions")
            self.at, found = counted.end(), (least, most)
        if found is not None:
            self.take("?")  # lazy or not, the texts are the same
            if self.peek() and self.peek() in "*+":
                self.fail("a possessive or double quantifier")
        return found

    def atom(self) -> list[list[_Item]]:
        """Take one character, class, anchor or group, as alternatives of sequences."""
        c = self.peek()
        if c in "*+?":
            self.fail("nothing to repeat")
        self.at += 1
        if c == "^":
            return [[_START]]
        if c == "$":
            return [[_END]]
        if c == "(":
            return self.group()
        if c == "[":
            return [[rx.Chars(self.bracket())]]
        if c == ".":
            excluded: Ranges = ((10, 10),) if self.wide else _LINE_ENDS
            return [[rx.Chars(rx.invert(excluded))]]
        if c == "\\":
            return [[rx.Chars(self.escape())]]
        return [[rx.Chars(((ord(c), ord(c)),))]]

    def group(self) -> list[list[_Item]]:
        """Take the rest of a group or lookaround, its `(` taken."""
        if self.take("?="):
            return [[self.look(negative=False)]]
        if self.take("?!"):
            return [[self.look(negative=True)]]
        if self.take("?<=") or self.take("?<!"):
            self.fail("lookbehind")
        if self.take("?") and not self.take(":"):
            named = re.compile(r"P?<[A-Za-z_]\w*>").match(self.pattern, self.at)
            if named is None:
                self.fail("this kind of group")
            self.at = named.end()
        inner = self.closed()
        return inner if any(map(_is_special, inner)) else [[_group_language(inner)]]

    def look(self, negative: bool) -> _Look:
        """A lookahead; what a negation holds is read the other way."""
        self.wide ^= negative
        rests = rx.union(*(_to_end(branch, self) for branch in self.closed()))
        self.wide ^= negative
        return _Look(rx.complement(rests) if negative else rests)

    def closed(self) -> list[list[_Item]]:
        inner = self.alternatives()
        if not self.take(")"):
            self.fail("a missing ')'")
        return inner

    def escape(self) -> Ranges:
        c = self.peek()
        self.at += 1
        if c in ("d", "D", "w", "W", "s", "S"):
            return class_ranges(c, self.wide)
        if c in ("p", "P"):
            return self.unicode_property(c == "P")
        point = self.code_point(c)
        return ((point, point),)

    def code_point(self, c: str) -> int:
        """The character that an escape stands for, its backslash and `c` taken."""
        if c in _CONTROL and c:
            return _CONTROL[c]
        if c in _HEX:
            found = _HEX[c].match(self.pattern, self.at)
            if found is None:
                self.fail("this escape")
            self.at = found.end()
            return int(next(group for group in found.groups() if group), 16)
        if c == "c" and self.peek().isalpha():
            self.at += 1
            return ord(self.pattern[self.at - 1]) % 32
        if not c or c.isalnum():
            self.fail("a word boundary" if c in ("b", "B") else "this escape or backreference")
        return ord(c)

    def bracket(self) -> Ranges:
        """Take the rest of a class, its `[` taken."""
        negated = self.take("^")
        self.wide ^= negated  # what a negation holds is read the other way
        ranges: list[tuple[int, int]] = []
        while not self.take("]"):
            if not self.peek():
                self.fail("a missing ']'")
            low = self.class_item()
            ends_class = self.pattern[self.at + 1 : self.at + 2] in ("]", "")
            if self.peek() == "-" and not ends_class and _is_point(low):
                self.at += 1
                high = self.class_item()
                if not _is_point(high) or high[0][0] < low[0][0]:
                    self.fail("this range")
                low = ((low[0][0], high[0][0]),)
            ranges.extend(low)
        self.wide ^= negated
        return rx.invert(rx.join(ranges)) if negated else rx.join(ranges)

    def class_item(self) -> Ranges:
        c = self.peek()
        self.at += 1
        if c != "\\":
            return ((ord(c), ord(c)),)
        if self.take("b"):
            return ((8, 8),)
        return self.escape()

    def unicode_property(self, negated: bool) -> Ranges:
        found = re.compile(r"\{(?:General_Category=|gc=)?([A-Z][a-z]?|Letter|Number)\}").match(
            self.pattern, self.at
        )
        if found is None:
            self.fail("this Unicode property")
        self.at = found.end()
        ranges = _category({"Letter": "L", "Number": "N"}.get(found[1], found[1]))
        return rx.invert(ranges) if negated else ranges


def _is_point(ranges: Ranges) -> bool:
    return len(ranges) == 1 and ranges[0][0] == ranges[0][1]


@cache
def _category(name: str) -> Ranges:
    points = range(sys.maxunicode + 1)
    return rx.join([(p, p) for p in points if unicodedata.category(chr(p)).startswith(name)])
