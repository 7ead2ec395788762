"""The way out of a JSON text: few tokens that complete it from where it stands.

A budget is kept by never leaving the reach of a way out. What llguidance forces is taken; at each
choice the byte that closes most is tried first. The way found is complete by construction, though
not always the shortest.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import lru_cache

from llguidance import LLMatcher, LLTokenizer

from bb_domains.errors import LowerError
from bb_domains.json_schema import regex as rx
from bb_domains.json_schema.effort import bounded
from bb_domains.json_schema.guard import Guard
from bb_domains.json_schema.regex import Language

_OUTSIDE = b'}]0123456789"ntf{[-.,:eE+'
_INSIDE = b'"0123456789aA' + bytes(range(0x20, 0x7F))
_QUOTE, _ESCAPE = b'"\\'
_MOST_STEPS = 30_000
"""Of one search: all other texts wait for its end."""


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

    def rests(self, languages: Sequence[Language]) -> list[bytes]:
        """What would complete the string in some of the languages, shortest first."""
        try:
            begun = json.loads(b'"' + self.body + b'"')
        except ValueError:
            return []
        found = set[bytes]()
        with suppress(LowerError):  # the search has taken long enough
            found.update(_rest(language, begun) for language in languages)
        return sorted((rest for rest in found if rest), key=lambda rest: (len(rest), rest))


@lru_cache(maxsize=100_000)
def _rest(language: Language, begun: str) -> bytes:
    """The shortest rest of a JSON string, its quote included; nothing if there is none."""
    for char in begun:
        language = rx.derive(language, ord(char))
    rest = rx.shortest(language)
    return json.dumps(rest, ensure_ascii=False)[1:].encode() if rest else b""


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

    def find(
        self,
        matcher: LLMatcher,
        guard: Guard | None,
        strings: Strings,
        languages: Sequence[Language],
        most: int,
    ) -> list[int] | None:
        """Tokens that complete the text, without the end of sequence.

        Args:
            matcher: where the text stands; left alone.
            guard: beside it, or None.
            strings: whether it stands inside a string.
            languages: what strings there are besides all.
            most: give up beyond so many tokens.
        """
        with bounded(_MOST_STEPS):
            return self._find(matcher, guard, strings, languages, most)

    def _find(
        self,
        matcher: LLMatcher,
        guard: Guard | None,
        strings: Strings,
        languages: Sequence[Language],
        most: int,
    ) -> list[int] | None:
        matcher, way = matcher.deep_copy(), list[int]()
        while not matcher.is_accepting():
            if len(way) >= most:
                return None
            step = matcher.compute_ff_tokens()
            if not step or not self._follows(matcher, guard, step):
                step = self._choice(matcher, guard, strings, languages)
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

    def _text(self, tokens: Sequence[int]) -> bytes:
        return b"".join(self._token_bytes[token] for token in tokens)

    def _follows(self, matcher: LLMatcher, guard: Guard | None, tokens: list[int]) -> bool:
        """Take tokens if they repeat nothing."""
        if guard is not None and guard.feed(self._text(tokens)) is None:
            return False
        return matcher.try_consume_tokens(tokens) == len(tokens)

    def _choice(
        self,
        matcher: LLMatcher,
        guard: Guard | None,
        strings: Strings,
        languages: Sequence[Language],
    ) -> list[int]:
        if not strings.is_inside:
            return self._first(matcher, guard, self._outside)
        ended = self._first(matcher, guard, self._inside[:1])
        if ended:
            return ended
        for rest in strings.rests(languages):
            tokens = self._tokenizer.greedy_tokenize(rest.decode("utf-8"))
            probe = matcher.deep_copy()
            if self._text(tokens) == rest and self._follows(probe, guard, tokens):
                matcher.try_consume_tokens(tokens)
                return tokens
        return self._first(matcher, guard, self._inside)

    def _first(self, matcher: LLMatcher, guard: Guard | None, tokens: Sequence[int]) -> list[int]:
        return next(([t] for t in tokens if self._follows(matcher, guard, [t])), [])
