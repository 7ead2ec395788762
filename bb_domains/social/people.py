"""Invented people: addresses in domains reserved for documentation, numbers that check.

Telephone numbers and IP addresses are of ranges kept free for examples.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping

from bb_domains.social.pii.checksums import luhn, mod_97_10
from bb_domains.social.pii.people import Person

_GIVEN = "Ana Bela Cem Dora Emil Fay Goran Hana Ivo Jana Kian Lena Milo Nora Oren Pia Rafa Sana Uma"
_FAMILY = (
    "Adler Brandt Costa Dinh Egede Fischer Garza Holm Ibsen Jansen Kovac Lund Moreau Novak Okafor "
    "Petrov Quist Rossi Sato Tamm Ueda Vogel Weiss Yilmaz Zeman"
)
_MONTHS = "January February March April May June July August September"
_STREETS = ("Mill Lane", "Harbour Road", "Linden Street", "Castle Square", "Orchard Avenue")


def make_person(rng: random.Random) -> Person:
    """A person with all that a contact list knows."""
    given, family = rng.choice(_GIVEN.split()), rng.choice(_FAMILY.split())
    host = rng.choice(("example.org", "example.com", "mail.example.net"))
    return Person(
        f"{given} {family}",
        f"{rng.randint(1, 99)} {rng.choice(_STREETS)}",
        f"{given}.{family}@{host}".lower(),
        f"+44 7700 900{rng.randint(0, 999):03d}",
    )


def handle_of(person: Person, rng: random.Random) -> str:
    """A handle that says little of the name."""
    given, family = person.name.lower().split()
    return f"@{given}{family[0]}{rng.randint(10, 99)}"


def make_iban(rng: random.Random) -> str:
    """A German IBAN, in groups of four."""
    body = "".join(rng.choices("0123456789", k=18))
    check = next(f"{k:02d}" for k in range(2, 99) if mod_97_10(f"{body}DE{k:02d}"))
    whole = f"DE{check}{body}"
    return " ".join(whole[i : i + 4] for i in range(0, len(whole), 4))


def make_card(rng: random.Random) -> str:
    """A card number, in groups of four."""
    body = "4" + "".join(rng.choices("0123456789", k=14))
    whole = next(body + str(d) for d in range(10) if luhn(body + str(d)))
    return " ".join(whole[i : i + 4] for i in range(0, 16, 4))


def make_ssn(rng: random.Random) -> str:
    """A number of the form of a US social security number."""
    return f"{rng.randint(1, 665):03d}-{rng.randint(1, 99):02d}-{rng.randint(1, 9999):04d}"


def make_ip(rng: random.Random) -> str:
    """An address of a network kept for documentation (RFC 5737)."""
    return f"198.51.100.{rng.randint(1, 254)}"


def make_birthday(rng: random.Random) -> str:
    """A date, in words."""
    return f"{rng.randint(1, 28)} {rng.choice(_MONTHS.split())} {rng.randint(1940, 2005)}"


MAKERS: Mapping[str, Callable[[random.Random], str]] = {
    "iban": make_iban,
    "card": make_card,
    "ssn": make_ssn,
    "ip": make_ip,
    "birthday": make_birthday,
}
"""By slot of a text, what is made up for it; name, street, email and phone come from a person."""
