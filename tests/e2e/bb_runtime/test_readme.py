"""The blocks of the package's README run as they stand."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

import bb_runtime
from bb_nn.base import EMBEDDED
from bb_runtime.check import Certificate

README = Path(bb_runtime.__file__).parent / "README.md"
BLOCKS = re.findall(r"```python\n(.*?)```", README.read_text(encoding="utf-8"), re.DOTALL)


def test_the_readme_blocks_run(capsys):
    if not (EMBEDDED / "model.safetensors").exists():
        pytest.skip("no embedded base rail")
    names: dict[str, object] = {}
    assert len(BLOCKS) == 4
    for block in BLOCKS:
        exec(compile(block, str(README), "exec"), names)
    first, *_, number, energy = capsys.readouterr().out.splitlines()
    assert re.fullmatch(r"refund [1-9]\d{3}(, [1-9]\d{3})?", first)
    assert re.fullmatch(r"[1-9]\d{3}", number)
    assert re.fullmatch(r"\d+\.\d nats, \d+ tokens outside", energy)
    assert isinstance(names["certificate"], Certificate)
