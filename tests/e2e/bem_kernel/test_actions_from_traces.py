"""The tutorial of actions from traces says what works."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from xml.etree import ElementTree

import pytest

PAGE = Path(__file__).parents[3] / "docs/tutorials/actions-from-traces.md"


def test_every_block_runs(
    tmp_path: Path,
    run_page: Callable[[str], Counter[str]],
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert run_page(PAGE.name) == {"python": 4, "sh": 1}
    out = capsys.readouterr().out
    shown = re.search(r"^```\n(push: .*?)^```$", PAGE.read_text(), re.MULTILINE | re.DOTALL)
    assert shown is not None and out.startswith(shown.group(1))
    assert "near(door) & !locked(door) after " in out
    assert "['pre:push', 'effect:push']" in out
    for fact in ("confirm_owner(order)", "!refund_order(order)", "amount.at_most.total(order)"):
        assert fact in out.splitlines()
    assert (tmp_path / "doors.pddl").read_text().startswith("(define (domain doors)")


def test_the_picture_is_one() -> None:
    root = ElementTree.parse(PAGE.with_name("action-models.svg")).getroot()
    assert root.tag.endswith("svg") and len(root)
