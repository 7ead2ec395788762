"""The way out of a JSON text: few tokens that complete it from where it stands.

A budget is kept by never leaving the reach of a way out. What llguidance forces is taken; at each
choice the byte that closes most is tried first. The way found is complete by construction, though
not always the shortest.
"""

from __future__ import annotations

from collections.abc import Sequence

from llguidance import LLMatcher

from bb_domains.json_schema.guard import Guard

_OUTSIDE = b'}]0123456789"ntf{[-.,:eE+'
_INSIDE = b'"0123456789aA' + bytes(range(0x20, 0x7F))
_QUOTE, _ESCAPE = b'"\\'

Strings = tuple[bool, bool]
"""Whether a text stands inside a string, and there behind a backslash."""


def read_strings(state: Strings, text: bytes) -> Strings:
    """The state after more text."""
    is_inside, is_escaped = state
    for byte in text:
        if is_escaped:
            is_escaped = False
        elif byte == _QUOTE:
            is_inside = not is_inside
        elif byte == _ESCAPE and is_inside:
            is_escaped = True
    return is_inside, is_escaped


class WayOut:
    """Finds ways out with one tokenizer.

    Args:
        token_bytes: the bytes of every token.
    """

    def __init__(self, token_bytes: Sequence[bytes]) -> None:
        single = {
            text[0]: t for t, text in reversed(list(enumerate(token_bytes))) if len(text) == 1
        }
        inside = dict.fromkeys([*_INSIDE, *range(256)])
        self._outside = [single[byte] for byte in _OUTSIDE if byte in single]
        self._inside = [single[byte] for byte in inside if byte in single]
        self._token_bytes = token_bytes

    def find(
        self, matcher: LLMatcher, guard: Guard | None, strings: Strings, most: int
    ) -> list[int] | None:
        """Tokens that complete the text, without the end of sequence.

        Args:
            matcher: where the text stands; left alone.
            guard: beside it, or None.
            strings: whether it stands inside a string.
            most: give up beyond so many tokens.
        """
        matcher, way = matcher.deep_copy(), list[int]()
        while not matcher.is_accepting():
            if len(way) >= most:
                return None
            step = matcher.compute_ff_tokens()
            if not step or not self._follows(matcher, guard, step):
                step = self._choice(matcher, guard, strings)
            if not step:
                return None
            way += step
            text = self._text(step)
            strings = read_strings(strings, text)
            guard = None if guard is None else guard.feed(text)
        return way if len(way) <= most else None

    def _text(self, tokens: Sequence[int]) -> bytes:
        return b"".join(self._token_bytes[token] for token in tokens)

    def _follows(self, matcher: LLMatcher, guard: Guard | None, tokens: list[int]) -> bool:
        """Take tokens if they repeat nothing."""
        if guard is not None and guard.feed(self._text(tokens)) is None:
            return False
        return matcher.try_consume_tokens(tokens) == len(tokens)

    def _choice(self, matcher: LLMatcher, guard: Guard | None, strings: Strings) -> list[int]:
        order = self._inside if strings[0] else self._outside
        return next(([t] for t in order if self._follows(matcher, guard, [t])), [])
