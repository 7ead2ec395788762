"""The tutorial of learning and proving says what works."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from xml.etree import ElementTree

import pytest


def test_every_block_runs(
    tmp_path: Path,
    run_page: Callable[[str], Counter[str]],
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert run_page("learn-and-prove.md") == {"python": 10, "sh": 3}
    out = capsys.readouterr().out
    assert "learned from 63 examples, given" in out
    assert "proved equal to majority for all words at width 64" in out
    assert out.count("proved equal to dyck-final for all words at width 64") == 2
    assert re.search(r"^identification: \d+ words asked$", out, re.MULTILINE)
    assert "2 states, 1 gate\n" in out
    assert re.search(r"^wrong on [()]+$", out, re.MULTILINE)
    for name in ("automaton.svg", "brackets.svg"):
        ElementTree.parse(tmp_path / name)
