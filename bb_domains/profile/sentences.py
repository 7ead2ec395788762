"""Random sentences of a grammar, short ones more often, and near misses of them.

A sentence is derived from lark's rules; its tokens are written side by side, so where the lexer
would read them otherwise it is no sentence of the language: both engines must say so.
"""

from __future__ import annotations

import math
import random
from collections.abc import Iterator
from functools import cached_property

from bb_domains.json_schema import regex as rx
from bb_domains.json_schema.regex import Language
from bb_domains.profile.lowering import Lowered

_LONGEST_TOKEN = 12


class Sentences:
    """Draws texts from a grammar; the same seed gives the same texts."""

    def __init__(self, lowered: Lowered, seed: int = 0) -> None:
        self._lowered = lowered
        self._random = random.Random(seed)
        self._by_origin: dict[str, list[int]] = {}
        for i, rule in enumerate(lowered.source.rules):
            self._by_origin.setdefault(str(rule.origin.name), []).append(i)

    def draw(self, tokens: int = 24) -> str:
        """A text of about so many tokens, at most."""
        left, parts = tokens, [self._gap()]
        stack = [(self._lowered.source.start, False)]
        while stack:
            name, is_terminal = stack.pop()
            if is_terminal:
                left -= 1
                parts += [self._token(name), self._gap()]
                continue
            options = [i for i in self._by_origin[name] if self._costs[i] < math.inf]
            cheap = min(self._costs[i] for i in options)
            needed = sum(1 for entry in stack if entry[1])
            within = [i for i in options if self._costs[i] <= max(cheap, left - needed)]
            if left <= needed:
                within = [i for i in options if self._costs[i] == cheap]
            chosen = self._random.choice(within)
            expansion = self._lowered.source.rules[chosen].expansion
            stack += [(str(s.name), bool(s.is_term)) for s in reversed(expansion)]
        return "".join(parts)

    def near_miss(self, text: str) -> str:
        """A text with one character dropped, doubled, changed or new, or its parts exchanged."""
        if not text:
            return self._random.choice('a0 "(')
        at, kind = self._random.randrange(len(text)), self._random.randrange(5)
        char = self._random.choice(text + 'a0 _."\\\n+-')
        if kind == 0:
            return text[:at] + text[at + 1 :]
        if kind == 1:
            return text[: at + 1] + text[at:]
        if kind == 2:
            return text[:at] + char + text[at + 1 :]
        if kind == 3:
            return text[:at] + char + text[at:]
        return text[at:] + text[:at]

    @cached_property
    def _costs(self) -> list[float]:
        """Fewest tokens of each rule."""
        rules = self._lowered.source.rules
        best: dict[str, float] = {}
        costs = [math.inf] * len(rules)
        changed = True
        while changed:
            changed = False
            for i, rule in enumerate(rules):
                cost = sum(
                    1 if s.is_term else best.get(str(s.name), math.inf) for s in rule.expansion
                )
                if cost < costs[i]:
                    costs[i], changed = cost, True
                    name = str(rule.origin.name)
                    best[name] = min(best.get(name, math.inf), cost)
        return costs

    def _gap(self) -> str:
        ignored = self._lowered.source.ignored
        if not ignored or self._random.random() < 0.5:
            return ""
        return self._token(self._random.choice(ignored))

    def _token(self, name: str) -> str:
        """A random text of a terminal, in a third of the cases a shortest one."""
        language = self._lowered.coded[name]
        if self._random.random() > 0.33:
            for _ in range(4):
                found = self._walk(language)
                if found is not None:
                    return found
        return self._lowered.alphabet.text(rx.shortest(language) or "")

    def _walk(self, language: Language) -> str | None:
        text = ""
        for _ in range(_LONGEST_TOKEN):
            if rx.is_nullable(language) and text and self._random.random() < 0.4:
                return text
            ways = list(self._ways(language))
            if not ways:
                return text if rx.is_nullable(language) else None
            number, language = self._random.choice(ways)
            ranges = self._lowered.alphabet.classes[number]
            text += self._char(ranges)
        return text if rx.is_nullable(language) else None

    def _char(self, ranges: rx.Ranges) -> str:
        """A character of a class: three times in four a printable one, if there is one."""
        printable = [(max(a, 0x20), min(b, 0x7E)) for a, b in ranges if a <= 0x7E and b >= 0x20]
        low, high = self._random.choice(
            printable if printable and self._random.random() < 0.75 else list(ranges)
        )
        return chr(self._random.randint(low, high))

    def _ways(self, language: Language) -> Iterator[tuple[int, Language]]:
        for number in range(len(self._lowered.alphabet.classes)):
            rest = rx.derive(language, number)
            if rest != rx.NONE and not rx.is_empty(rest):
                yield number, rest
