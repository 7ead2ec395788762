"""What varies between requests, and what of it training never sees.

Wording, layout, policy and composition are drawn apart from each other; each `unseen_` split takes
one of them from what is held out, and the others from what training has seen.
"""

from __future__ import annotations

import random
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property
from itertools import product
from typing import Literal, NoReturn, Protocol, TypeVar

from bb_core.errors import BBError

SINGLE_SHARE = 0.4  # of requests with one or two goals

_HOLDS_OUT = {
    "wording": "unseen_wordings",
    "layout": "unseen_layouts",
    "policy": "unseen_policies",
}


class Variant(Protocol):
    """A wording, a layout or a policy."""

    @property
    def name(self) -> str:
        """Its name, of which there is one only."""
        ...

    @property
    def held_out(self) -> bool:
        """Whether training never sees it."""
        ...


V = TypeVar("V", bound=Variant)


class Variants(dict[str, V]):
    """All wordings, layouts or policies of a domain, by name; an unknown name raises `BBError`.

    Args:
        what: which of these they are.
        variants: in a fixed order.
    """

    def __init__(self, what: Literal["wording", "layout", "policy"], variants: Iterable[V]) -> None:
        super().__init__((one.name, one) for one in variants)
        self._what = what

    def __missing__(self, name: str) -> NoReturn:
        known = ", ".join(self)
        raise BBError(f"no {self._what} {name!r}", where="world", fix=f"use one of {known}")

    def of(self, split: str) -> tuple[V, ...]:
        """Those that requests of a split are drawn from."""
        held_out = split == _HOLDS_OUT[self._what]
        return tuple(one for one in self.values() if one.held_out == held_out)

    def draw(self, split: str, rng: random.Random, first: float | None = None) -> V:
        """One of those; `first` is how often it is the first of all, where that is among them."""
        known = self.of(split)
        if first is None or known[0] is not next(iter(self.values())):
            return rng.choice(known)
        return known[0] if rng.random() < first else rng.choice(known[1:])


@dataclass(frozen=True)
class Compositions:
    """Which kinds of goals come together in a request, in order: one, two, or three.

    Held out are all threes, and the pairs of each kind with those that come `apart` places after
    it: each kind comes first in two of them and second in two, and training sees it in both places.

    Attributes:
        kinds: of goals.
        apart: two distances in that list, counted around it.
        pair_share: of `unseen_compositions`; its other requests have three goals.
    """

    kinds: tuple[str, ...]
    apart: tuple[int, int]
    pair_share: float = 0.4

    @cached_property
    def held_out(self) -> tuple[tuple[str, str], ...]:
        """The ordered pairs that training never sees."""
        n = len(self.kinds)
        return tuple(
            sorted(
                (k, self.kinds[(i + by) % n]) for i, k in enumerate(self.kinds) for by in self.apart
            )
        )

    @cached_property
    def seen(self) -> tuple[tuple[str, str], ...]:
        """The ordered pairs that training sees."""
        pairs = product(self.kinds, self.kinds)
        return tuple(pair for pair in pairs if pair not in self.held_out)

    def draw(self, split: str, rng: random.Random) -> tuple[str, ...]:
        """The kinds of one request of a split."""
        if split == "unseen_compositions":
            if rng.random() < self.pair_share:
                return rng.choice(self.held_out)
            return tuple(rng.choice(self.kinds) for _ in range(3))
        if rng.random() < SINGLE_SHARE:
            return (rng.choice(self.kinds),)
        return rng.choice(self.seen)

    def holds_out(self, kinds: tuple[str, ...]) -> bool:
        """Whether goals of these kinds are together in `unseen_compositions` only."""
        return len(kinds) > 2 or kinds in self.held_out
