"""Finding personal data in a text, and writing the text without it.

Found are e-mail addresses (also `ana (at) example (dot) org`), telephone numbers, IBAN, payment
cards, IP addresses, identity numbers, dates of birth, and what a contact list knows of people.
Not personal are addresses of an office (`press@…`), handles (`@ana@example.social`), and names or
streets of people on no list: a post may name a speaker and a venue.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence

from bb_domains.social.pii.identity import find_birth_dates, find_national_ids
from bb_domains.social.pii.numbers import find_addresses, find_cards, find_ibans, find_phones
from bb_domains.social.pii.people import Person, find_people, owns
from bb_domains.social.pii.span import KINDS, Span
from bb_domains.social.pii.text import before, fold

_OFFICES = (
    "abuse admin booking bookings careers contact events feedback git hello help hr info jobs mail "
    "media news newsletter no-reply noreply office orders postmaster press privacy sales security "
    "service shop support team webmaster"
)
ROLES = frozenset(_OFFICES.split())
"""Local parts of addresses that belong to an office and not to a person."""

_WORD = r"[\w+-]{1,64}"  # bounded, here and below, so that no text takes long
_HOST = r"[a-z0-9-]{1,63}"
_EMAIL = re.compile(
    r"(?<![\w.+%@/-])[\w%+-][\w.%+-]{0,63}@[a-z0-9-]{1,63}(?:\.[a-z0-9-]{1,63}){0,6}\.[a-z]{2,24}"
    r"(?![\w@])",
    re.I,
)
_DOT = r"\s{0,3}(?:\.|[(\[{<]\s?(?:dot|punkt|point)\s?[)\]}>]|\s(?:dot|punkt)\s)\s{0,3}"
_SPELT = re.compile(
    rf"(?<![\w@]){_WORD}(?:{_DOT}{_WORD}){{0,6}}\s{{0,3}}[(\[{{<]\s?(?:at|@|ät)\s?[)\]}}>]\s{{0,3}}"
    rf"{_HOST}(?:{_DOT}{_HOST}){{0,6}}{_DOT}[a-z]{{2,24}}(?!\w)",
    re.I,
)
_SAID = re.compile(
    rf"(?<![\w@]){_WORD}(?: dot {_WORD}){{0,6}} at "
    rf"{_HOST}(?: dot {_HOST}){{0,6}} dot [a-z]{{2,24}}(?!\w)"
    rf"|(?<![\w@])[\w.+-]{{1,64}} ?@ ?{_HOST}(?: ?\. ?{_HOST}){{0,6}} ?\. ?[a-z]{{2,24}}(?!\w)",
    re.I,
)
_MAIL_CUE = re.compile(r"\b(?:e-?mail|mail|write|reach|contact|address|send)\b[^.!?]{0,24}$", re.I)


def find_pii(
    text: str, people: Sequence[Person] = (), own: Person | None = None
) -> tuple[Span, ...]:
    """Personal data in a text, in order, without overlaps.

    Args:
        text: any text.
        people: those known by name.
        own: whose own data may stand there, such as the one reader of a message.

    Returns:
        Spans over `text`.
    """
    folded = fold(text)
    found = [
        Span(span.kind, *folded.span(span.start, span.end))
        for span in _all(folded.text, people)
        if own is None or not owns(own, span.kind, folded.text[span.start : span.end])
    ]
    return _apart(found)


def redact_pii(text: str, spans: Iterable[Span]) -> str:
    """The text with `[phone]`, `[name]` and the like in the place of spans that do not overlap."""
    for span in sorted(spans, key=lambda s: s.start, reverse=True):
        text = f"{text[: span.start]}[{span.kind.replace('_', ' ')}]{text[span.end :]}"
    return text


def without_pii(
    text: str, people: Sequence[Person] = (), own: Person | None = None
) -> tuple[str, tuple[str, ...]]:
    """A text redacted until nothing is found: what is beside a piece may be one once that is gone.

    Returns:
        The text, and the kinds of the pieces taken out, one for each.
    """
    kinds: list[str] = []
    while spans := find_pii(text, people, own):
        kinds += [span.kind for span in spans]
        text = redact_pii(text, spans)
    return text, tuple(kinds)


def _all(text: str, people: Sequence[Person]) -> Iterator[Span]:
    yield from find_emails(text)
    yield from find_ibans(text)
    yield from find_cards(text)
    yield from find_national_ids(text)
    yield from find_birth_dates(text)
    yield from find_phones(text)
    yield from find_addresses(text)
    yield from find_people(text, people)


def find_emails(text: str) -> Iterator[Span]:
    """Addresses of persons, written plainly, with (at) and (dot), or spelt out after `mail`."""
    for match in _EMAIL.finditer(text):
        if match[0].split("@")[0].lower() not in ROLES:
            yield Span("email", *match.span())
    for match in _SPELT.finditer(text):
        if re.split(r"\s*[(\[{<]", match[0])[0].lower() not in ROLES:
            yield Span("email", *match.span())
    for match in _SAID.finditer(text):
        local = re.split(r" at | ?@", match[0])[0]
        cued = (
            " dot " in local
            or " AT " in match[0]
            or _MAIL_CUE.search(before(text, match.start()))
            or "@" in match[0]
        )
        if cued and local.lower() not in ROLES:
            yield Span("email", *match.span())


def _apart(spans: Iterable[Span]) -> tuple[Span, ...]:
    """The longest of those that overlap; of the same length, the kind that is named first."""
    kept: list[Span] = []
    for span in sorted(spans, key=lambda s: (s.start - s.end, KINDS.index(s.kind), s.start)):
        if all(span.end <= other.start or other.end <= span.start for other in kept):
            kept.append(span)
    return tuple(sorted(kept, key=lambda s: s.start))
