"""Random walks of the mask, sentences and near misses: mask and parser say the same."""

from __future__ import annotations

from pathlib import Path

import pytest

from bb_domains.profile.lowering import lower
from benchmarks.grammars import compare, load

GRAMMARS = Path(__file__).parents[2] / "golden" / "bb_domains" / "grammars"
FILES = sorted(GRAMMARS.iterdir())


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
def test_mask_and_parser_agree(path: Path) -> None:
    found = compare(lower(load(path)), 60)
    assert found.wrong == [] and found.missed == []
    assert found.accepted > 20 and found.walks > 0
    assert found.agreed > found.accepted


@pytest.mark.slow
@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
def test_mask_and_parser_agree_on_thousands(path: Path) -> None:
    found = compare(lower(load(path)), 3000, seed=7)
    assert found.wrong == [] and found.missed == []
