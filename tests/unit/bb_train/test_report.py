import io
import json
import math

import pytest

from bb_train.evaluate import CellScores, cells_from_json, cells_to_json
from bb_train.metrics import Score
from bb_train.report import Training, draw, results_table, rows_of, to_json


def scores(exact, n=8):
    hit = Score(True, True, True, True, 0.0, 40, 0.5)
    miss = Score(True, True, False, False, 3.0, 60, 0.5)
    return tuple(hit if i < exact else miss for i in range(n))


@pytest.fixture
def cells():
    found = []
    for split, plus in (("seen", 4), ("unseen_wordings", 2), ("unseen_compositions", 0)):
        for masked in (False, True):
            found.append(CellScores("base", masked, split, 0, scores(0)))
            found += [CellScores("rail", masked, split, s, scores(plus + s)) for s in (0, 1, 2)]
    return found


def test_seeds_are_pooled_for_examples_and_averaged_for_seeds(cells):
    row = next(r for r in rows_of(cells) if (r.method, r.masked, r.split) == ("rail", True, "seen"))
    assert row.exact_by_seed == (4 / 8, 5 / 8, 6 / 8)
    assert row.cell.n == 24
    assert row.cell.exact.mean == pytest.approx(15 / 24)
    assert row.exact_over_seeds.high - row.exact_over_seeds.mean == pytest.approx(
        4.3027 * 0.125 / math.sqrt(3), abs=1e-4
    )
    assert row.cell.tokens_per_s == pytest.approx((15 * 40 + 9 * 60) / 12)
    assert row.cell.ged.mean == pytest.approx(9 * 3 / 24)


def test_cells_survive_json(cells):
    assert cells_from_json(json.loads(json.dumps(cells_to_json(cells)))) == cells


def test_json_has_no_infinities(cells):
    document = to_json(rows_of(cells), [Training("rail", 0, 1.0, 5, 10, "run")])
    text = json.dumps(document, allow_nan=False)
    base = json.loads(text)["rows"][0]
    assert base["exact_over_seeds"] == {"mean": 0.0, "low": None, "high": None, "n": 1}


def test_table_has_a_line_per_cell_and_says_its_n(cells):
    from rich.console import Console

    console = Console(width=160, record=True, file=io.StringIO())
    console.print(results_table(rows_of(cells)))
    text = console.export_text()
    assert "n = 8 requests a split, 3 training seeds" in text
    assert text.count("dual-rail") == 6
    assert "62.5% [43, 79]" in text
    assert "62.5% ± 31.1 (3)" in text


def test_picture_is_written(cells, tmp_path):
    draw(rows_of(cells), tmp_path / "exact.png")
    assert (tmp_path / "exact.png").read_bytes().startswith(b"\x89PNG")
