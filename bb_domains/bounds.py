"""How long texts may get where a JSON Schema leaves it open."""

from __future__ import annotations

from dataclasses import dataclass

from bb_domains.schema import Limits


@dataclass(frozen=True)
class Bounds:
    """Bounds at one level; see `schema.Limits`. `optional`: whether optional properties appear."""

    max_string: int
    max_items: int
    max_digits: int
    optional: bool = True


def levels(limits: Limits) -> tuple[Bounds, ...]:
    """Bounds from the declared limits down to the shortest texts there are.

    When the rest of a budget is too small for a tool's longest text, the mask offers it with the
    next level instead of hiding it.
    """
    text, items, digits = limits.max_string, limits.max_items, limits.max_digits
    return (
        Bounds(text, items, digits),
        Bounds(max(1, text // 2), items // 2, digits),
        Bounds(max(1, text // 4), items // 4, min(digits, 4)),
        Bounds(1, 0, 1, optional=False),
    )
