"""The domain's wordings: eight skins in `wordings/`, two of them held out."""

from __future__ import annotations

from pathlib import Path

from bb_domains.social.records import AUDIENCES
from bb_domains.social.workflows import GOAL_KINDS
from bb_domains.wordings import Skin, Vocabulary, load_skins

WORDINGS_DIR = Path(__file__).parent / "wordings"
VOCABULARY = Vocabulary(goals=GOAL_KINDS, words=(("audience", AUDIENCES),))


def skins(*, held_out: bool) -> tuple[Skin, ...]:
    """The skins that training may see, or those kept for `unseen_wordings`."""
    return tuple(s for s in load_skins(WORDINGS_DIR, VOCABULARY) if s.held_out == held_out)
