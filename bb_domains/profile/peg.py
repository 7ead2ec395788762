r"""PEG files (`grammar.peg`) as grammars of the profile, where both mean the same.

A PEG [B. Ford, "Parsing Expression Grammars", POPL 2004] tries alternatives in order and never goes
back: `a / b` is no union, `e*` takes all it can. A context-free grammar with the same rules has the
same language if one character tells what to do: the alternatives of a choice begin with different
characters, and what may follow an optional or repeated part does not begin like it. That is checked
in `peg_lowering`, character by character; a file that fails is refused with rule and character.

Looking ahead is taken where it needs no looking: `!A B` and `&A B` with single characters are
classes, `(!end .)* end` is the shortest text up to `end`, and `!.` at the end is the end.
Semantic actions, captures and back-references are refused.

Syntax: `name <- expression` (also `=`, `←`), `/` for choice, `"…"` and `'…'`, `[a-z]`, `[^a-z]`,
`.`, `?`, `*`, `+`, `&`, `!`, parentheses, comments from `#` to the end of the line.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from bb_domains.errors import ProfileError
from bb_domains.json_schema import regex as rx
from bb_domains.json_schema.regex import Ranges


@dataclass(frozen=True)
class Text:
    """Characters one after the other, each of a set."""

    sets: tuple[Ranges, ...]


@dataclass(frozen=True)
class Call:
    """Another rule."""

    name: str


@dataclass(frozen=True)
class Row:
    """One after the other."""

    items: tuple[Peg, ...]


@dataclass(frozen=True)
class First:
    """The first alternative that matches."""

    items: tuple[Peg, ...]


@dataclass(frozen=True)
class Times:
    """As often as possible: `least` 0 or 1, `most` 1 or None."""

    item: Peg
    least: int
    most: int | None


@dataclass(frozen=True)
class Look:
    """Whether something follows, or does not."""

    item: Peg
    negated: bool


@dataclass(frozen=True)
class Until:
    """The shortest text that ends with a literal, the literal included."""

    before: Ranges
    end: str


Peg = Text | Call | Row | First | Times | Look | Until

_TOKEN = re.compile(
    r"""(?P<space>(?:\s|\#[^\n]*)+)|(?P<arrow><-|←|=)|(?P<name>[A-Za-z_]\w*)
    |(?P<text>"(?:[^"\\\n]|\\.)*"i?|'(?:[^'\\\n]|\\.)*'i?)|(?P<set>\[(?:[^\]\\]|\\.)*\])
    |(?P<mark>[/?*+&!().;|])""",
    re.VERBOSE | re.DOTALL,
)
_ESCAPES = {"n": "\n", "r": "\r", "t": "\t", "f": "\f", "v": "\v", "0": "\0"}
ANY: Ranges = rx.invert(())


class PegReader:
    """Reads a PEG file into expressions by rule."""

    def __init__(self, text: str, name: str) -> None:
        self._text, self._name = text, name
        self._tokens = self._scan()
        self._at = 0

    def rules(self) -> dict[str, Peg]:
        """The rules in the order of the file.

        Raises:
            ProfileError: it is no PEG; names line and column.
        """
        found: dict[str, Peg] = {}
        while self._peek()[0]:
            kind, name, at = self._next()
            if kind != "name" or self._peek()[0] != "arrow":
                raise self.refusal(at, f"expected a rule, found {name!r}", "write name <- …")
            self._next()
            if name in found:
                raise self.refusal(at, f"rule {name!r} is defined twice", "rename one")
            found[name] = simplify(self._choice())
            if self._peek()[1] == ";":
                self._next()
        if not found:
            raise ProfileError("holds no rule", where=self._name, fix="write name <- …")
        return found

    def refusal(self, at: int, what: str, fix: str) -> ProfileError:
        """An error at a place of the file."""
        line = self._text.count("\n", 0, at) + 1
        column = at - self._text.rfind("\n", 0, at)
        return ProfileError(what, where=f"{self._name}:{line}:{column}", fix=fix)

    def _scan(self) -> list[tuple[str, str, int]]:
        at, found = 0, list[tuple[str, str, int]]()
        while at < len(self._text):
            match = _TOKEN.match(self._text, at)
            if match is None:
                what = f"{self._text[at]!r} is not of a PEG's syntax"
                fix = "actions, captures and back-references are not taken"
                raise self.refusal(at, what, fix)
            if match.lastgroup != "space":
                found.append((str(match.lastgroup), match[0], at))
            at = match.end()
        return found

    def _peek(self, ahead: int = 0) -> tuple[str, str, int]:
        at = self._at + ahead
        return self._tokens[at] if at < len(self._tokens) else ("", "", len(self._text))

    def _next(self) -> tuple[str, str, int]:
        token = self._peek()
        self._at += 1
        return token

    def _choice(self) -> Peg:
        items = [self._row()]
        while self._peek()[1] in {"/", "|"}:
            _, mark, at = self._next()
            if mark == "|":
                raise self.refusal(at, "'|' is no PEG", "write / for an ordered choice")
            items.append(self._row())
        return items[0] if len(items) == 1 else First(tuple(items))

    def _row(self) -> Peg:
        items: list[Peg] = []
        while True:
            kind, value, _ = self._peek()
            starts_rule = kind == "name" and self._peek(1)[0] == "arrow"
            if starts_rule or not (
                kind in {"name", "text", "set"} or value in {"(", ".", "&", "!"}
            ):
                return items[0] if len(items) == 1 else Row(tuple(items))
            items.append(self._part())

    def _part(self) -> Peg:
        if self._peek()[1] in {"&", "!"}:
            negated = self._next()[1] == "!"
            return Look(self._repeated(), negated)
        return self._repeated()

    def _repeated(self) -> Peg:
        item = self._atom()
        while self._peek()[1] in {"?", "*", "+"} and self._peek()[0] == "mark":
            mark = self._next()[1]
            item = Times(item, int(mark == "+"), 1 if mark == "?" else None)
        return item

    def _atom(self) -> Peg:
        kind, value, at = self._next()
        if kind == "name":
            return Call(value)
        if kind == "text":
            return _literal(value)
        if kind == "set":
            return Text((self._set(value, at),))
        if value == ".":
            return Text((ANY,))
        if value != "(":
            raise self.refusal(at, f"unexpected {value or 'end'!r}", "write an expression")
        item = self._choice()
        if self._next()[1] != ")":
            raise self.refusal(at, "this parenthesis is not closed", "add )")
        return item

    def _set(self, value: str, at: int) -> Ranges:
        negated = value.startswith("[^")
        points, ranges = _points(value[2 if negated else 1 : -1]), list[tuple[int, int]]()
        i = 0
        while i < len(points):
            low, is_dash = points[i]
            if i + 2 < len(points) and points[i + 1] == (ord("-"), True) and not is_dash:
                ranges.append((low, points[i + 2][0]))
                i += 3
            else:
                ranges.append((low, low))
                i += 1
        if any(low > high for low, high in ranges) or not ranges:
            raise self.refusal(at, "no such range of characters", "write the lower one first")
        return rx.invert(rx.join(ranges)) if negated else rx.join(ranges)


def _points(text: str) -> list[tuple[int, bool]]:
    """Characters with escapes resolved, and whether each is a bare `-`."""
    found, i = list[tuple[int, bool]](), 0
    while i < len(text):
        if text[i] != "\\":
            found.append((ord(text[i]), text[i] == "-"))
            i += 1
            continue
        number = re.compile(r"x([0-9A-Fa-f]{2})|u([0-9A-Fa-f]{4})").match(text, i + 1)
        if number:
            found.append((int(number[1] or number[2], 16), False))
            i = number.end()
        else:
            found.append((ord(_ESCAPES.get(text[i + 1], text[i + 1])), False))
            i += 2
    return found


def _literal(value: str) -> Peg:
    blind = value.endswith("i")
    points = [point for point, _ in _points(value[1 : -2 if blind else -1])]
    sets = []
    for point in points:
        cases = (chr(point).lower(), chr(point).upper()) if blind else ()
        letters = {point, *(ord(case) for case in cases if len(case) == 1)}
        sets.append(rx.join([(letter, letter) for letter in letters]))
    return Text(tuple(sets))


def simplify(peg: Peg) -> Peg:
    """Take looks ahead where they are classes, ends or texts up to a literal; flatten."""
    match peg:
        case Row(items):
            return _row(tuple(simplify(item) for item in items))
        case First(items):
            return First(tuple(simplify(item) for item in items))
        case Times(item, least, most):
            return Times(simplify(item), least, most)
        case Look(item, negated):
            return Look(simplify(item), negated)
    return peg


def _row(items: tuple[Peg, ...]) -> Peg:
    flat: list[Peg] = []
    for item in items:
        flat += item.items if isinstance(item, Row) else (item,)
    found: list[Peg] = []
    for item in reversed(flat):
        after = found[0] if found else None
        if isinstance(item, Look) and isinstance(item.item, Text) and isinstance(after, Text):
            seen = item.item.sets
            if len(seen) == 1 and after.sets:
                kept = _meet(after.sets[0], rx.invert(seen[0]) if item.negated else seen[0])
                found[0] = Text((kept, *after.sets[1:]))
                continue
        until = _until(item, after)
        if until is not None:
            found[0] = until
            continue
        found.insert(0, item)
    return found[0] if len(found) == 1 else Row(tuple(found))


def _meet(one: Ranges, two: Ranges) -> Ranges:
    return rx.invert(rx.join([*rx.invert(one), *rx.invert(two)]))


def _until(item: Peg, after: Peg | None) -> Until | None:
    """`(!end set)* end`, read as one."""
    match item, after:
        case Times(Row((Look(Text(seen), True), Text((before,)))), 0, None), Text(end) if (
            seen == end and all(len(s) == 1 and s[0][0] == s[0][1] for s in end)
        ):
            return Until(before, "".join(chr(s[0][0]) for s in end))
    return None
