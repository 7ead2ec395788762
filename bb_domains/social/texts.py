"""What users want to have written: clauses about a subject, some with personal data in them."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from string import Formatter

from bb_domains.social.people import MAKERS
from bb_domains.social.pii.people import Person

MOST_CHARACTERS = 120
_DAYS = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday")

CLEAN: dict[str, tuple[str, ...]] = {
    "post": (
        "{subject} starts at {hour}:00 on {day}",
        "{subject} is closed on {day}",
        "we still look for {count} helpers for {subject}",
        "{count} seats are left for {subject}",
        "{subject} moves to {day}, same time",
        "thanks to all {count} guests of {subject}",
        "news about {subject} comes on {day}",
        "{subject} costs {count} euros from {day} on",
    ),
    "answer": (
        "thank you, {subject} starts at {hour}:00",
        "sorry, {subject} is full, try {day}",
        "yes, {subject} is open until {hour}:00",
        "we will look into {subject} by {day}",
        "you need no ticket for {subject}",
        "ticket {code} for {subject} is valid",
    ),
    "direct": (
        "your place at {subject} is confirmed for {day}",
        "please come to {subject} at {hour}:00",
        "your order {code} waits at {subject}",
        "could you help with {subject} on {day}",
        "{subject} is off, we are sorry",
    ),
}
PERSONAL: dict[str, tuple[str, ...]] = {
    "post": (
        "for {subject} call {name} on {phone}",
        "questions about {subject} go to {email}",
        "{name} of {street} won the draw at {subject}",
        "please pay for {subject} to {iban}",
        "{name}, born on {birthday}, opens {subject}",
        "somebody at {ip} filled in the form for {subject} twice",
        "{subject} is cancelled, says {name}",
    ),
    "answer": (
        "please ask {name} about {subject}, {phone}",
        "the card {card} was refused for {subject}",
        "write to {email} about {subject}",
        "the parcel for {subject} went to {street}",
        "the form for {subject} says ssn {ssn}, is that right",
    ),
    "direct": (
        "{name} cannot come to {subject}, take over please",
        "the key to {subject} is at {street}",
        "please call {phone} about {subject}",
        "the refund for {subject} goes to {iban}",
    ),
}
"""By occasion; `post` stands for posts of every audience."""


@dataclass(frozen=True)
class Written:
    """A text, and the personal data that was put into it."""

    text: str
    private: tuple[str, ...]


def write(
    occasion: str,
    subjects: Sequence[str],
    person: Person | None,
    rng: random.Random,
) -> Written:
    """A text of at most `MOST_CHARACTERS`.

    Args:
        occasion: a key of `CLEAN`.
        subjects: one of them is written about.
        person: whose data it names; None for a text without personal data.
        rng: chooses.
    """
    while True:
        template = rng.choice((PERSONAL if person else CLEAN)[occasion])
        private: list[str] = []
        values = {
            "subject": rng.choice(subjects),
            "day": rng.choice(_DAYS),
            "hour": str(rng.randint(9, 19)),
            "count": str(rng.randint(3, 60)),
            "code": f"{rng.randint(10, 99)}-{rng.randint(1000, 9999)}",
        }
        for slot in _slots(template):
            if slot not in values and person is not None:
                made = MAKERS[slot](rng) if slot in MAKERS else str(getattr(person, slot))
                values[slot] = made
                private.append(made)
        text = template.format_map(values)
        if len(text) <= MOST_CHARACTERS:
            return Written(text, tuple(private))


@cache
def _slots(template: str) -> tuple[str, ...]:
    return tuple(slot for _, slot, _, _ in Formatter().parse(template) if slot)
