"""Requests of a split, drawn from the cases that a domain makes up.

A case is what somebody wants in some world, with a plan that does it there; here it is put into
words. No text comes twice, and none of `train` is one of another split, whatever the seeds.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from bb_core.canonical import sha256_hex
from bb_core.errors import BBError
from bb_core.plan import Plan
from bb_domains.simulation import Request
from bb_domains.wordings import Goal, Skin, render

MOST_DRAWS = 500
MOST_TEXTS = 12  # for one case


@dataclass(frozen=True)
class Case:
    """A request without its words.

    Attributes:
        skin: the wording that it gets.
        goals: what is wanted, in order.
        plan: one plan that does it.
        seed, layout, policy: make the world.
        says: ways to state the policy; empty if there is nothing to state.
        label: what evaluation has to know beside the goals.
    """

    skin: Skin
    goals: tuple[Goal, ...]
    plan: Plan
    seed: int
    layout: str
    policy: str
    says: tuple[str, ...] = ()
    label: Mapping[str, Any] = field(default_factory=dict)


Draw = Callable[[random.Random], Iterator[Case]]
"""Cases for one draw of kinds, wording, layout and policy, until one of them can be said; it ends
where none is to be had, and another draw is made."""


def draw_requests(draw: Draw, split: str, n: int, seed: int) -> Iterator[Request]:
    """`n` requests of a split; the first of more requests are the same.

    Args:
        draw: makes up the cases of this split.
        split: one of `simulation.SPLITS`.
        n: how many.
        seed: makes them.

    Raises:
        BBError: no further request is found.
    """
    rng, texts = random.Random(f"{seed}/{split}"), set[str]()
    for i in range(n):
        case, text = _said(draw, split, texts, rng)
        texts.add(text)
        yield Request(
            f"{split}-{seed}-{i}",
            split,
            case.skin.name,
            text,
            case.plan,
            case.seed,
            case.layout,
            case.policy,
            {"goals": [goal.as_label() for goal in case.goals], **case.label},
        )


def is_training_text(text: str) -> bool:
    """Whether a text may be in `train`; three in four may, and are in no other split, any seed."""
    return int(sha256_hex(text.encode())[:8], 16) % 4 != 0


def _said(draw: Draw, split: str, texts: set[str], rng: random.Random) -> tuple[Case, str]:
    """A case, and words for it that are new and belong to the split."""
    for _ in range(MOST_DRAWS):
        for case in draw(rng):
            for _ in range(MOST_TEXTS):
                policy = f" {rng.choice(case.says)}" if case.says else ""
                text = render(case.skin, case.goals, rng) + policy
                if text not in texts and is_training_text(text) == (split == "train"):
                    return case, text
    raise BBError("no new request found", where=f"requests: {split}", fix="ask for fewer")
