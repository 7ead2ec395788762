"""The tutorial and the README say what works: their blocks are run, in order, in one folder."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from bb_nn.base import EMBEDDED

ROOT = Path(__file__).parents[3]
BLOCK = re.compile(r"^```(sh|python)\n(.*?)^```$", re.MULTILINE | re.DOTALL)

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not EMBEDDED.exists(), reason="the embedded base rail is not built here"),
]


@pytest.fixture
def environment(tmp_path):
    """A `seal` command for the shell blocks, whether or not the package is installed."""
    command = tmp_path / "bin" / "seal"
    command.parent.mkdir()
    command.write_text(f'#!/bin/sh\nexec {sys.executable} -c "{RUN}" "$@"\n')
    command.chmod(0o755)
    return {
        **os.environ,
        "PATH": f"{command.parent}{os.pathsep}{os.environ['PATH']}",
        "PYTHONPATH": str(ROOT),
        "OMP_NUM_THREADS": "1",
        "HF_HUB_OFFLINE": "1",
    }


RUN = "from seal.cli import main; main()"


@pytest.mark.parametrize("page", ["docs/tutorials/first-self-edits.md", "seal/README.md"])
def test_every_block_runs(page, tmp_path, environment):
    if shutil.which("sh") is None:
        pytest.skip("no sh")
    work = tmp_path / "work"
    work.mkdir()
    (work / "notes.txt").write_text("A passage about a harbour that was dredged.")
    blocks = BLOCK.findall((ROOT / page).read_text(encoding="utf-8"))
    assert {language for language, _ in blocks} == {"sh", "python"}
    for language, text in blocks:
        command = ["sh", "-ec", text] if language == "sh" else [sys.executable, "-c", text]
        done = subprocess.run(
            command, cwd=work, env=environment, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, f"{page}:\n{text}\n{done.stdout}{done.stderr}"
    assert any(work.glob("edits.jsonl"))
