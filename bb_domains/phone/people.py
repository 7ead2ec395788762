"""Names, numbers and words that simulated phones and requests are made of. All invented."""

from __future__ import annotations

import random

FIRST = ("Ann", "Ben", "Carla", "Dario", "Edith", "Farid", "Greta", "Hugo", "Ines", "Jonas",
         "Kemal", "Lena", "Mira", "Nils", "Olga", "Pia", "Quentin", "Rosa", "Sven",
         "Tara")  # fmt: skip
LAST = ("Bell", "Berg", "Costa", "Dahl", "Evans", "Fuchs", "Grant", "Hahn", "Ito", "Kern",
        "Lopez", "Moore", "Novak", "Okafor", "Price", "Reyes", "Stone", "Tran",
        "Weiss")  # fmt: skip
COMPANIES = ("City Power", "Hill Dental", "Oak Rentals", "Blue Cab", "Corner Books",
             "Green Grocer", "North Gym", "River School")  # fmt: skip
TITLES = ("Dentist", "Team lunch", "Piano lesson", "Car inspection", "Parents evening",
          "Flight to Oslo", "Book club", "Rent talk", "Yoga", "Budget review")  # fmt: skip
_OPENINGS = ("I am", "we are", "the train is", "dinner is", "the meeting is")
_ENDINGS = ("ten minutes late", "on the way", "still at work", "ready at eight", "running late",
            "moved to Friday", "around the corner", "almost there", "cancelled today")  # fmt: skip


def make_name(rng: random.Random) -> str:
    """A person's name; some have a second family name, so that one begins like another."""
    second = f"-{rng.choice(LAST)}" if rng.random() < 0.1 else ""
    return f"{rng.choice(FIRST)} {rng.choice(LAST)}{second}"


def make_number(rng: random.Random) -> str:
    """A phone number of those reserved for fiction."""
    return f"+1{rng.randint(201, 989)}55501{rng.randint(0, 99):02d}"


def make_text(rng: random.Random) -> str:
    """A short message without a full stop."""
    return f"{rng.choice(_OPENINGS)} {rng.choice(_ENDINGS)}"


def make_date(rng: random.Random) -> str:
    """A day of the year 2027."""
    return f"2027-{rng.randint(1, 12):02d}-{rng.randint(1, 28):02d}"


def make_amount(rng: random.Random) -> int | float:
    """1 to 400, whole or with two decimals."""
    cents = rng.choice((100 * rng.randint(1, 400), rng.randint(101, 40_000)))
    return cents // 100 if cents % 100 == 0 else cents / 100
