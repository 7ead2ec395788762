"""The code of the package's README runs."""

from __future__ import annotations

import re
from pathlib import Path

import bem_kernel


def test_the_blocks_of_the_readme_run() -> None:
    text = Path(bem_kernel.__file__).with_name("README.md").read_text(encoding="utf-8")
    blocks = re.findall(r"```python\n(.*?)```", text, re.DOTALL)
    assert blocks
    names: dict[str, object] = {}
    for block in blocks:
        exec(block, names)
