"""The machine has no floating point: no float constant, no true division, no float dtype."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

import bem_kernel

FILES = sorted(Path(bem_kernel.__file__).parent.rglob("*.py"))


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.name)
def test_no_floating_point(file: Path) -> None:
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        place = f"{file.name}:{getattr(node, 'lineno', 0)}"
        if isinstance(node, ast.Constant):
            assert not isinstance(node.value, float | complex), place
        if isinstance(node, ast.BinOp | ast.AugAssign):
            assert not isinstance(node.op, ast.Div), place
        if isinstance(node, ast.Attribute):
            assert not node.attr.startswith("float"), place
        if isinstance(node, ast.Name):
            assert node.id != "float", place
