"""The domain's wordings: eight skins in `wordings/`, two of them held out."""

from __future__ import annotations

from pathlib import Path

from bb_domains.robots.workflows import GOAL_KINDS, MANNERS
from bb_domains.variants import Variants
from bb_domains.wordings import Skin, Vocabulary, load_skins

VOCABULARY = Vocabulary(goals=GOAL_KINDS, words=(("manner", tuple(MANNERS)),))


def skins() -> Variants[Skin]:
    """All of them."""
    return load_skins(Path(__file__).parent / "wordings", VOCABULARY)
