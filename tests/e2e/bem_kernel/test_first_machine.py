"""The tutorial says what works: its blocks are run, in order, in one folder."""

from __future__ import annotations

import re
import shlex
from pathlib import Path
from typing import Any

import pytest

from bem_kernel.cli import main

PAGE = Path(__file__).parents[3] / "docs/tutorials/first-machine.md"
BLOCK = re.compile(r"^```(sh|python)\n(.*?)^```$", re.MULTILINE | re.DOTALL)


def test_every_block_runs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    names: dict[str, Any] = {"__name__": "page"}  # blocks follow one another, as in a notebook
    languages = []
    for language, text in BLOCK.findall(PAGE.read_text(encoding="utf-8")):
        languages.append(language)
        if language == "python":
            exec(compile(text, str(PAGE), "exec"), names)
            continue
        monkeypatch.setattr("sys.argv", shlex.split(text))
        with pytest.raises(SystemExit) as stop:
            main.main()
        assert stop.value.code == 0, text
    assert languages.count("python") >= 7 and languages.count("sh") == 1
    out = capsys.readouterr().out
    assert re.search(r"\d+ of 128000 lanes were right\ncareful +chosen +1\d\d\d times", out)
