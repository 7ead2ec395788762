r"""Languages over classes of characters instead of characters, for comparing them quickly.

A class such as `\w` has hundreds of ranges; a grammar tells only a dozen classes apart.
"""

from __future__ import annotations

from collections.abc import Iterable

from bb_domains.json_schema import regex as rx
from bb_domains.json_schema.regex import And, Cat, Chars, Language, Not, Or, Ranges, Repeat
from bb_domains.profile.preference import partition


class Alphabet:
    """The classes that some languages tell apart, numbered."""

    def __init__(self, languages: Iterable[Language]) -> None:
        found: set[Ranges] = set()
        for language in languages:
            _collect(language, found)
        self._numbers: dict[Ranges, Ranges] = {}
        self.classes = partition(found)
        self.anything: Language = rx.repeat(Chars(((0, len(self.classes) - 1),)), 0, None)

    def coded(self, language: Language) -> Language:
        """The same language over the numbers of classes; without complements."""
        match language:
            case Chars(ranges):
                return Chars(self._code(ranges))
            case Cat(items):
                return rx.cat(*map(self.coded, items))
            case Or(items):
                return rx.union(*map(self.coded, items))
            case And(items):
                return rx.intersection(*map(self.coded, items))
            case Repeat(item, least, most):
                return rx.repeat(self.coded(item), least, most)
        raise TypeError(f"{language!r} has a complement")

    def _code(self, ranges: Ranges) -> Ranges:
        if ranges not in self._numbers:
            self._numbers[ranges] = rx.join(
                [
                    (i, i)
                    for i, members in enumerate(self.classes)
                    if any(low <= members[0][0] <= high for low, high in ranges)
                ]
            )
        return self._numbers[ranges]

    def text(self, coded: str) -> str:
        """A text of characters for a text of numbers."""
        return "".join(_readable(self.classes[ord(number)]) for number in coded)


def _readable(ranges: Ranges) -> str:
    """A member of a class, a printable one if there is one."""
    for low, high in ranges:
        for point in (ord("a"), ord("0"), max(low, 0x21), low):
            if low <= point <= high and 0x20 <= point < 0x7F:
                return chr(point)
    return chr(ranges[0][0])


def _collect(language: Language, found: set[Ranges]) -> None:
    match language:
        case Chars(ranges):
            found.add(ranges)
        case Cat(items) | Or(items) | And(items):
            for item in items:
                _collect(item, found)
        case Not(item) | Repeat(item):
            _collect(item, found)
