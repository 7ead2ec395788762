"""The blocks of the package's README run as they stand."""

from __future__ import annotations

import re
from pathlib import Path

import bb_nn

README = Path(bb_nn.__file__).parent / "README.md"


def test_the_blocks_run():
    blocks = re.findall(r"```python\n(.*?)```", README.read_text(encoding="utf-8"), re.DOTALL)
    names: dict[str, object] = {}
    exec(compile("\n".join(blocks), str(README), "exec"), names)
    assert len(blocks) == 2 and len(names["rail"].library.skills) == 9
