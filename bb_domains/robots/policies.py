"""The rules in force in a building: who may be how near, how fast, how heavy, where not at all."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from bb_domains.variants import Variants

Pace = Literal["slow", "normal", "fast"]
PACES: tuple[Pace, ...] = ("slow", "normal", "fast")
WAYS: tuple[str, ...] = ("safe", "short")


@dataclass(frozen=True)
class Policy:
    """One set of rules.

    Attributes:
        name: its name.
        held_out: whether training never sees it.
        fastest: the pace where nobody is near.
        margin: a person nearer than this many cells to the moving robot is a near-miss.
        people: how many walk about.
        zones: how many no-go zones there are.
        most_load_g: heaviest item that may be carried, in grams.
        reserve_percent: charge that every drive must leave.
        doors_shut: share of the doors that are shut at first, in percent.
    """

    name: str
    held_out: bool
    fastest: Pace
    margin: int
    people: int
    zones: int
    most_load_g: int
    reserve_percent: int
    doors_shut: int


POLICIES = Variants(
    "policy",
    (
        Policy("standard", False, "fast", 2, 2, 1, 4000, 10, 40),
        Policy("visitors", False, "normal", 2, 4, 1, 4000, 10, 20),
        Policy("light_loads", False, "fast", 2, 1, 2, 1500, 15, 40),
        Policy("closed_doors", False, "normal", 2, 2, 0, 4000, 10, 90),
        Policy("night", True, "fast", 2, 1, 3, 2500, 25, 80),
        Policy("open_day", True, "normal", 3, 5, 2, 3000, 15, 0),
    ),
)


def slower(one: Pace, two: Pace) -> Pace:
    """The slower of two paces."""
    return PACES[min(PACES.index(one), PACES.index(two))]
