"""The blocks of the package's README run as they stand."""

from __future__ import annotations

import re
from pathlib import Path

import bb_domains

README = Path(bb_domains.__file__).parent / "README.md"


def test_the_readme_blocks_run() -> None:
    text = README.read_text(encoding="utf-8")
    blocks = re.findall(r"```python\n(.*?)```", text, re.DOTALL)
    assert len(blocks) == 2
    for block in blocks:
        exec(compile(block, str(README), "exec"), {})


def test_every_module_is_in_the_picture() -> None:
    picture = re.findall(r"```\n(.*?)```", README.read_text(encoding="utf-8"), re.DOTALL)[0]
    modules = {path.stem for path in README.parent.glob("*.py")}
    quiet = {"__init__", "errors", "marks", "bounds", "validate"}
    missing = {m for m in modules - quiet if not re.search(rf"\b{m}\b", picture)}
    assert missing == set()
