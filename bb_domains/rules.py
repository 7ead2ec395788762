"""Bounded grammars as data: what a JSON Schema becomes before it is written down as Lark.

    Lit("x")  Rx(pattern)  Seq(...)  Alt(...)  Opt(...)  Slot(arg)

Every node knows the fewest and the most bytes of its texts; there is no recursion, so every
language here is finite. A `Slot` is where a step grammar puts one concrete text (a reference to a
handle, or a key), and where the static grammar puts the general form.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass


@dataclass(frozen=True)
class Lit:
    """Exactly this ASCII text."""

    text: str


@dataclass(frozen=True)
class Rx:
    """A terminal: texts that match `pattern` as a whole.

    Patterns are in what Python's `re`, Rust's `regex` and llguidance's derivative engine read
    alike: no anchors, no lookaround, no classes by name. Alternatives of which one is a prefix of
    another stand longest first, because Python takes the first alternative that matches and Rust's
    engines here take the longest.

    Attributes:
        name: stem of the terminal's name in the written grammar.
        pattern: the regular expression.
        least, most: bytes of the shortest and longest text.
        count: number of texts if that is known and worth knowing, else None.
    """

    name: str
    pattern: str
    least: int
    most: int
    count: int | None = None


@dataclass(frozen=True)
class Slot:
    """A place for one text of `general` that a step grammar may narrow, named after its argument."""

    arg: str
    general: Rx | Alt | Lit


@dataclass(frozen=True)
class Seq:
    """One after the other."""

    items: tuple[Rule, ...]


@dataclass(frozen=True)
class Alt:
    """One of these; at least one."""

    items: tuple[Rule, ...]


@dataclass(frozen=True)
class Opt:
    """This or nothing."""

    item: Rule


Rule = Lit | Rx | Slot | Seq | Alt | Opt


def seq(*items: Rule) -> Rule:
    """A sequence, flattened, with neighbouring literals joined."""
    flat: list[Rule] = []
    for item in items:
        for part in item.items if isinstance(item, Seq) else (item,):
            if isinstance(part, Lit) and flat and isinstance(flat[-1], Lit):
                flat[-1] = Lit(flat[-1].text + part.text)
            elif part != Lit(""):
                flat.append(part)
    if not flat:
        return Lit("")
    return flat[0] if len(flat) == 1 else Seq(tuple(flat))


def alt(*items: Rule) -> Rule:
    """Alternatives, flattened, without repetitions."""
    flat = dict.fromkeys(
        part for item in items for part in (item.items if isinstance(item, Alt) else (item,))
    )
    return next(iter(flat)) if len(flat) == 1 else Alt(tuple(flat))


def least_bytes(rule: Rule) -> int:
    """Bytes of the shortest text."""
    match rule:
        case Lit(text):
            return len(text)
        case Rx():
            return rule.least
        case Slot():
            return least_bytes(rule.general)
        case Seq(items):
            return sum(map(least_bytes, items))
        case Alt(items):
            return min(map(least_bytes, items))
        case Opt():
            return 0


def most_bytes(rule: Rule) -> int:
    """Bytes of the longest text."""
    match rule:
        case Lit(text):
            return len(text)
        case Rx():
            return rule.most
        case Slot():
            return most_bytes(rule.general)
        case Seq(items):
            return sum(map(most_bytes, items))
        case Alt(items):
            return max(map(most_bytes, items))
        case Opt(item):
            return most_bytes(item)


def count_texts(rule: Rule) -> int | None:
    """Number of texts of a literal, terminal or alternative of those; None if unknown."""
    match rule:
        case Lit():
            return 1
        case Rx():
            return rule.count
        case Alt(items):
            counts = [count_texts(item) for item in items]
            return None if None in counts else sum(c for c in counts if c is not None)
        case _:
            return None


def terminals(rule: Rule) -> Iterator[Rx]:
    """Every terminal in a rule, in order, with repetitions."""
    match rule:
        case Rx():
            yield rule
        case Slot():
            yield from terminals(rule.general)
        case Seq(items) | Alt(items):
            for item in items:
                yield from terminals(item)
        case Opt(item):
            yield from terminals(item)
