"""A full disk: a run stops before a call that could not be written down, and goes on later."""

from __future__ import annotations

import json
import os
import resource
import signal
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest

from bb_core.errors import BBError
from bb_core.store import Store

SCRIPT = Path(__file__).parent / "filling.py"
ROOT = Path(__file__).parents[3]
WRITES = ["add_note", "change_city", "change_city", "refund_order"]


def fill(folder, file, first, stride, count):
    done = subprocess.run(
        [sys.executable, SCRIPT, folder, file, *map(str, (first, stride, count))],
        capture_output=True,
        text=True,
        timeout=280,
        env=os.environ | {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"},
        check=False,
    )
    assert done.returncode == 0 and "Traceback" not in done.stderr, done.stderr
    return [json.loads(line) for line in done.stdout.splitlines()]


def check(found):
    stopped = [run for run in found if run["ended"] != "done"]
    for run in found:
        # Nothing was done that is not written down, and in the end all is done, once.
        assert not Counter(run["done"]) - Counter(run["called"]), run
        assert len(run["done"]) <= sum(run["journal"]), run
        assert run["ok"] and run["whole"] and sorted(run["last"]) == WRITES, run
    assert all("free some space" in run["ended"] for run in stopped), found
    return len(stopped)


@pytest.mark.parametrize(
    ("file", "first", "stride", "count"),
    [
        ("log", 700, 2200, 2),
        ("journal", 20_000, 40_000, 2),
        pytest.param("log", 0, 194, 45, marks=pytest.mark.slow),
        pytest.param("journal", 13_000, 4000, 45, marks=pytest.mark.slow),
    ],
)
def test_a_run_stops_before_what_cannot_be_written_down(tmp_path, file, first, stride, count):
    assert check(fill(tmp_path, file, first, stride, count)) >= 2


def test_a_verdict_that_cannot_be_kept_is_refused(tmp_path):
    store = Store(tmp_path)
    store.add_record("feedback", {"verdict": "good"})
    before, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    try:
        resource.setrlimit(resource.RLIMIT_FSIZE, (4096, hard))
        with pytest.raises(BBError, match="database failed"):
            store.add_record("feedback", {"verdict": "bad"})
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (before, hard))
        signal.signal(signal.SIGXFSZ, handler)
    assert [record.body for record in store.records("feedback")] == [{"verdict": "good"}]
    store.add_record("feedback", {"verdict": "bad"})
    assert len(store.records("feedback")) == 2
