"""The way out of a JSON text: few tokens that complete it from where it stands.

A budget is kept by never leaving the reach of a way out. What llguidance forces is taken; at each
choice the byte that closes most is tried first. The way found is complete by construction, though
not always the shortest: before the first token, where the budget is less than it, the choices are
gone back on one after another (limited discrepancy search, Harvey and Ginsberg 1995), for a bounded
number of steps. Of the text found, the fewest tokens that spell it are taken.
"""

from __future__ import annotations

import heapq
import itertools
import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from functools import lru_cache

from llguidance import LLMatcher, LLTokenizer

from bb_domains.errors import LowerError
from bb_domains.json_schema import regex as rx
from bb_domains.json_schema.compile import SchemaGrammar
from bb_domains.json_schema.effort import bounded, spend, steps_left
from bb_domains.json_schema.guard import Guard
from bb_domains.json_schema.regex import Language

_OUTSIDE = b'}]0123456789"ntf{[-.,:eE+'
_INSIDE = b'"0123456789aA' + bytes(range(0x20, 0x7F))
_QUOTE, _ESCAPE = b'"\\'
_FORCED_CALLS = 6
"""Of the other calls into llguidance, that asking what is forced costs as much as."""
_GRAMMAR_BYTES = 16_384
"""Of a grammar, after which a call costs as much again."""

MOST_TOKENS = 4096
"""A way that takes more is not looked for."""

_MOST_VISITED = 1000
_MOST_OPTIONS = 24
_MANY_DIGITS = 9
_BEYOND = 32
"""Tokens that a way may have beyond the budget before it is spelled with fewer."""
_LONGEST_TOKEN = 32
"""Bytes of a token that a text is spelled with anew."""

_TOKENS_PER_CALL = 16
"""Of a known way, which are read at once."""


class _SpentError(Exception):
    """A search has taken long enough."""


@dataclass
class Work:
    """What the searches of one step may still take: all other texts wait for their end.

    It is counted, not timed, so that an answer does not depend on how fast the machine is.

    Attributes:
        languages: what strings there are besides all.
        calls: into llguidance.
        steps: of derivatives, see `effort`.
        weight: of one call.
    """

    languages: Sequence[Language]
    calls: int
    steps: int
    weight: int

    @classmethod
    def at_first(cls, grammar: SchemaGrammar) -> Work:
        """Before the first token."""
        return cls(grammar.strings, 40_000, 10_000, _weight(grammar))

    @classmethod
    def at_token(cls, grammar: SchemaGrammar) -> Work:
        """Before each other token."""
        return cls(grammar.strings, 8_000, 2_000, _weight(grammar))

    @property
    def is_spent(self) -> bool:
        """Whether there is nothing left for another call."""
        return self.calls <= 0

    def call(self, times: int = 1) -> None:
        """Count calls.

        Raises:
            _SpentError: there were too many.
        """
        self.calls -= times * self.weight
        if self.calls < 0:
            raise _SpentError

    def read(self, n_tokens: int) -> None:
        """Count the reading of so many tokens at once.

        Raises:
            _SpentError: there were too many calls.
        """
        self.call(1 + n_tokens // _TOKENS_PER_CALL)

    @contextmanager
    def deriving(self) -> Iterator[None]:
        """Count the derivatives inside the block."""
        with bounded(self.steps):
            try:
                yield
            finally:
                self.steps = steps_left()


def _weight(grammar: SchemaGrammar) -> int:
    return 1 + len(grammar.lark) // _GRAMMAR_BYTES


@dataclass(frozen=True)
class Strings:
    """Whether a text stands inside a string, there behind a backslash, and the string so far."""

    is_inside: bool = False
    is_escaped: bool = False
    body: bytes = b""

    def read(self, text: bytes) -> Strings:
        """The state after more text."""
        is_inside, is_escaped, body = self.is_inside, self.is_escaped, bytearray(self.body)
        for byte in text:
            if not is_inside:
                is_inside = byte == _QUOTE
                body.clear()
            elif byte == _QUOTE and not is_escaped:
                is_inside = False
            else:
                is_escaped = byte == _ESCAPE and not is_escaped
                body.append(byte)
        return Strings(is_inside, is_escaped, bytes(body))

    def rests(self, work: Work) -> list[bytes]:
        """What would complete the string in some of the languages, shortest first."""
        if not work.steps:
            return []
        try:
            begun = json.loads(b'"' + self.body + b'"')
        except ValueError:
            return []
        found = set[bytes]()
        try:
            with work.deriving():
                for language in work.languages:
                    spend(1 + len(begun))
                    found.add(_rest(language, begun))
        except LowerError:  # from here on byte by byte
            work.steps = 0
        return sorted((rest for rest in found if rest), key=lambda rest: (len(rest), rest))


@lru_cache(maxsize=100_000)
def _rest(language: Language, begun: str) -> bytes:
    """The shortest rest of a JSON string, its quote included; nothing if there is none."""
    for char in begun:
        language = rx.derive(language, ord(char))
    rest = rx.shortest(language)
    if rest == "" and not rx.is_nullable(language):
        raise LowerError("has too many states", where="/", fix="simplify the schema")
    plain = "".join(c if " " <= c <= "~" and c not in '"\\' else "0" for c in rest or "")
    if plain != rest and rx.matches(language, plain):  # fewer bytes
        rest = plain
    return json.dumps(rest, ensure_ascii=False)[1:].encode() if rest else b""


@dataclass(frozen=True)
class _Point:
    """A place on the way: where the text stands, and the tokens up to there."""

    matcher: LLMatcher
    guard: Guard | None
    strings: Strings
    way: tuple[int, ...]


class WayOut:
    """Finds ways out with one tokenizer.

    Args:
        tokenizer: its llguidance view.
        token_bytes: the bytes of every token.
    """

    def __init__(self, tokenizer: LLTokenizer, token_bytes: Sequence[bytes]) -> None:
        self._tokenizer = tokenizer
        single = {
            text[0]: t for t, text in reversed(list(enumerate(token_bytes))) if len(text) == 1
        }
        inside = dict.fromkeys([*_INSIDE, *range(256)])
        self._outside = [single[byte] for byte in _OUTSIDE if byte in single]
        self._inside = [single[byte] for byte in inside if byte in single]
        self._token_bytes = token_bytes
        self._digits = {single[byte] for byte in b"0123456789" if byte in single}
        self._token_of = {
            text: t
            for t, text in enumerate(token_bytes)
            if 0 < len(text) <= _LONGEST_TOKEN and not tokenizer.is_special_token(t)
        }

    def shortest(
        self,
        matcher: LLMatcher,
        guard: Guard | None,
        work: Work,
        enough: int,
    ) -> list[int] | None:
        """The shortest way from the beginning that a bounded search finds.

        Args:
            matcher: at the beginning; left alone.
            guard: beside it, or None.
            work: what a search may take; there are up to three.
            enough: a way of so many tokens will do.
        """
        start = _Point(matcher, guard, Strings(), ())
        first = self.find(matcher, guard, start.strings, replace(work), enough + _BEYOND)
        best = None if first is None else self._respelled(start, first)
        if best is None or len(best) > enough:
            best = self._shorter(start, replace(work, calls=work.calls // 2), enough, best)
        if best is None:
            best = self.find(matcher, guard, start.strings, work, MOST_TOKENS)
        return best

    def _shorter(
        self, start: _Point, work: Work, enough: int, best: list[int] | None
    ) -> list[int] | None:
        """Go back on the choices of the first search, one after another."""
        with suppress(_SpentError):
            for way in self._others(start, work, enough):
                if best is None or len(way) < len(best):
                    best = way
                if len(best) <= enough:
                    break
        return best

    def _others(self, start: _Point, work: Work, enough: int) -> Iterator[list[int]]:
        order, visited = itertools.count(), 0
        queue: list[tuple[int, int, int, _Point, Iterator[list[int]]]] = []

        def push(turns: int, point: _Point, options: Iterator[list[int]]) -> None:
            heapq.heappush(queue, (turns, len(point.way), next(order), point, options))

        push(0, start, iter([[]]))
        while queue and visited < _MOST_VISITED:
            turns, _, _, point, options = heapq.heappop(queue)
            option = next(options, None)
            if option is None:
                continue
            push(turns, point, options)
            here: _Point | None = self._after(point, option, work)
            while here is not None and not here.matcher.is_accepting():
                visited += 1
                if len(here.way) > enough + _BEYOND or visited > _MOST_VISITED:
                    break
                here, others = self._onwards(here, work)
                if others is not None:
                    push(turns + 1, *others)
            if here is not None and here.matcher.is_accepting():
                yield self._respelled(start, here.way)

    def _onwards(
        self, here: _Point, work: Work
    ) -> tuple[_Point | None, tuple[_Point, Iterator[list[int]]] | None]:
        """The place after the forced or the best step, and what else there was to choose."""
        work.call(_FORCED_CALLS)
        forced = here.matcher.compute_ff_tokens()
        if forced:
            after = self._after(here, forced, work)
            if after is not None:
                return after, None
        options = iter(self._options(here, work))
        best = next(options, None)
        if best is None:
            return None, None
        return self._after(here, best, work), (here, options)

    def _after(self, point: _Point, tokens: Sequence[int], work: Work) -> _Point | None:
        """The place after some tokens; None if they repeat something or are not allowed."""
        work.read(len(tokens))
        matcher, text = point.matcher.deep_copy(), self._text(tokens)
        guard = None if point.guard is None else point.guard.feed(text)
        if guard is None and point.guard is not None:
            return None
        if matcher.try_consume_tokens(list(tokens)) != len(tokens):
            return None
        return _Point(matcher, guard, point.strings.read(text), (*point.way, *tokens))

    def _options(self, point: _Point, work: Work) -> list[list[int]]:
        """What may follow, most promising first; of many digits two, as good as the others."""
        tokens = self._inside if point.strings.is_inside else self._outside
        found = [[token] for token in tokens]
        if point.strings.is_inside:
            rests = (rest.decode("utf-8") for rest in point.strings.rests(work))
            found[1:1] = [self._tokenizer.greedy_tokenize(rest) for rest in rests]
        for option in found:
            work.read(len(option))
        allowed = (o for o in found if point.matcher.validate_tokens(o) == len(o))
        options = list(itertools.islice(allowed, _MOST_OPTIONS))
        digits = [option for option in options if option[0] in self._digits]
        if len(digits) < _MANY_DIGITS or point.strings.is_inside:
            return options
        return [option for option in options if option not in digits[2:]]

    def _respelled(self, start: _Point, way: Sequence[int]) -> list[int]:
        """The fewest tokens with the text of a way."""
        spelled = self.spell(self._text(way))
        shorter = spelled is not None and len(spelled) < len(way)
        if shorter and spelled and self.is_way(start.matcher, start.guard, spelled):
            return spelled
        return list(way)

    def spell(self, text: bytes) -> list[int] | None:
        """The fewest tokens that make up a text, None if none do."""
        fewest: list[tuple[int, int, int] | None] = [None] * len(text) + [(0, -1, 0)]
        for at in range(len(text) - 1, -1, -1):
            for end in range(at + 1, min(len(text), at + _LONGEST_TOKEN) + 1):
                rest, token = fewest[end], self._token_of.get(text[at:end])
                if rest is not None and token is not None:
                    here = rest[0] + 1, token, end
                    fewest[at] = here if fewest[at] is None else min(fewest[at] or here, here)
        spelled, at = list[int](), 0
        while at < len(text):
            step = fewest[at]
            if step is None:
                return None
            spelled.append(step[1])
            at = step[2]
        return spelled

    def cut(self, way: Sequence[int], text: bytes) -> list[int] | None:
        """The rest of a way after a text with which it begins; None if it does not."""
        for i, token in enumerate(way):
            if not text:
                return list(way[i:])
            own = self._token_bytes[token]
            if own.startswith(text):
                rest = self.spell(own[len(text) :])
                return None if rest is None else [*rest, *way[i + 1 :]]
            if not text.startswith(own):
                return None
            text = text[len(own) :]
        return None if text else []

    def find(
        self,
        matcher: LLMatcher,
        guard: Guard | None,
        strings: Strings,
        work: Work,
        most: int,
    ) -> list[int] | None:
        """Tokens that complete the text, without the end of sequence.

        Args:
            matcher: where the text stands; left alone.
            guard: beside it, or None.
            strings: whether it stands inside a string.
            work: what the search may take.
            most: give up beyond so many tokens.
        """
        try:
            return self._find(matcher, guard, strings, work, most)
        except _SpentError:
            return None

    def _find(
        self,
        matcher: LLMatcher,
        guard: Guard | None,
        strings: Strings,
        work: Work,
        most: int,
    ) -> list[int] | None:
        matcher, way = matcher.deep_copy(), list[int]()
        while not matcher.is_accepting():
            if len(way) >= most:
                return None
            work.call(_FORCED_CALLS)
            step = matcher.compute_ff_tokens()
            if not step or not self._follows(matcher, guard, step, work):
                step = self._choice(matcher, guard, strings, work)
            if not step:
                return None
            way += step
            text = self._text(step)
            strings = strings.read(text)
            guard = None if guard is None else guard.feed(text)
        return way if len(way) <= most else None

    def is_way(self, matcher: LLMatcher, guard: Guard | None, tokens: Sequence[int]) -> bool:
        """Whether these tokens complete the text."""
        matcher = matcher.deep_copy()
        if matcher.try_consume_tokens(list(tokens)) != len(tokens) or not matcher.is_accepting():
            return False
        return guard is None or guard.feed(self._text(tokens)) is not None

    def is_still_way(
        self, matcher: LLMatcher, guard: Guard | None, tokens: Sequence[int], work: Work
    ) -> bool:
        """Whether these tokens complete the text; False where that is too much work."""
        with suppress(_SpentError):
            work.read(len(tokens))
            return self.is_way(matcher, guard, tokens)
        return False

    def _text(self, tokens: Sequence[int]) -> bytes:
        return b"".join(self._token_bytes[token] for token in tokens)

    def _follows(
        self, matcher: LLMatcher, guard: Guard | None, tokens: list[int], work: Work
    ) -> bool:
        """Take tokens if they repeat nothing."""
        work.read(len(tokens))
        if guard is not None and guard.feed(self._text(tokens)) is None:
            return False
        return matcher.try_consume_tokens(tokens) == len(tokens)

    def _choice(
        self,
        matcher: LLMatcher,
        guard: Guard | None,
        strings: Strings,
        work: Work,
    ) -> list[int]:
        if not strings.is_inside:
            return self._first(matcher, guard, self._outside, work)
        ended = self._first(matcher, guard, self._inside[:1], work)
        if ended:
            return ended
        for rest in strings.rests(work):
            tokens = self._tokenizer.greedy_tokenize(rest.decode("utf-8"))
            probe = matcher.deep_copy()
            if self._text(tokens) == rest and self._follows(probe, guard, tokens, work):
                matcher.try_consume_tokens(tokens)
                return tokens
        return self._first(matcher, guard, self._inside, work)

    def _first(
        self, matcher: LLMatcher, guard: Guard | None, tokens: Sequence[int], work: Work
    ) -> list[int]:
        return next(([t] for t in tokens if self._follows(matcher, guard, [t], work)), [])
