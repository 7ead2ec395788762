"""Which terminal lark's lexer prefers to which, after each token.

In each state of the LALR(1) parser, lark's contextual lexer tries the terminals of that state in a
fixed order and takes the first that matches, however short; a keyword that matches a name's
pattern as a whole is taken out of the name. So what a terminal may be depends on who stands before
it in the states in which it is expected.
"""

from __future__ import annotations

import re
from collections.abc import Callable
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
        doubts: terminals tried before it though it may be that they cannot follow there, because
            LALR(1) states are shared by places; lark reads on as one of them, and then fails.
    """

    openings: frozenset[str] = frozenset()
    wholes: frozenset[str] = frozenset()
    holders: frozenset[str] = frozenset()
    doubts: frozenset[str] = frozenset()

    def __or__(self, other: Blockers) -> Blockers:
        return Blockers(
            self.openings | other.openings,
            self.wholes | other.wholes,
            self.holders | other.holders,
            self.doubts | other.doubts,
        )


Preferences = dict[str, Blockers]


@dataclass
class Contexts:
    """What the lexer prefers, by what has been read last.

    Attributes:
        kinds: the distinct preferences; those of parser states that do not contradict each other
            are one. Blockers by terminal.
        first: the kind at the beginning of a text.
        after: the kind after the terminal at a place of the rules.
        uneven: terminals whose blockers after one place differ between parser states; all of them
            are kept there.
        expected: sets of terminals that one parser state expects, the ignored ones among them.
    """

    kinds: list[Preferences] = field(default_factory=list)
    first: int = 0
    after: dict[Occurrence, int] = field(default_factory=dict)
    uneven: set[str] = field(default_factory=set)
    expected: set[frozenset[str]] = field(default_factory=set)

    def kind(self, preferences_: Preferences) -> int:
        """The number of a kind that says the same, which is made to say it all, or of a new one."""
        for number, known in enumerate(self.kinds):
            if all(
                known.get(name, blockers) == blockers for name, blockers in preferences_.items()
            ):
                known.update(preferences_)
                return number
        self.kinds.append(dict(preferences_))
        return len(self.kinds) - 1


def contexts(source: Source, relevant: Callable[[str, Blockers], Blockers]) -> Contexts:
    """Work out what the lexer prefers at every place.

    Args:
        source: the grammar; nothing is preferred if it is for Earley's algorithm, which tries all.
        relevant: keeps those blockers of a terminal that share texts with it.
    """
    from lark.parsers.lalr_analysis import Reduce

    found = Contexts()
    if source.engine == "earley":
        found.expected.add(frozenset(terminal.name for terminal in source.terminals))
        found.kind({})
        return found
    terminals = {terminal.name: terminal for terminal in source.terminals}
    analysis, known = source.analysis, dict[tuple[frozenset[str], frozenset[str]], Preferences]()

    def preferred(state: Any) -> Preferences:
        actions = analysis.parse_table.states[state.closure]
        names = frozenset(n for n in actions if n in terminals) | frozenset(source.ignored)
        found.expected.add(names)
        doubted = frozenset(n for n in names & actions.keys() if actions[n][0] is Reduce)
        if (names, doubted) not in known:
            order = preferences([terminals[name] for name in names], doubted)
            known[names, doubted] = {name: relevant(name, b) for name, b in order.items()}
        return known[names, doubted]

    found.first = found.kind(preferred(analysis.lr0_start_states[source.start]))
    by_place = _by_place(source)
    for place in sorted(by_place):
        options = [preferred(state) for state in by_place[place]]
        found.after[place] = found.kind(_joined(options, found.uneven))
    return found


def _by_place(source: Source) -> dict[Occurrence, list[Any]]:
    """The parser states that the terminal at a place may lead to."""
    numbers = {id(rule): i for i, rule in enumerate(source.rules)}
    found: dict[Occurrence, list[Any]] = {}
    for state in source.analysis.lr0_itemsets:
        for item in state.closure:
            if item.is_satisfied or not item.next.is_term or id(item.rule) not in numbers:
                continue
            following = state.transitions[item.next]
            seen = found.setdefault((numbers[id(item.rule)], item.index), [])
            if following not in seen:
                seen.append(following)
    return found


def _joined(options: list[Preferences], uneven: set[str]) -> Preferences:
    """All blockers of several preferences."""
    joined: Preferences = {}
    for preferred in options:
        for name, blockers in preferred.items():
            if joined.setdefault(name, blockers) != blockers:
                uneven.add(name)
                joined[name] |= blockers
    return joined


def preferences(terminals: list[Any], doubted: frozenset[str] = frozenset()) -> dict[str, Blockers]:
    """Who stands before whom among the terminals of one parser state, as lark sorts them.

    Args:
        terminals: those that the state expects.
        doubted: names of those for which it only reduces, so that it may expect them in vain.
    """
    ordered = sorted(terminals, key=_rank)
    keywords, within = _keywords(ordered)
    scanned = [t.name for t in ordered if t.name not in within]
    found: dict[str, Blockers] = {}
    for i, name in enumerate(scanned):
        before = frozenset(scanned[:i])
        holders = frozenset(held for held in before if name in keywords.get(held, ()))
        wholes = frozenset(keywords.get(name, ()))
        found[name] = Blockers(before - holders, wholes, holders, before & doubted)
    for name, patterns in within.items():
        shared = [found[pattern].openings for pattern in patterns]
        doubts = [found[pattern].doubts | ({pattern} & doubted) for pattern in patterns]
        found[name] = Blockers(
            frozenset.intersection(*shared), doubts=frozenset[str]().union(*doubts)
        )
    return found


def _rank(terminal: Any) -> tuple[int, int, int, str]:
    """The order in which lark tries terminals."""
    pattern = terminal.pattern
    return -terminal.priority, -pattern.max_width, -len(pattern.value), terminal.name


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
