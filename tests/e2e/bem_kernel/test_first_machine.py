"""The tutorial of the first machine says what works."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable

import pytest


def test_every_block_runs(
    run_page: Callable[[str], Counter[str]], capsys: pytest.CaptureFixture[str]
) -> None:
    languages = run_page("first-machine.md")
    assert languages["python"] >= 7 and languages["sh"] == 1
    out = capsys.readouterr().out
    assert re.search(r"\d+ of 128000 lanes were right\ncareful +chosen +1\d\d\d times", out)
