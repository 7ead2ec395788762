"""The slow path: bounded, never waiting, errors contained."""

from __future__ import annotations

import os
import threading
import time

import pytest

from bem_kernel.errors import RunnerError
from bem_kernel.runner.slow_path import Outcome, SlowPath, SlowPathStatistics


def double(payload: int) -> int:
    return 2 * payload


def fail(payload: str) -> None:
    raise ValueError(payload)


def process_id(payload: object) -> int:
    return os.getpid()


def test_tasks_are_done_by_a_thread_beside_and_collected_in_order() -> None:
    with SlowPath({"double": double}) as slow:
        assert [slow.offer("double", i) for i in range(5)] == [0, 1, 2, 3, 4]
        slow.wait(timeout_s=30)
        assert slow.collect() == [Outcome(i, "double", 2 * i, None) for i in range(5)]
        assert slow.collect() == []
        assert slow.statistics == SlowPathStatistics(accepted=5, refused=0, done=5, failed=0)


def test_offering_never_waits_for_a_worker_that_is_stuck() -> None:
    release = threading.Event()
    with SlowPath({"stuck": lambda _: release.wait(30)}, capacity=2) as slow:
        start_s = time.monotonic()
        assert [slow.offer("stuck", None) for _ in range(4)] == [0, 1, None, None]
        assert slow.collect() == []
        assert time.monotonic() - start_s < 10
        assert slow.statistics == SlowPathStatistics(accepted=2, refused=2, done=0, failed=0)
        with pytest.raises(TimeoutError, match="slow path: tasks still run after 0 s"):
            slow.wait(timeout_s=0)
        release.set()
        slow.wait(timeout_s=30)
        # What is done and not collected counts too, so that results cannot pile up.
        assert slow.offer("stuck", None) is None
        assert len(slow.collect()) == 2
        assert slow.offer("stuck", None) == 2


def test_a_task_that_fails_harms_nobody() -> None:
    with SlowPath({"fail": fail, "double": double}) as slow:
        slow.offer("fail", "no luck")
        slow.offer("double", 4)
        slow.wait(timeout_s=30)
        failed, done = slow.collect()
        assert failed.result is None and isinstance(failed.error, ValueError)
        assert str(failed.error) == "no luck" and done.result == 8
        assert slow.statistics.failed == 1


def test_idle_work_is_done_when_the_caller_has_time() -> None:
    with SlowPath({"double": double, "fail": fail}, workers="idle") as slow:
        for payload in (1, 2, 3):
            slow.offer("double", payload)
        assert slow.collect() == []
        assert slow.run_idle(2) == 2
        assert [outcome.result for outcome in slow.collect()] == [2, 4]
        slow.offer("fail", "x")
        assert slow.run_idle(9) == 2
        assert [outcome.error is None for outcome in slow.collect()] == [True, False]


@pytest.mark.slow
def test_processes_have_cores_of_their_own() -> None:
    with SlowPath({"pid": process_id}, workers="processes") as slow:
        slow.offer("pid", None)
        slow.wait(timeout_s=60)
        (outcome,) = slow.collect()
        assert outcome.error is None and outcome.result not in (None, os.getpid())


def test_closing_drops_what_waits_and_lets_the_rest_end() -> None:
    started, release = threading.Event(), threading.Event()

    def work(payload: int) -> int:
        started.set()
        release.wait(30)
        return payload

    slow = SlowPath({"work": work})
    slow.offer("work", 1)
    slow.offer("work", 2)
    assert started.wait(30)
    release.set()
    slow.close()
    slow.close()
    assert [outcome.result for outcome in slow.collect()][:1] == [1]
    with pytest.raises(RunnerError, match="slow path: it is closed; make a new one"):
        slow.offer("work", 3)


def test_what_cannot_be_meant_is_refused() -> None:
    slow = SlowPath({"double": double}, workers="idle")
    with pytest.raises(RunnerError, match="no handler for 'triple'; attach double"):
        slow.offer("triple", 1)
    for settings in ({"capacity": 0}, {"n_workers": 0}, {"workers": "gnomes"}):
        with pytest.raises(RunnerError, match="use 1 or more, and threads, processes or idle"):
            SlowPath({}, **settings)  # type: ignore[arg-type]
