"""Text as detectors read it: compatibility forms folded, invisible characters left out.

`４` is 4 and a zero-width space is nothing, so neither hides a number; every character of the
folded text knows where in the original it came from.
"""

from __future__ import annotations

import re
import unicodedata
from dataclasses import dataclass

_DASHES = dict.fromkeys(map(ord, "‐‑‒–—―−"), "-")
_SPACE = re.compile(r"\s")
NEAR = 64  # characters
_FORMAT, _MARK = "Cf", "Mn"  # Unicode categories: zero width and its like; accents


@dataclass(frozen=True)
class Folded:
    """A folded text.

    Attributes:
        text: the text to look at.
        origin: for each of its characters, the position of the original one.
        length: characters of the original.
    """

    text: str
    origin: tuple[int, ...]
    length: int

    def span(self, start: int, end: int) -> tuple[int, int]:
        """The part of the original that `text[start:end]` came from; it is not empty."""
        return self.origin[start], self.origin[end - 1] + 1


def fold(original: str) -> Folded:
    """Fold a text: NFKC, plain dashes and spaces, nothing invisible; case stays."""
    if original.isascii():
        return Folded(_SPACE.sub(" ", original), tuple(range(len(original))), len(original))
    kept: list[str] = []
    origin: list[int] = []
    for i, character in enumerate(original):
        if unicodedata.category(character) == _FORMAT:
            continue
        for one in unicodedata.normalize("NFKC", character).translate(_DASHES):
            kept.append(" " if one.isspace() else one)
            origin.append(i)
    return Folded("".join(kept), tuple(origin), len(original))


def before(text: str, start: int) -> str:
    """What stands shortly before a place, for words that announce what follows."""
    return text[max(0, start - NEAR) : start]


def plain(text: str) -> str:
    """A folded text in lower case without accents, character for character where it can be."""
    if text.isascii():
        return text.lower()
    return "".join(_plain(character) for character in text)


def _plain(character: str) -> str:
    base = unicodedata.normalize("NFKD", character)
    letters = "".join(one for one in base if unicodedata.category(one) != _MARK)
    lower = (letters or character).lower()
    return lower if len(lower) == 1 else character
