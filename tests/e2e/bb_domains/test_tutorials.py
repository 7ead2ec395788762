"""The tutorials about domains say what works: every block is run, in order, in one folder."""

from __future__ import annotations

import re
import shlex
from pathlib import Path
from typing import Any

import pytest

from bb_core import cli

PAGES = Path(__file__).parents[3] / "docs/tutorials"
BLOCK = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)


def run_page(page: Path, capsys: pytest.CaptureFixture[str]) -> list[str]:
    """Run a page's blocks; what is shown in a block without a language must have been printed.

    A YAML block begins with the name of its file.
    """
    names: dict[str, Any] = {"__name__": "page"}
    languages: list[str] = []
    said = ""
    for language, text in BLOCK.findall(page.read_text(encoding="utf-8")):
        languages.append(language)
        if language == "python":
            exec(compile(text, str(page), "exec"), names)
            said = capsys.readouterr().out
        elif language == "yaml":
            Path(text.splitlines()[0].removeprefix("# ")).write_text(text)
        elif language == "sh":
            for line in text.splitlines():
                program, *words = shlex.split(line)
                assert program == "bb"
                with pytest.raises(SystemExit) as stop:
                    cli.main(words)
                assert not stop.value.code, line
        else:
            assert text in said
    return languages


@pytest.mark.parametrize(
    ("name", "blocks"),
    [
        ("five-minutes-openapi.md", {"yaml": 2, "sh": 4, "python": 1, "": 1}),
        ("domain-by-hand.md", {"sh": 4, "python": 5, "": 1}),
    ],
)
def test_every_block_runs(
    name: str,
    blocks: dict[str, int],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    found = run_page(PAGES / name, capsys)
    assert {language: found.count(language) for language in found} == blocks


@pytest.mark.parametrize("name", ["five-minutes-openapi.md", "domain-by-hand.md"])
def test_every_page_it_names_is_there(name: str) -> None:
    for link in re.findall(r"\]\(([^)#]+)\)", (PAGES / name).read_text()):
        assert (PAGES / link).is_file(), link
