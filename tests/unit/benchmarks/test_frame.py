from __future__ import annotations

import json
import math
import subprocess
import sys
from pathlib import Path

import pytest

from bb_core.errors import BBError, UsageError
from benchmarks import frame
from benchmarks.frame import (
    Better,
    Context,
    Measured,
    Row,
    UnavailableError,
    judge,
    row,
    run_row,
    select,
    time_pair,
    times_better,
)

ROOT = Path(__file__).parents[3]


def make_row(measured: Measured, *, target: float = 2.0, better: Better = "more") -> Row:
    return Row("machine.x", lambda context: measured, "peer", "ops/s", target, better)


def test_medians_and_their_ratio_judge_a_row() -> None:
    result = run_row(make_row(Measured([10, 40, 30], [10, 10, 5])), Context())
    assert (result.ours, result.peer, result.ratio, result.holds) == (30, 10, 3.0, True)
    assert (result.repetitions, result.problem) == (3, "")
    assert result.spread == pytest.approx((5.0 - 2.5) / 4)  # of the ratios 1, 4, 6


def test_less_may_be_better() -> None:
    measured = Measured([2.0], [3.0])
    assert judge(make_row(measured, better="less"), measured).ratio == 1.5
    assert not judge(make_row(measured, better="less"), measured).holds


@pytest.mark.parametrize(
    ("ours", "peer", "better", "times"),
    [(0, 0, "less", 1.0), (0, 5, "less", math.inf), (5, 0, "more", math.inf), (0, 5, "more", 0.0)],
)
def test_zeros_are_compared_too(ours: float, peer: float, better: Better, times: float) -> None:
    assert times_better(ours, peer, better) == times


def test_measurements_come_in_pairs() -> None:
    with pytest.raises(BBError, match=r"row machine\.x: 1 measurements of ours and 2 of the peer"):
        judge(make_row(Measured([1], [1, 2])), Measured([1], [1, 2]))


def failing(error: Exception) -> Row:
    def measure(context: Context) -> Measured:
        raise error

    return Row("machine.x", measure, "peer", "s", 1.0)


@pytest.mark.parametrize(
    ("error", "available", "problem"),
    [
        (UnavailableError("no GPU"), False, "no GPU"),
        (ModuleNotFoundError("", name="rare"), False, "needs the package rare"),
        (ZeroDivisionError("oops"), True, "ZeroDivisionError: oops"),
    ],
)
def test_a_row_without_figures_says_why(error: Exception, available: bool, problem: str) -> None:
    result = run_row(failing(error), Context())
    assert (result.available, result.problem, result.holds) == (available, problem, False)


def test_names_start_with_an_area() -> None:
    for name in ("speed.x", "machine"):
        with pytest.raises(UsageError, match=f"row {name}: has no area; use machine, proof"):
            row(name, peer_name="p", unit="s", target=1.0)


def test_two_files_cannot_take_one_name(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(frame, "_ROWS", {"machine.x": failing(ValueError())})

    def measure(context: Context) -> Measured:
        return Measured([1], [1])

    measure.__module__ = "elsewhere"
    with pytest.raises(UsageError, match=r"row machine\.x: is declared in .*test_frame too"):
        row("machine.x", peer_name="p", unit="s", target=1.0)(measure)


def test_patterns_select_rows() -> None:
    rows = [Row(name, lambda c: Measured([1], [1]), "p", "s", 1.0) for name in ("gate.a", "seal.b")]
    assert select(rows, []) == rows
    assert select(rows, ["gate.*"]) == rows[:1]
    with pytest.raises(UsageError, match=r"no row matches 'gate\.z'; use gate\.a, seal\.b"):
        select(rows, ["gate.z"])


def test_pairs_are_interleaved_after_a_warm_up() -> None:
    calls: list[str] = []
    measured = time_pair(lambda: calls.append("o"), lambda: calls.append("p"), repetitions=4)
    assert "".join(calls) == "op" + "op" + "po" + "op" + "po"
    assert len(measured.ours) == len(measured.peer) == 4
    assert min(measured.ours) >= 0


def test_work_turns_seconds_into_a_rate(monkeypatch: pytest.MonkeyPatch) -> None:
    ticks = iter(range(100))
    monkeypatch.setattr(frame.time, "perf_counter", lambda: next(ticks) * 0.5)
    assert time_pair(lambda: 0, lambda: 0, repetitions=2, work=3.0).ours == [6.0, 6.0]


PACKAGE = """
from benchmarks.frame import Measured, row

@row("gate.short", peer_name="peer", unit="s", target=2.0)
def short(context):
    return Measured([1.0], [1.0])

@row("gate.endless", peer_name="peer", unit="s", target=2.0)
def endless(context):
    return Measured([context.seed], [0.0])
"""


def run(folder: Path, *args: str) -> subprocess.CompletedProcess[str]:
    """Run the command on a copy of the package with rows of our own."""
    package = folder / "benchmarks"
    if not package.exists():
        package.mkdir()
        for name in ("__init__.py", "__main__.py", "frame.py"):
            (package / name).write_text((ROOT / "benchmarks" / name).read_text())
        (package / "gate_question.py").write_text(PACKAGE)
        (package / "elsewhere_question.py").write_text("raise SystemExit('not a benchmark')")
    command = [sys.executable, "-m", "benchmarks", *args]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)


def test_the_command_lists_runs_and_saves(tmp_path: Path) -> None:
    assert run(tmp_path, "--list").stdout.splitlines() == [
        "gate.endless  against peer, at least 2 times",
        "gate.short  against peer, at least 2 times",
    ]
    done = run(tmp_path, "gate.endless", "--seed", "7", "--json", "out.json")
    assert done.returncode == 0
    assert "gate.endless" in done.stdout
    saved = json.loads((tmp_path / "out.json").read_text())
    assert (saved["seed"], saved["rows"][0]["ours"], saved["rows"][0]["ratio"]) == (7, 7, None)
    assert saved["versions"]["python"].startswith("3.")


def test_a_row_that_falls_short_fails_the_run_and_the_table_is_there(tmp_path: Path) -> None:
    done = run(tmp_path, "--seed", "7")
    assert done.returncode == 1
    assert "gate.endless" in done.stdout
    assert done.stderr.endswith("error: benchmarks: gate.short fall short\n")
