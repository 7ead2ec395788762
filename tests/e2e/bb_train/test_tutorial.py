"""The tutorial says what works: its blocks are run, in order, in one folder."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

PAGE = Path(__file__).parents[3] / "docs/tutorials/your-own-model.md"
BLOCK = re.compile(r"^```(sh|python)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
BB = "import sys; from bb_core.cli import main; main(sys.argv[1:])"


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_every_block_runs(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    blocks = BLOCK.findall(PAGE.read_text(encoding="utf-8"))
    assert [language for language, _ in blocks].count("sh") == 2
    names = {"__name__": "page"}  # python blocks follow one another, as in a notebook
    for language, text in blocks:
        if language == "python":
            exec(compile(text, str(PAGE), "exec"), names)
            continue
        program, *words = text.split()
        assert program == "bb"
        subprocess.run([sys.executable, "-c", BB, *words], check=True)
    said = capsys.readouterr().out
    assert "What the user asked" in said and '"tool":"find_room"' in said
    assert all(answer.plan is not None for answer in names["answers"])
    assert names["candidate"].folder.is_dir()
