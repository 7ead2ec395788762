"""The slow path: a bounded queue of work beside the machine, which never waits for it.

Whatever proposes, verifies, optimises or remaps is attached as a handler by kind. `offer` takes a
task or refuses it at once; `collect` hands over what is done. Workers are threads, processes, or
nobody: then `run_idle` does a few tasks when the caller has time.

Source: BEM core spec 10.1, 10.2.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Mapping
from concurrent.futures import Executor, Future, ProcessPoolExecutor, ThreadPoolExecutor
from concurrent.futures import wait as wait_for
from dataclasses import dataclass
from multiprocessing import get_context
from types import TracebackType
from typing import Any, Literal

from bem_kernel.errors import RunnerError

Handler = Callable[[Any], Any]
"""Does one kind of task: payload in, result out. For processes it and both are picklable."""

Workers = Literal["threads", "processes", "idle"]


@dataclass(frozen=True)
class Outcome:
    """A task that is done.

    Attributes:
        number: as `offer` returned it.
        kind: of the task.
        result: what the handler returned; None if it failed.
        error: what it raised; None if it succeeded.
    """

    number: int
    kind: str
    result: Any
    error: Exception | None


@dataclass(frozen=True)
class SlowPathStatistics:
    """Counts since the beginning; waiting and running tasks are `accepted - done`."""

    accepted: int
    refused: int
    done: int
    failed: int


class SlowPath:
    """A bounded queue with workers; a context manager. One thread offers and collects.

    Args:
        handlers: by kind of task.
        capacity: most tasks that wait, run, or are done and not collected.
        workers: "threads" share this process, "processes" have cores of their own, "idle" waits
            for `run_idle`.
        n_workers: threads or processes.

    Raises:
        RunnerError: a number is less than 1, or no such workers.
    """

    def __init__(
        self,
        handlers: Mapping[str, Handler],
        *,
        capacity: int = 64,
        workers: Workers = "threads",
        n_workers: int = 1,
    ) -> None:
        if capacity < 1 or n_workers < 1 or workers not in ("threads", "processes", "idle"):
            raise RunnerError(
                f"capacity {capacity}, {n_workers} workers of kind {workers!r}",
                where="slow path",
                fix="use 1 or more, and threads, processes or idle",
            )
        self._handlers = dict(handlers)
        self._capacity = capacity
        self._executor = _executor(workers, n_workers)
        self._waiting: deque[tuple[int, str, Any]] = deque()
        self._running: dict[int, tuple[str, Future[Any]]] = {}
        self._outcomes: list[Outcome] = []
        self._accepted = self._refused = self._done = self._failed = 0
        self._closed = False

    @property
    def statistics(self) -> SlowPathStatistics:
        """What became of the tasks so far."""
        return SlowPathStatistics(self._accepted, self._refused, self._done, self._failed)

    def offer(self, kind: str, payload: Any) -> int | None:
        """Queue a task, without waiting.

        Returns:
            Its number; None if the queue is full, which is no error: offer it again later.

        Raises:
            RunnerError: no handler does this kind, or the slow path is closed.
        """
        if kind not in self._handlers:
            known = ", ".join(sorted(self._handlers)) or "a handler first"
            raise RunnerError(f"no handler for {kind!r}", where="slow path", fix=f"attach {known}")
        if self._closed:
            raise RunnerError("it is closed", where="slow path", fix="make a new one")
        self._gather()
        if len(self._waiting) + len(self._running) + len(self._outcomes) >= self._capacity:
            self._refused += 1
            return None
        number = self._accepted
        self._accepted += 1
        if self._executor is None:
            self._waiting.append((number, kind, payload))
        else:
            future = self._executor.submit(self._handlers[kind], payload)
            self._running[number] = (kind, future)
        return number

    def collect(self) -> list[Outcome]:
        """Hand over what is done since the last call, in order of number, without waiting."""
        self._gather()
        outcomes, self._outcomes = sorted(self._outcomes, key=lambda done: done.number), []
        return outcomes

    def run_idle(self, tasks: int = 1) -> int:
        """Do waiting tasks here and now; for workers "idle".

        Args:
            tasks: the most to do.

        Returns:
            Number of tasks done.
        """
        count = 0
        while count < tasks and self._waiting:
            number, kind, payload = self._waiting.popleft()
            future: Future[Any] = Future()
            try:
                future.set_result(self._handlers[kind](payload))
            except Exception as error:
                future.set_exception(error)
            self._finish(number, kind, future)
            count += 1
        return count

    def wait(self, timeout_s: int | None = None) -> None:
        """Wait until all tasks are done; for the end of a program, never for the fast path.

        Raises:
            TimeoutError: they are not, after `timeout_s` seconds.
        """
        self.run_idle(len(self._waiting))
        running = [future for _, future in self._running.values()]
        if wait_for(running, timeout=timeout_s).not_done:
            raise TimeoutError(f"slow path: tasks still run after {timeout_s} s")
        self._gather()

    def close(self) -> None:
        """Drop waiting tasks, let running ones end, and take no more; twice does nothing."""
        self._closed = True
        self._waiting.clear()
        if self._executor is not None:
            self._executor.shutdown(wait=True, cancel_futures=True)
        self._running = {n: entry for n, entry in self._running.items() if not entry[1].cancelled()}
        self._gather()

    def __enter__(self) -> SlowPath:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def _gather(self) -> None:
        """Turn finished futures into outcomes."""
        for number in [n for n, (_, future) in self._running.items() if future.done()]:
            kind, future = self._running.pop(number)
            self._finish(number, kind, future)

    def _finish(self, number: int, kind: str, future: Future[Any]) -> None:
        self._done += 1
        error = future.exception()
        if error is None:
            self._outcomes.append(Outcome(number, kind, future.result(), None))
            return
        self._failed += 1
        failure = error if isinstance(error, Exception) else RunnerError(repr(error))
        self._outcomes.append(Outcome(number, kind, None, failure))


def _executor(workers: Workers, n_workers: int) -> Executor | None:
    if workers == "threads":
        return ThreadPoolExecutor(n_workers, thread_name_prefix="slow-path")
    if workers == "processes":  # fork would copy locks that other threads hold
        return ProcessPoolExecutor(n_workers, mp_context=get_context("spawn"))
    return None
