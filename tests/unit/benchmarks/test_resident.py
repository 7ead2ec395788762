"""A process that grows is told from one that does not, and a server that fails says why."""

from __future__ import annotations

import os
import sys

import pytest

from bb_core.errors import BBError
from benchmarks.resident import Resident
from benchmarks.serve_http import _running


def weighed(sizes: list[float], every_s: float = 10.0) -> Resident:
    return Resident(os.getpid(), [(every_s * i, size) for i, size in enumerate(sizes)])


def test_what_fills_at_the_start_is_no_growth():
    assert weighed([500, 700, 900, 950, 980, *[1000] * 20]).growth() == 0


def test_a_steady_leak_is_told_in_mb_a_minute():
    found = weighed([1000 + i for i in range(30)])
    assert found.trend() == pytest.approx(6.0)
    assert found.growth() == pytest.approx(60.0)
    assert "+6.00 MB/min" in found.story()


def test_what_swings_about_a_level_is_flat():
    assert weighed([1000 + 15 * (i % 2) for i in range(60)]).growth() < 5


def test_two_weights_are_no_trend():
    with pytest.raises(ValueError, match="a trend takes 6"):
        weighed([1000, 1001]).growth()


def test_this_process_has_a_weight():
    found = Resident(os.getpid())
    found.weigh()
    assert 10 < found.weights[0][1] < 100_000


def test_a_server_that_ends_says_why():
    command = [sys.executable, "-c", "raise SystemExit('no port left')"]
    with pytest.raises(BBError, match="does not answer: no port left"), _running(command, 1, "m"):
        pass
