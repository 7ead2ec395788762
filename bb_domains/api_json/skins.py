"""The domain's wordings: eight skins in `wordings/`, two of them held out."""

from __future__ import annotations

from pathlib import Path

from bb_domains import wordings
from bb_domains.api_json.workflows import GOAL_KINDS, LEVELS, REASONS, TAGS
from bb_domains.wordings import Skin

WORDINGS_DIR = Path(__file__).parent / "wordings"
VOCABULARY = wordings.Vocabulary(
    goals=GOAL_KINDS,
    words=(("reason", REASONS), ("level", LEVELS), ("tag", TAGS)),
)


def load_skins(folder: Path = WORDINGS_DIR) -> tuple[Skin, ...]:
    """All skins of a folder; see `wordings.load_skins`."""
    return wordings.load_skins(folder, VOCABULARY)


def training_skins() -> tuple[Skin, ...]:
    """The skins that training may see."""
    return tuple(skin for skin in load_skins() if not skin.held_out)


def held_out_skins() -> tuple[Skin, ...]:
    """The skins kept for `unseen_wordings`."""
    return tuple(skin for skin in load_skins() if skin.held_out)
