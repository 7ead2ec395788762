"""Episodes: the fast path runs, the mid path learns and logs every few steps.

An episode that stops early, by an interrupt or an error, stays open, and the same call goes on with
it, in a new process too if there is an image. Learning keeps to the same steps wherever a run
stopped: rows of the trace wait in memory until their update is due.

Source: BEM core spec 7.1, 8.1, 10.1.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from bem_kernel.errors import ExpertError, RunnerError
from bem_kernel.experts.faults import expert_fault_text
from bem_kernel.runner.interrupt import deferred_interrupts
from bem_kernel.runner.layout import (
    EPISODE,
    EPISODE_LOSS_Q16,
    EPISODE_REWARD,
    EPISODE_STEP,
    ETA_Q16,
    FAULT_NO_CANDIDATE,
    HEAD,
    LITERAL,
    OPEN,
    STEP,
    TAIL,
    UPDATES,
)
from bem_kernel.runner.reward import RewardRange, reward_range
from bem_kernel.runner.trace import trace_entry
from bem_kernel.runner.world import CompiledWorld, Environment, World

if TYPE_CHECKING:
    from bem_kernel.runner.machine import ExpertMachine

RENORMALISE_EVERY = 256
"""Updates between two passes over all duals; a dual grows by less than 2**61 meanwhile."""


@dataclass(frozen=True)
class EpisodeReport:
    """What came of an episode.

    Attributes:
        episode: its number, from 1.
        steps: taken in it.
        reward: sum over steps, or over steps and lanes where each lane chooses.
        loss_q16: sum of the losses, each 0 to 65536.
    """

    episode: int
    steps: int
    reward: int
    loss_q16: int


@dataclass(frozen=True)
class Checkpoint:
    """Images on the way, so that a killed run loses little.

    Attributes:
        path: of the image, replaced each time.
        every: steps between two, rounded up to whole updates of the policy.
    """

    path: Path
    every: int


def run_episode(
    machine: ExpertMachine,
    world: World,
    steps: int,
    *,
    progress: Callable[[int], object] | None = None,
    checkpoint: Checkpoint | None = None,
) -> EpisodeReport:
    """Play an episode to its end, or go on with one that was interrupted.

    Args:
        machine: its memory changes.
        world: compiled, or an object in Python.
        steps: length of the episode, 1 or more.
        progress: called with the episode's steps after each update, as `Progress.update` likes it;
            what it raises stops the run there.
        checkpoint: where to save the machine on the way, also when the run is interrupted.

    Returns:
        Figures of the whole episode.

    Raises:
        RunnerError: there is no expert to choose, or a reward is out of range.
        ExpertError: an expert computed an address that does not exist.
        LedgerError: the log cannot be written.
    """
    if steps < 1:
        raise RunnerError(f"{steps} steps", where="run", fix="run 1 step or more")
    arrays = machine.arrays
    if isinstance(world, CompiledWorld):
        limits = reward_range(world.rewards, 1 if machine.config.each_lane else _lanes(machine))
        arrays.set_world(world.rewards, world.noise, world.expert, limits)
    else:
        arrays.set_world((), (), None, world.limits)
    clock = arrays.clock
    if not clock[OPEN]:
        _begin(machine)
    try:
        with deferred_interrupts() as check_interrupt:
            _play_on(machine, world, steps, _Watch(check_interrupt, progress, checkpoint))
    except KeyboardInterrupt:
        if checkpoint is not None:
            machine.save(checkpoint.path)
        raise
    finally:
        if machine.journal is not None:
            machine.journal.commit()
    return _end(machine)


@dataclass(frozen=True)
class _Watch:
    """What a run looks to between steps."""

    check_interrupt: Callable[[], None]
    progress: Callable[[int], object] | None
    checkpoint: Checkpoint | None


def _play_on(machine: ExpertMachine, world: World, steps: int, watch: _Watch) -> None:
    """Play until the episode has its steps."""
    clock = machine.arrays.clock
    saved = int(clock[STEP])
    while (done := int(clock[STEP] - clock[EPISODE_STEP])) < steps:
        _play(machine, world, _chunk(machine, steps - done), watch.check_interrupt)
        if watch.progress is not None:
            watch.progress(int(clock[STEP] - clock[EPISODE_STEP]))
        if watch.checkpoint is not None and clock[STEP] - saved >= watch.checkpoint.every:
            machine.save(watch.checkpoint.path)
            saved = int(clock[STEP])


def _lanes(machine: ExpertMachine) -> int:
    return machine.memory.config.lanes


def _begin(machine: ExpertMachine) -> None:
    clock = machine.arrays.clock
    clock[EPISODE] += 1
    clock[EPISODE_STEP] = clock[STEP]
    clock[EPISODE_REWARD] = clock[EPISODE_LOSS_Q16] = 0
    clock[OPEN] = 1


def _end(machine: ExpertMachine) -> EpisodeReport:
    """Close the episode: the literal rule learns now, duals are renormalised, the log notes it."""
    from bem_kernel.runner.mid_path import charge_averages

    arrays, clock = machine.arrays, machine.arrays.clock
    update(machine)
    if arrays.rates[LITERAL]:
        eta = np.int64(arrays.rates[ETA_Q16])
        charge_averages(arrays.ledger, eta, np.int64(clock[EPISODE]), arrays.key)
    _renormalise(machine)
    report = EpisodeReport(
        int(clock[EPISODE]),
        int(clock[STEP] - clock[EPISODE_STEP]),
        int(clock[EPISODE_REWARD]),
        int(clock[EPISODE_LOSS_Q16]),
    )
    if machine.journal is not None:
        entry = {"kind": "episode", "episode": report.episode, "steps": report.steps}
        entry |= {"reward": report.reward, "loss_q16": report.loss_q16}
        machine.journal.write(entry)
        machine.journal.commit()
    clock[OPEN] = 0
    return report


def _chunk(machine: ExpertMachine, left: int) -> int:
    """Steps to the next update; the same wherever a run was interrupted."""
    arrays = machine.arrays
    period = min(machine.config.learning.every, len(arrays.trace) // arrays.rows_per_step)
    return min(left, period - int(arrays.clock[STEP]) % period)


def _play(
    machine: ExpertMachine, world: World, steps: int, check_interrupt: Callable[[], None]
) -> None:
    """Take the steps up to the next update, learn from them, and let the hooks look."""
    from bem_kernel.runner.fast_path import run_steps

    if isinstance(world, CompiledWorld):
        _check_fault(machine, int(run_steps(machine.arrays.machine(), np.int64(steps))))
        check_interrupt()
    else:
        for _ in range(steps):
            _step_outside(machine, world)
            check_interrupt()
    update(machine)
    for hook in tuple(machine.hooks):
        hook(machine)


def _step_outside(machine: ExpertMachine, world: Environment) -> None:
    """One step in a world in Python."""
    from bem_kernel.runner.fast_path import act, settle, take_fingerprint

    arrays, step = machine.arrays, machine.steps
    world.prepare(machine.memory, step)
    kernels = arrays.machine()
    take_fingerprint(arrays.state, kernels[1], np.int64(arrays.words))
    _check_fault(machine, int(act(kernels)))
    arrays.rewards[: arrays.rows_per_step] = _checked_rewards(
        world.reward(machine.memory, step), arrays.rows_per_step, world.limits
    )
    settle(arrays.policy, arrays.room, kernels[6], arrays.rules)


def _checked_rewards(rewards: object, rows: int, limits: RewardRange) -> NDArray[np.int64]:
    values = np.atleast_1d(np.asarray(rewards))
    if values.shape != (rows,) or values.dtype.kind not in "iu":
        raise RunnerError(
            f"rewards are {values.dtype} of shape {values.shape}",
            where="environment",
            fix=f"return {'one integer' if rows == 1 else f'{rows} integers, one per lane'}",
        )
    if values.min() < limits.least or values.max() > limits.greatest:
        raise RunnerError(
            f"rewards from {values.min()} to {values.max()}",
            where="environment",
            fix=f"stay within its limits, {limits.least} to {limits.greatest}",
        )
    return values.astype(np.int64)


def update(machine: ExpertMachine) -> None:
    """The mid path: log the rows that wait, learn from them, free them."""
    from bem_kernel.runner.mid_path import learn

    arrays, clock = machine.arrays, machine.arrays.clock
    if clock[HEAD] == clock[TAIL]:
        return
    if machine.journal is not None:
        numbers = np.arange(clock[TAIL], clock[HEAD])
        rows = arrays.trace[numbers % len(arrays.trace)]
        machine.journal.write(trace_entry(int(clock[EPISODE]), int(clock[TAIL]), rows))
    learn(arrays.ledger, arrays.trace, clock, arrays.rates, arrays.key)
    if clock[UPDATES] % RENORMALISE_EVERY == 0:
        _renormalise(machine)
        machine.table.heat()


def _renormalise(machine: ExpertMachine) -> None:
    from bem_kernel.runner.mid_path import renormalise

    table = machine.table
    renormalise(table.duals_q16, table.live, np.int64(table.high_slot))


def _check_fault(machine: ExpertMachine, fault: int) -> None:
    if fault == 0:
        return
    if fault == FAULT_NO_CANDIDATE:
        raise RunnerError("there is no expert to choose", where="run", fix="add experts")
    slot = machine.table.scratch.fault_slot
    identifier = int(machine.table.slots.identifiers[slot])
    raise ExpertError(
        expert_fault_text(fault, slot),
        where=f"run: step {machine.steps}: expert {machine.table.expert(identifier).name}",
        fix="keep the fields its addresses read in range",
    )
