"""The tutorial says what works: its blocks are run, in order, in one folder."""

from __future__ import annotations

import re
import shlex
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest

from bem_kernel.cli import main

PAGE = Path(__file__).parents[3] / "docs/tutorials/learn-and-prove.md"
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
    assert (languages.count("python"), languages.count("sh")) == (7, 2)
    out = capsys.readouterr().out
    assert "learned from 63 examples, given" in out
    assert "proved equal to majority for all words at width 64" in out
    assert "proved equal to dyck-final for all words at width 64" in out
    assert re.search(r"^wrong on [()]+$", out, re.MULTILINE)
    for name in ("automaton.svg", "brackets.svg"):
        ElementTree.parse(tmp_path / name)
