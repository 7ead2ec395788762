"""Runs that are over, from their logs: the image from which one began, its settings, its log.

Source: BEM core spec 8.1, 8.2; BEM use 2.3 (U_struct_propose of H and logs).
"""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from bem_kernel.errors import PatchError
from bem_kernel.ledger.chain import read_entries
from bem_kernel.memory.memory import Memory
from bem_kernel.patches.replay import MOST_MOMENTS, Window, check_same, copied_memory, replay
from bem_kernel.runner.layout import EPISODE_STEP, OPEN
from bem_kernel.runner.machine import ExpertMachine
from bem_kernel.runner.record import RunSettings
from bem_kernel.runner.trace import TRACE_KIND, Step, trace_steps


def window_from_log(
    memory: Memory, settings: RunSettings, log: str | Path, *, last: int = MOST_MOMENTS
) -> Window:
    """The run that a log tells of, as far as it follows the memory; played again to make sure.

    Args:
        memory: an image saved before or during the run; not changed.
        settings: how the machine was run.
        log: that the machine wrote.
        last: steps that the window is to have; what came before is run through at full speed. It
            has a few more where that ends within an episode, as policies are updated in between.

    Raises:
        LedgerError: the log cannot be read or is damaged.
        PatchError: the log has no steps after the image.
        RunnerError: the run is not of this image, these settings and this world.
    """
    begun = ExpertMachine(copied_memory(memory), settings.config).steps
    steps: list[Step] = []
    episodes: dict[int, set[int]] = {}
    for entry in read_entries(log):
        if entry.get("kind") == TRACE_KIND:
            later = [step for step in trace_steps(entry) if step.step >= begun]
            steps += later
            episodes.setdefault(_episode(entry), set()).update(step.step for step in later)
    lengths = tuple(len(numbers) for numbers in episodes.values() if numbers)
    if not lengths:
        raise PatchError(
            f"no steps from {begun} on", where=f"log {log}", fix="give an image from before the run"
        )
    window = _forwarded(memory, settings, list(lengths), sum(lengths) - last)
    played = replay(window).trace
    check_same(played, steps[-len(played) :], f"log {log}")
    return window


def _forwarded(memory: Memory, settings: RunSettings, lengths: list[int], skip: int) -> Window:
    """The window that is left when some steps have been run through."""
    twin = ExpertMachine(copied_memory(memory), settings.config)
    clock = twin.arrays.clock
    begun = twin.steps - int(clock[EPISODE_STEP]) if clock[OPEN] else 0
    while lengths[0] <= skip:
        twin.run(settings.world, begun + lengths[0])
        skip -= lengths.pop(0)
        begun = 0
    period = settings.config.learning.every  # a run stops between two updates alone
    before = twin.steps

    def stop(done: int) -> None:
        if done - begun + period > skip:
            raise _FarEnough

    if skip >= period:
        with suppress(_FarEnough):
            twin.run(settings.world, begun + lengths[0], progress=stop)
        lengths[0] -= twin.steps - before
    return Window(twin.memory, settings.config, settings.world, tuple(lengths))


class _FarEnough(Exception):  # noqa: N818  # no error
    """The steps to skip have been run."""


def _episode(entry: Mapping[str, Any]) -> int:
    episode = entry.get("episode")
    return episode if isinstance(episode, int) else -1
