from __future__ import annotations

from bb_core.prompt import format_prompt


def test_the_plan_follows_at_once() -> None:
    assert format_prompt("Track 1042.\nThanks.") == "### Request\nTrack 1042.\nThanks.\n### Plan\n"
