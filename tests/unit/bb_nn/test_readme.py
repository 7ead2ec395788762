"""The block of the package's README runs as it stands."""

from __future__ import annotations

import re
from pathlib import Path

import bb_nn

README = Path(bb_nn.__file__).parent / "README.md"


def test_the_block_runs():
    (block,) = re.findall(r"```python\n(.*?)```", README.read_text(encoding="utf-8"), re.DOTALL)
    names: dict[str, object] = {}
    exec(compile(block, str(README), "exec"), names)
    assert names["rail"].count_trainable() > 0
