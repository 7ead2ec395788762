"""The domain's wordings: eight skins in `wordings/`, two of them held out."""

from __future__ import annotations

from pathlib import Path

from bb_domains.api_json.workflows import GOAL_KINDS, LEVELS, REASONS, TAGS
from bb_domains.variants import Variants
from bb_domains.wordings import Skin, Vocabulary, load_skins

WORDINGS_DIR = Path(__file__).parent / "wordings"
VOCABULARY = Vocabulary(GOAL_KINDS, (("reason", REASONS), ("level", LEVELS), ("tag", TAGS)))


def skins() -> Variants[Skin]:
    """All of them."""
    return load_skins(WORDINGS_DIR, VOCABULARY)
