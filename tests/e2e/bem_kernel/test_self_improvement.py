"""The tutorial about patches that a machine proposes to itself, as a new user would follow it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable


def test_the_tutorial_runs(run_page: Callable[[str], Counter[str]]) -> None:
    assert run_page("a-machine-that-mends-itself.md") == {"python": 6, "sh": 3}
