"""Tutorials as tests: the blocks of a page are run, in order, in one folder."""

from __future__ import annotations

import re
import shlex
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from bem_kernel.cli import main

PAGES = Path(__file__).parents[3] / "docs/tutorials"
BLOCK = re.compile(r"^```(sh|python)\n(.*?)^```$", re.MULTILINE | re.DOTALL)


@pytest.fixture
def run_page(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], Counter[str]]:
    """Runs a tutorial in the test's folder; how many blocks of each language it has."""

    def run(name: str) -> Counter[str]:
        page = PAGES / name
        monkeypatch.chdir(tmp_path)
        names: dict[str, Any] = {"__name__": "page"}  # blocks follow one another, as in a notebook
        languages: Counter[str] = Counter()
        for language, text in BLOCK.findall(page.read_text(encoding="utf-8")):
            languages[language] += 1
            if language == "python":
                exec(compile(text, str(page), "exec"), names)
                continue
            monkeypatch.setattr("sys.argv", shlex.split(text))
            with pytest.raises(SystemExit) as stop:
                main.main()
            assert stop.value.code == 0, text
        return languages

    return run
