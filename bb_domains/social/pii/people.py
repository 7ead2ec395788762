"""Names and addresses of known people: those of a contact list.

A name counts in either order, with or without middle names, with an initial for the given name,
and after a title; a given name alone does not. A street counts with its house number, whichever
comes first. Accents and case do not matter, nor whether the street is written out.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache

from bb_domains.social.pii.numbers import digits_of
from bb_domains.social.pii.span import Span
from bb_domains.social.pii.text import plain

_TITLES = r"(?:mr|mrs|ms|miss|mx|dr|prof|herr|frau|mme|mlle|sig|sr|sra)\b\.? "
_MIDDLE = r"(?: [a-z]\.?| [a-z]+)?"
_WAYS = {
    "street": "st", "road": "rd", "avenue": "ave", "lane": "ln", "drive": "dr", "square": "sq",
    "court": "ct", "place": "pl", "strasse": "str", "straße": "str", "weg": "weg", "gasse": "g",
}  # fmt: skip
_LEAST_DIGITS = 7


@dataclass(frozen=True)
class Person:
    """Somebody whose data is to be kept.

    Attributes:
        name: given name first, family name last.
        street: street and house number, in either order; "" if not known.
        email: "" if not known.
        phone: "" if not known.
    """

    name: str
    street: str = ""
    email: str = ""
    phone: str = ""


def find_people(text: str, people: Sequence[Person]) -> Iterator[Span]:
    """Names, streets and telephone numbers of these people, however they are written."""
    if not people:
        return
    lowered = plain(text)
    for kind, pattern in _patterns(people, lowered):
        for match in pattern.finditer(lowered):
            yield Span(kind, *match.span())
    numbers = [digits_of(person.phone)[-9:] for person in people if person.phone]
    for match in re.finditer(r"(?:\+|\((?=\d+\)))?\d(?:[ ()./-]{0,2}\d){6,14}", text):
        digits = digits_of(match[0])
        if any(len(n) >= _LEAST_DIGITS and digits.endswith(n) for n in numbers):
            yield Span("phone", *match.span())


def owns(person: Person, kind: str, found: str) -> bool:
    """Whether a piece of personal data belongs to a person."""
    if kind == "email":
        return found.lower() == person.email.lower()
    if kind == "phone":
        mine, its = digits_of(person.phone)[-9:], digits_of(found)
        return len(mine) >= _LEAST_DIGITS and its.endswith(mine)
    lowered = plain(found)
    return any(k == kind and p.fullmatch(lowered) for k, p in _patterns((person,), lowered))


def _patterns(people: Iterable[Person], lowered: str) -> Iterator[tuple[str, re.Pattern[str]]]:
    """What to look for in a text in lower case without accents, by kind.

    Compiling takes longer than looking, so it is done for those only whose name or street has
    words that are in the text.
    """
    sought = [one for person in people for one in _sought(person)]
    for kind, forms_of in (("name", _name_forms), ("street", _street_forms)):
        near = [
            parts for k, words, parts in sought if k == kind and all(w in lowered for w in words)
        ]
        if near:
            yield kind, _compiled("|".join(form for parts in near for form in forms_of(parts)))


@lru_cache(maxsize=256)
def _compiled(forms: str) -> re.Pattern[str]:
    return re.compile(rf"(?<!\w)(?:{forms})(?!\w)")


@lru_cache(maxsize=4096)
def _sought(person: Person) -> tuple[tuple[str, tuple[str, ...], tuple[str, ...]], ...]:
    """What to look for: kind, words that stand in each of its forms, all parts; numbers first."""
    name, street = plain(person.name).split(), plain(person.street).split()
    found: list[tuple[str, tuple[str, ...], tuple[str, ...]]] = []
    if len(name) >= 2:
        found.append(("name", (name[-1],), tuple(name)))
    number = next((part for part in street if part[0].isdigit()), None)
    words = [part for part in street if part is not number]
    if number is not None and words:
        whole = (word for word in words if not word.endswith(tuple(_WAYS)))
        found.append(("street", (number, *whole), (number, *words)))
    return tuple(found)


def _name_forms(parts: Sequence[str]) -> Iterator[str]:
    given, family = re.escape(parts[0]), re.escape(parts[-1])
    yield rf"{given}{_MIDDLE}[ ._-]+{family}"
    yield rf"{family}, ?{given}"
    yield rf"{family} {given}"
    yield rf"{re.escape(parts[0][0])}\. ?{family}"
    yield rf"{_TITLES}{family}"


def _street_forms(parts: Sequence[str]) -> Iterator[str]:
    number, street = re.escape(parts[0]), r"[ -]+".join(map(_way, parts[1:]))
    yield rf"{number},? +{street}"
    yield rf"{street},? +(?:no\.? ?|nr\.? ?)?{number}"


def _way(word: str) -> str:
    """A word of a street's name, and what it may be shortened to."""
    for whole, short in _WAYS.items():
        if word == whole:
            return rf"(?:{whole}|{short}\.?)"
        if word.endswith(whole) and whole in ("strasse", "straße"):
            return rf"{re.escape(word.removesuffix(whole))}[ -]?(?:strasse|straße|str\.?)"
    return re.escape(word)
