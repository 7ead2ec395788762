"""A bound on the work that one schema may cause.

A short schema can mean very much work: languages whose derivatives do not end, alternatives times
names times keys. What compiles a schema spends steps, and is refused when they are used up; so the
answer does not depend on how fast the machine is. What is remembered between schemas grows with the
steps, so it is forgotten from time to time.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from bb_domains.errors import LowerError

MOST_STEPS = 300_000
"""A few seconds; the largest schemas of MaskBench take a quarter of it."""

_MOST_REMEMBERED = 2_000_000
_clearing: list[Callable[[], None]] = []
_lock = threading.Lock()
_remembered = 0


class _Left(threading.local):
    steps: int | None = None


_left = _Left()


@contextmanager
def bounded(steps: int = MOST_STEPS) -> Iterator[None]:
    """Bound the work of this thread inside the block."""
    before, _left.steps = _left.steps, steps
    try:
        yield
    finally:
        spent, _left.steps = steps - max(0, _left.steps or 0), before
        _forget_after(spent)


def spend(steps: int = 1) -> None:
    """Take steps from what is left; outside of `bounded` there is no end of them.

    Raises:
        LowerError: none are left.
    """
    if _left.steps is None:
        return
    _left.steps -= steps
    if _left.steps < 0:
        raise LowerError("is too much work", where="/", fix="simplify the schema")


def steps_left() -> int:
    """What `spend` may still take inside of `bounded`, else 0."""
    return max(0, _left.steps or 0)


def forgotten_with(*clear: Callable[[], None]) -> None:
    """Name caches whose size grows with the steps."""
    _clearing.extend(clear)


def _forget_after(steps: int) -> None:
    global _remembered
    with _lock:
        _remembered += steps
        if _remembered <= _MOST_REMEMBERED:
            return
        _remembered = 0
    for clear in _clearing:
        clear()
