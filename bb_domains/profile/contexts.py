"""Which terminal lark's lexer prefers to which, at each place where a terminal is expected.

In each state of the LALR(1) parser, lark's contextual lexer tries the terminals of that state in a
fixed order and takes the first that matches, however short; a keyword that matches a name's
pattern as a whole is taken out of the name. So what a terminal may be depends on who stands before
it in the states in which it is expected.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any

from bb_domains.profile.source import Source

Occurrence = tuple[int, int]  # number of the rule, place in it


@dataclass(frozen=True)
class Blockers:
    """What a text of a terminal must not be, for lark to take it as that terminal.

    Attributes:
        openings: terminals none of whose texts may be its beginning.
        wholes: terminals whose texts it must not equal.
        holders: patterns that are tried before it and give the text back if they match all of it.
    """

    openings: frozenset[str] = frozenset()
    wholes: frozenset[str] = frozenset()
    holders: frozenset[str] = frozenset()

    def __or__(self, other: Blockers) -> Blockers:
        return Blockers(
            self.openings | other.openings,
            self.wholes | other.wholes,
            self.holders | other.holders,
        )


@dataclass
class Contexts:
    """Blockers at each place of the rules where a terminal stands.

    Attributes:
        at: by place.
        ignored: of the ignored terminals, by name.
        uneven: names of terminals whose blockers at one place differ between parser states; the
            union is kept there.
        expected: sets of terminals that one parser state expects, the ignored ones among them.
    """

    at: dict[Occurrence, Blockers] = field(default_factory=dict)
    ignored: dict[str, Blockers] = field(default_factory=dict)
    uneven: set[str] = field(default_factory=set)
    expected: set[frozenset[str]] = field(default_factory=set)


def contexts(source: Source, relevant: Callable[[str, Blockers], Blockers]) -> Contexts:
    """Work out the blockers of every terminal at every place.

    Args:
        source: the grammar; without blockers if it is for Earley's algorithm, which tries all.
        relevant: keeps those blockers of a terminal that share texts with it.
    """
    found = Contexts()
    if source.engine == "earley":
        every = frozenset(terminal.name for terminal in source.terminals)
        found.expected.add(every)
        return found
    terminals = {terminal.name: terminal for terminal in source.terminals}
    numbers = {id(rule): i for i, rule in enumerate(source.rules)}
    first: dict[Occurrence, Blockers] = {}
    order_of: dict[frozenset[str], dict[str, Blockers]] = {}
    for items, actions in source.analysis.parse_table.states.items():
        names = frozenset(n for n in actions if n in terminals) | frozenset(source.ignored)
        found.expected.add(names)
        if names not in order_of:
            order_of[names] = {
                name: relevant(name, blockers)
                for name, blockers in preferences([terminals[name] for name in names]).items()
            }
        for place, name in _places(items, numbers):
            blockers = order_of[names][name]
            _add(found.at, first, place, name, blockers, found.uneven)
        for name in source.ignored:
            blockers = order_of[names][name]
            found.ignored[name] = found.ignored.get(name, Blockers()) | blockers
    for name, blockers in found.ignored.items():
        if any(name in order and order[name] != blockers for order in order_of.values()):
            found.uneven.add(name)
    return found


def _add(
    at: dict[Occurrence, Blockers],
    first: dict[Occurrence, Blockers],
    place: Occurrence,
    name: str,
    blockers: Blockers,
    uneven: set[str],
) -> None:
    if first.setdefault(place, blockers) != blockers:
        uneven.add(name)
    at[place] = at.get(place, Blockers()) | blockers


def _places(items: Iterable[Any], numbers: dict[int, int]) -> Iterable[tuple[Occurrence, str]]:
    """The terminals that items of a parser state expect next."""
    for item in items:
        if not item.is_satisfied and item.next.is_term and id(item.rule) in numbers:
            yield (numbers[id(item.rule)], item.index), str(item.next.name)


def preferences(terminals: list[Any]) -> dict[str, Blockers]:
    """Who stands before whom among the terminals of one parser state, as lark sorts them."""
    ordered = sorted(
        terminals,
        key=lambda t: (-t.priority, -t.pattern.max_width, -len(t.pattern.value), t.name),
    )
    keywords, within = _keywords(ordered)
    scanned = [t.name for t in ordered if t.name not in within]
    found: dict[str, Blockers] = {}
    for i, name in enumerate(scanned):
        holders = {before for before in scanned[:i] if name in keywords.get(before, ())}
        openings = frozenset(scanned[:i]) - holders
        found[name] = Blockers(openings, frozenset(keywords.get(name, ())), frozenset(holders))
    for name, patterns in within.items():
        shared = [found[pattern].openings for pattern in patterns]
        found[name] = Blockers(frozenset.intersection(*shared))
    return found


def _keywords(ordered: list[Any]) -> tuple[dict[str, list[str]], dict[str, list[str]]]:
    """Strings that a pattern matches as a whole: by pattern, and those found only through one."""
    keywords: dict[str, list[str]] = {}
    within: dict[str, list[str]] = {}
    strings = [t for t in ordered if t.pattern.type == "str"]
    for terminal in ordered:
        if terminal.pattern.type != "re":
            continue
        pattern = re.compile(terminal.pattern.to_regexp())
        for string in strings:
            value = string.pattern.value
            match = pattern.match(value)
            if string.priority != terminal.priority or match is None or match[0] != value:
                continue
            keywords.setdefault(terminal.name, []).append(string.name)
            if string.pattern.flags <= terminal.pattern.flags:
                within.setdefault(string.name, []).append(terminal.name)
    return keywords, within
