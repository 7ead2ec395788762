"""Runs that are over, from their logs: the image from which one began, its settings, its log.

Source: BEM core spec 8.1, 8.2; BEM use 2.3 (U_struct_propose of H and logs).
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from bem_kernel.errors import PatchError
from bem_kernel.ledger.chain import read_entries
from bem_kernel.memory.memory import Memory
from bem_kernel.patches.replay import Window, check_same, copied_memory, replay
from bem_kernel.runner.machine import ExpertMachine
from bem_kernel.runner.record import RunSettings
from bem_kernel.runner.trace import TRACE_KIND, Step, trace_steps


def window_from_log(memory: Memory, settings: RunSettings, log: str | Path) -> Window:
    """The run that a log tells of, as far as it follows the memory; played again to make sure.

    Args:
        memory: an image saved before or during the run; not changed.
        settings: how the machine was run.
        log: that the machine wrote.

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
    window = Window(memory, settings.config, settings.world, lengths)
    played = replay(window).trace
    check_same(played, steps[-len(played) :], f"log {log}")
    return window


def _episode(entry: Mapping[str, Any]) -> int:
    episode = entry.get("episode")
    return episode if isinstance(episode, int) else -1
