"""The project's README: its Python block runs, and every command it names exists."""

from __future__ import annotations

import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

README = (Path(__file__).parents[2] / "README.md").read_text(encoding="utf-8")
NAMED = re.findall(r"\.venv/bin/((?:bb|seal) [a-z]+(?: import-openapi)?)", README)
COMMANDS = sorted({tuple(words.split()) for words in NAMED})


def test_the_block_runs(capsys):
    (block,) = re.findall(r"```python\n(.*?)```", README, re.DOTALL)
    exec(compile(block, "README.md", "exec"), {})
    assert re.fullmatch(r"refund [1-9]\d{3}(, [1-9]\d{3})?\n", capsys.readouterr().out)


@pytest.mark.parametrize("words", COMMANDS, ids=" ".join)
def test_the_commands_exist(words):
    program = Path(sys.executable).with_name(words[0])
    done = subprocess.run([program, *words[1:], "--help"], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "Usage" in done.stdout


def test_the_training_command_is_understood():
    command = re.search(r"\.venv/bin/accelerate launch (.*?)\n\.venv", README, re.DOTALL)
    words = shlex.split(command[1].replace("\\\n", " "))
    from accelerate.commands.launch import launch_command_parser

    arguments = launch_command_parser().parse_args(words)
    assert arguments.module
    assert arguments.training_script == "bb_train"
    assert (Path(__file__).parents[2] / arguments.training_script_args[1]).is_file()


def test_every_file_it_names_is_there():
    root = Path(__file__).parents[2]
    for name in re.findall(r"`((?:docs|configs|bb_\w+|bem_kernel|seal)/[\w./-]*)`", README):
        assert (root / name).exists(), name
