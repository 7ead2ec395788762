"""Rules split by what the lexer prefers before and after what they derive.

How a token is read depends on the parser's state after the token before it. A rule is therefore
written once for each kind of preferences (`contexts.kinds`) that it may begin and end with, as in
the intersection of a context-free grammar with an automaton [Bar-Hillel, Perles, Shamir, 1961].
Where there is one kind only, as in most grammars, nothing is split.
"""

from __future__ import annotations

from collections.abc import Iterator

from bb_domains.errors import ProfileError
from bb_domains.json_schema.regex import Ranges
from bb_domains.profile.contexts import Contexts, Occurrence, Preferences
from bb_domains.profile.source import Source

MOST_OPTIONS = 20_000

Symbol = tuple[str, int, int]  # rule, kind before, kind after
Option = tuple[tuple[str, int, int, bool], ...]  # symbols, and whether each is a terminal
Outs = dict[tuple[str, int], set[int]]


class Kinds:
    """Kinds of preferences, and those in which the next token must not begin in some ways.

    The latter come after the former in number; each stands for a former and some characters.
    """

    def __init__(
        self, contexts: Contexts, overrun: dict[tuple[int, str], Ranges], has_ignored: bool
    ) -> None:
        self._contexts, self._overrun, self._has_ignored = contexts, overrun, has_ignored
        self._narrow: list[tuple[int, Ranges]] = []
        self.first = contexts.first
        kinds = range(len(contexts.kinds))
        for avoided in sorted(set(overrun.values())):
            self._narrow += [(kind, avoided) for kind in kinds]

    def __len__(self) -> int:
        return len(self._contexts.kinds) + len(self._narrow)

    def _plain(self, kind: int) -> int:
        n = len(self._contexts.kinds)
        return kind if kind < n else self._narrow[kind - n][0]

    def preferences(self, kind: int) -> Preferences:
        """What the lexer prefers."""
        return self._contexts.kinds[self._plain(kind)]

    def avoided(self, kind: int) -> Ranges:
        """Characters that the next token must not begin with."""
        n = len(self._contexts.kinds)
        return () if kind < n else self._narrow[kind - n][1]

    def overrun(self, kind: int, name: str) -> Ranges:
        """Characters that must not follow a terminal at once; see `Lowered.overrun`."""
        return self._overrun.get((self._plain(kind), name), ())

    def after(self, place: Occurrence, kind: int, name: str) -> list[int]:
        """The kinds that a terminal may end with."""
        plain = self._contexts.after.get(place, self._contexts.first)
        avoided = self.overrun(kind, name)
        if not avoided:
            return [plain]
        narrow = len(self._contexts.kinds) + self._narrow.index((plain, avoided))
        return [plain, narrow] if self._has_ignored else [narrow]


def split(source: Source, contexts: Kinds) -> dict[Symbol, list[Option]]:
    """The split rules that a text can be derived with.

    Raises:
        ProfileError: there would be too many.
    """
    by_origin: dict[str, list[int]] = {}
    for i, rule in enumerate(source.rules):
        by_origin.setdefault(str(rule.origin.name), []).append(i)
    outs = _outs(source, contexts)
    found: dict[Symbol, list[Option]] = {}
    waiting: list[Symbol] = [
        (source.start, contexts.first, out)
        for out in sorted(outs.get((source.start, contexts.first), ()))
    ]
    total = 0
    while waiting:
        symbol = waiting.pop()
        if symbol in found:
            continue
        name, before, after = symbol
        options = found[symbol] = []
        for i in by_origin[name]:
            for option, end in _options(source, contexts, outs, i, before):
                if end == after:
                    options.append(option)
                    waiting += [part[:3] for part in option if not part[3]]
        total += len(options)
        if total > MOST_OPTIONS:
            raise ProfileError(
                f"its keywords depend on the context in more than {MOST_OPTIONS} rules",
                where=source.name,
                fix="reserve its keywords everywhere",
            )
    return found


def _outs(source: Source, contexts: Kinds) -> Outs:
    """The kinds that a rule may end with, by the one it begins with; the least solution."""
    outs: Outs = {}
    changed = True
    while changed:
        changed = False
        for i, rule in enumerate(source.rules):
            for kind in range(len(contexts)):
                known = outs.setdefault((str(rule.origin.name), kind), set())
                new = {end for _, end in _options(source, contexts, outs, i, kind)} - known
                known |= new
                changed |= bool(new)
    return outs


def _options(
    source: Source, contexts: Kinds, outs: Outs, number: int, before: int
) -> Iterator[tuple[Option, int]]:
    """Every way to choose kinds within a rule, and the kind after it."""
    expansion = source.rules[number].expansion
    ways: list[tuple[Option, int]] = [((), before)]
    for place, symbol in enumerate(expansion):
        name, longer = str(symbol.name), list[tuple[Option, int]]()
        for option, kind in ways:
            if symbol.is_term:
                ends = contexts.after((number, place), kind, name)
            else:
                ends = sorted(outs.get((name, kind), ()))
            longer += [((*option, (name, kind, end, bool(symbol.is_term))), end) for end in ends]
        ways = longer
        if len(ways) > MOST_OPTIONS:
            raise ProfileError(
                "its keywords depend on the context in too many ways",
                where=source.name,
                fix="reserve its keywords everywhere",
            )
    yield from ways
