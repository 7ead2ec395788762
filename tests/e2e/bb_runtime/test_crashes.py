"""kill -9 at every point of a run, and while it is resumed: nothing lost, nothing done twice."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parent / "crashing.py"
ROOT = Path(__file__).parents[3]
FORWARD = [
    ("change_city", "o1042", "Bern"),
    ("change_city", "o1043", "Chur"),
    ("add_note", "c1", "vip"),
]
ENDS = {
    "done": [*FORWARD, ("refund_order", "o1042", 12)],
    "undone": [
        *FORWARD,
        ("add_note", "c1", "fraud_watch"),
        ("change_city", "o1043", "Basel"),
        ("change_city", "o1042", "Basel"),
    ],
}


def crash(folder, mode, first, stride):
    """What became of each run that was killed at one of the points first, first + stride, …"""
    done = subprocess.run(
        [sys.executable, SCRIPT, folder, mode, str(first), str(stride)],
        capture_output=True,
        text=True,
        timeout=250,
        env=os.environ | {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"},
        check=False,
    )
    assert done.returncode == 0 and "Traceback" not in done.stderr, done.stderr
    return [json.loads(line) for line in done.stdout.splitlines()]


def check(found, mode):
    for run in found:
        seen = [(tool, *list(json.loads(args).values())[:2]) for tool, args, _ in run["done"]]
        # Branches that run together may be done in either order.
        assert sorted(seen, key=str) == sorted(ENDS[mode], key=str), run
        assert seen[-1] == ENDS[mode][-1] or mode == "done", run
        assert run["last"] == 0 and run["end"] == mode and run["log"], run
        assert not run["secret"], "a private value is left in the log or the journal"
    assert [run["killed"][0] for run in found] == [True] * (len(found) - 1) + [False]


@pytest.mark.parametrize("mode", ["done", "undone"])
def test_a_killed_run_is_resumed(tmp_path, mode):
    found = crash(tmp_path, mode, 23, 53)
    assert len(found) >= 3
    check(found, mode)


@pytest.mark.slow
@pytest.mark.parametrize("mode", ["done", "undone"])
def test_a_run_killed_at_any_point_is_resumed(tmp_path, mode):
    found = crash(tmp_path, mode, 0, 1)
    assert len(found) > 100
    check(found, mode)
