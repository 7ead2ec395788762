"""After `kill -9` at any line, the registry is whole and the operation can be repeated."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

DRIVER = Path(__file__).with_name("crash_driver.py")
ROOT = Path(__file__).parents[3]

# What may be in production after the kill, and what must be after the operation was repeated.
EXPECTED = {
    "promote": ({"one", "two"}, "two"),
    "rollback": ({"one", "base"}, "base"),
    "gate": ({"one"}, "one"),
    "add": ({"one"}, "one"),
}


def kill_and_repeat(operation: str, points: int, folder: Path) -> None:
    done = subprocess.run(
        [sys.executable, str(DRIVER), operation, str(points), str(folder)],
        capture_output=True,
        text=True,
        check=False,
        env=os.environ | {"PYTHONPATH": str(ROOT), "OPENBLAS_NUM_THREADS": "1"},
    )
    assert done.returncode == 0, done.stderr
    results = [json.loads(line) for line in done.stdout.splitlines()]
    assert len(results) == points
    allowed, final = EXPECTED[operation]
    seen = set()
    for result in results:
        killed, again = result["killed"], result["again"]
        assert killed["signal"] == 9, result
        assert killed["problems"] == again["problems"] == [], result
        assert killed["production"] in allowed, result
        assert again["status"] == 0, (result, done.stderr)
        assert again["production"] == final, result
        assert again["decisions"] >= killed["decisions"], result
        seen.add(killed["production"])
    assert seen == allowed  # the points really fall on both sides of the switch


@pytest.mark.parametrize("operation", ["promote", "gate"])
def test_killed_at_a_few_lines(operation: str, tmp_path: Path) -> None:
    kill_and_repeat(operation, 5, tmp_path)


@pytest.mark.slow
@pytest.mark.parametrize("operation", sorted(EXPECTED))
def test_killed_at_many_lines(operation: str, tmp_path: Path) -> None:
    kill_and_repeat(operation, 60, tmp_path)
