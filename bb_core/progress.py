"""Progress of long work on stderr, with the time still to go.

On a terminal this is a bar; otherwise it is one line for each tenth of the work, so that a log
stays short and a reader of it still sees when the end is due.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterable, Iterator, Sized
from types import TracebackType
from typing import TYPE_CHECKING, TextIO, TypeVar

if TYPE_CHECKING:
    from rich.progress import Progress as Bar
    from rich.progress import TaskID

T = TypeVar("T")

_LINES = 10
_QUIET_S = 1.0


class Progress:
    """Shows how far some work is. A context manager.

    Args:
        total: units of work; 0 shows nothing.
        label: what is being done, shown before the figures.
        stream: where to write; stderr if None.
        clock: seconds, monotonic; for tests.
    """

    def __init__(
        self,
        total: int,
        label: str,
        *,
        stream: TextIO | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.total = total
        self.label = label
        self.done = 0
        self._stream = stream if stream is not None else sys.stderr
        self._clock = clock
        self._start_s = self._said_s = clock()
        self._tenth = 0
        self._note = ""
        self._bar: tuple[Bar, TaskID] | None = None

    def __enter__(self) -> Progress:
        self._start_s = self._said_s = self._clock()
        if self.total > 0 and self._stream.isatty():
            self._bar = _bar(self._stream, self.label, self.total)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._bar is not None:
            self._bar[0].stop()
            self._bar = None

    def advance(self, n: int = 1, *, note: str = "") -> None:
        """Count `n` more units as done; `note` is shown behind the figures (e.g. a loss)."""
        self.update(self.done + n, note=note)

    def update(self, done: int, *, note: str = "") -> None:
        """Set the units done so far."""
        self.done = done
        self._note = note
        if self._bar is not None:
            bar, task = self._bar
            bar.update(task, completed=done, note=note)
        elif self.total > 0:
            self._say_line()

    def _say_line(self) -> None:
        """Write a line when a new tenth is reached, but never several a second."""
        now_s = self._clock()
        tenth = _LINES * self.done // self.total
        if tenth <= self._tenth or now_s - self._said_s < _QUIET_S:
            return
        self._tenth, self._said_s = tenth, now_s
        elapsed_s = now_s - self._start_s
        left_s = elapsed_s * max(self.total - self.done, 0) / max(self.done, 1)
        percent = 100 * self.done // self.total
        note = f", {self._note}" if self._note else ""
        print(
            f"{self.label}: {self.done}/{self.total} ({percent}%), {format_seconds(elapsed_s)} "
            f"elapsed, {format_seconds(left_s)} to go{note}",
            file=self._stream,
            flush=True,
        )


def track(items: Iterable[T], label: str, total: int | None = None) -> Iterator[T]:
    """Yield the items and show progress; `total` is needed where `items` has no length."""
    if total is None:
        total = len(items) if isinstance(items, Sized) else 0
    with Progress(total, label) as progress:
        for item in items:
            yield item
            progress.advance()


def format_seconds(seconds: float) -> str:
    """Return a duration such as `4.2 s`, `3 min 20 s` or `2 h 05 min`."""
    if seconds < 59.95:
        return f"{seconds:.1f} s"
    whole = round(seconds)
    if whole < 3600:
        return f"{whole // 60} min {whole % 60:02d} s"
    return f"{whole // 3600} h {whole % 3600 // 60:02d} min"


def _bar(stream: TextIO, label: str, total: int) -> tuple[Bar, TaskID]:
    """Start a bar on a terminal."""
    from rich.console import Console
    from rich.progress import (
        BarColumn,
        MofNCompleteColumn,
        TextColumn,
        TimeElapsedColumn,
        TimeRemainingColumn,
    )
    from rich.progress import Progress as Bar

    bar = Bar(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TextColumn("to go"),
        TimeRemainingColumn(),
        TextColumn("{task.fields[note]}"),
        console=Console(file=stream),
    )
    task = bar.add_task(label, total=total, note="")
    bar.start()
    return bar, task
