"""The tutorial and the README say what works: their blocks are run, in order, in one folder."""

import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from bb_nn.base import EMBEDDED
from seal import cli

ROOT = Path(__file__).parents[3]
BLOCK = re.compile(r"^```(sh|python)\n(.*?)^```$", re.MULTILINE | re.DOTALL)

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not EMBEDDED.exists(), reason="the embedded base rail is not built here"),
]


def run_shell(text, monkeypatch):
    """Run a block; a `seal` command runs in this process, which has torch loaded already."""
    words = shlex.split(text)
    if words[0] != "seal":
        subprocess.run(["sh", "-ec", text], check=True)
        return
    monkeypatch.setattr(sys, "argv", words)
    with pytest.raises(SystemExit) as stop:
        cli.main()
    assert stop.value.code == 0, text


@pytest.mark.parametrize("page", ["docs/tutorials/first-self-edits.md", "seal/README.md"])
def test_every_block_runs(page, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("notes.txt").write_text("A passage about a harbour that was dredged.")
    blocks = BLOCK.findall((ROOT / page).read_text(encoding="utf-8"))
    assert {language for language, _ in blocks} == {"sh", "python"}
    names = {"__name__": "page"}  # python blocks of a page follow one another, as in a notebook
    for language, text in blocks:
        if language == "sh":
            run_shell(text, monkeypatch)
        else:
            exec(compile(text, page, "exec"), names)
    assert Path("edits.jsonl").stat().st_size > 0
