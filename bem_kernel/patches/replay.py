"""A stretch of a run, played again step by step: what was seen, chosen and earned.

Runs are deterministic, so a copy of the memory as it was when the stretch began is all that is
kept while the machine goes on. The log holds a fingerprint of the state before each step, by which
a replay is told from a run in another world.

Source: BEM core spec 7.1, 8.1, 8.2.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from bem_kernel.errors import ExpertError, RunnerError
from bem_kernel.experts.faults import expert_fault_text
from bem_kernel.lanes import Planes, Word, unpack_bits
from bem_kernel.memory.memory import Memory
from bem_kernel.memory.segments import Segment
from bem_kernel.runner.arrays import RunnerArrays
from bem_kernel.runner.config import RunnerConfig
from bem_kernel.runner.layout import EPISODE_STEP, HEAD, OPEN, STEP, T_REWARD, TOTAL_LOSS_Q16
from bem_kernel.runner.machine import ExpertMachine
from bem_kernel.runner.reward import LaneReward, RewardRange, encode_reward, reward_range
from bem_kernel.runner.trace import Step, trace_entry, trace_steps
from bem_kernel.runner.world import CompiledWorld, Environment, World

MOST_MOMENTS = 4096
"""Steps that a playback keeps the state of, the last ones."""


@dataclass(frozen=True)
class Window:
    """A stretch of a run.

    Attributes:
        memory: a copy of the machine's, as it was when the stretch began; not changed.
        config: the machine's.
        world: in which it ran. A world in Python has to be a function of memory and step.
        episodes: steps of each episode of the stretch; the first may have begun before it, and
            its steps are those within the stretch, 0 if it only had to be closed.
        end: what `end_of` says of the machine when the stretch ended; None: not known.
    """

    memory: Memory
    config: RunnerConfig
    world: World
    episodes: tuple[int, ...]
    end: tuple[int, int] | None = None


@dataclass(frozen=True, eq=False)
class Moment:
    """A step, with all that it depended on.

    Attributes:
        planes: (N, words) uint64, the state when the choice was made.
        shared: (K / 64,) uint64, M at that time.
        choices: one step for all lanes, or one for each.
    """

    planes: Planes
    shared: Word
    choices: tuple[Step, ...]

    @property
    def step(self) -> int:
        """Its number, from the machine's beginning."""
        return self.choices[0].step

    @property
    def reward(self) -> int:
        """Of all lanes."""
        return sum(choice.reward for choice in self.choices)


@dataclass(frozen=True, eq=False)
class Playback:
    """A stretch that was played again.

    Attributes:
        machine: a twin of the machine, as it was at the end of the stretch; to be played with.
        world: as the twin meets it.
        moments: its steps, the last `MOST_MOMENTS` of them.
        limits: the rewards that a row of the trace may have.
    """

    machine: ExpertMachine
    world: Environment
    moments: tuple[Moment, ...]
    limits: RewardRange

    @property
    def trace(self) -> tuple[Step, ...]:
        """τ: all choices, in order."""
        return tuple(choice for moment in self.moments for choice in moment.choices)

    @property
    def loss_q16(self) -> int:
        """The mean loss of a choice, Q16."""
        rows = self.trace
        lost = sum(self.limits.greatest - row.reward for row in rows)
        return (lost << 16) // (max(1, len(rows)) * (self.limits.greatest - self.limits.least))


def window_from(machine: ExpertMachine, world: World, episodes: Sequence[int]) -> Window:
    """The stretch that a machine is about to run, or has run since its memory was copied.

    Args:
        machine: as it is when the stretch begins.
        world: in which it runs.
        episodes: steps of each episode; see `Window`.
    """
    return Window(copied_memory(machine.memory), machine.config, world, tuple(episodes))


def copied_memory(memory: Memory) -> Memory:
    """All of a memory, in another."""
    twin = Memory(memory.config)
    for region in memory.directory()[len(twin.directory()) :]:
        twin.allocate(
            region.segment, region.name, region.dtype, region.shape, protected=region.protected
        )
    for segment in Segment:
        used = memory.used_words(segment)
        twin.words(segment)[:used] = memory.words(segment)[:used]
    return twin


def replay(window: Window, machine: ExpertMachine | None = None) -> Playback:
    """Play a stretch again.

    Args:
        window: of the run.
        machine: to play it with, at the window's beginning; None: as the run had it. With another
            structure the playback shows what would have been.

    Raises:
        RunnerError: the run ended otherwise, so it was in another world.
        KernelError: the memory is no machine's, or the machine stops on the way.
    """
    twin = machine or twin_of(window)
    recorder = _Recorder(twin, window.world)
    clock = twin.arrays.clock
    begun = int(clock[STEP] - clock[EPISODE_STEP]) if clock[OPEN] else 0
    for count, steps in enumerate(window.episodes):
        twin.run(recorder, steps + (begun if count == 0 else 0))
    if machine is None and window.end not in (None, end_of(twin)):
        raise RunnerError(
            "the run went otherwise when played again",
            where="replay",
            fix="give the world of the run; one in Python has to be a function of memory and step",
        )
    return Playback(twin, recorder.world, tuple(recorder.moments), recorder.limits)


def end_of(machine: ExpertMachine) -> tuple[int, int]:
    """All losses so far, and a fingerprint of the state: what tells the ends of runs apart."""
    from bem_kernel.experts.batch import fingerprint_planes

    arrays = machine.arrays
    fingerprint = fingerprint_planes(arrays.state[0], np.int64(arrays.words))
    return int(arrays.clock[TOTAL_LOSS_Q16]), int(fingerprint)


def twin_of(window: Window) -> ExpertMachine:
    """A machine as it was when a stretch began, with a memory of its own and no log."""
    return ExpertMachine(copied_memory(window.memory), window.config)


def check_same(played: Sequence[Step], logged: Sequence[Step], where: str) -> None:
    """Refuse a replay that did not go as the run went.

    Args:
        played: choices of the replay.
        logged: choices of the run, the same steps.
        where: the log, for messages.

    Raises:
        RunnerError: they differ; the message names the first step that does.
    """
    for own, other in zip(played, logged, strict=False):
        if own != other:
            names = [name for name in Step.__slots__ if getattr(own, name) != getattr(other, name)]
            raise RunnerError(
                f"step {other.step} had another {' and '.join(names)} when played again",
                where=where,
                fix="give the image, the settings and the world of that run",
            )
    if len(played) != len(logged):
        raise RunnerError(
            f"{len(logged)} choices, the replay made {len(played)}",
            where=where,
            fix="give the image from which the run began",
        )


def _from_outside(machine: ExpertMachine, world: World) -> Environment:
    if isinstance(world, CompiledWorld):
        return CompiledFromOutside(machine, world)
    return world


class CompiledFromOutside:
    """A compiled world as an environment: the same, one step at a time.

    Args:
        machine: that runs in it.
        world: compiled.
    """

    def __init__(self, machine: ExpertMachine, world: CompiledWorld) -> None:
        self._machine = machine
        self._world = world
        sizes = machine.memory.config
        self._limits = reward_range(world.rewards, 1 if machine.config.each_lane else sizes.lanes)
        self._rewards = encode_reward(world.rewards, sizes.n_bits, sizes.n_shared_bits)
        self._noise = np.array(world.noise, dtype=np.int64)

    @property
    def limits(self) -> RewardRange:
        """The rewards that follow from the weights."""
        return self._limits

    def prepare(self, memory: Memory, step: int) -> None:
        """Fill the noise bits."""
        from bem_kernel.runner.fast_path import add_noise

        arrays = self._machine.arrays
        scratch = self._machine.table.scratch.arrays
        words, now = np.int64(arrays.words), np.int64(step)
        add_noise(arrays.state, self._noise, words, now, arrays.key, scratch)

    def reward(self, memory: Memory, step: int) -> list[int]:
        """Run the world's expert and read the rewards off."""
        from bem_kernel.experts.batch import apply_expert
        from bem_kernel.runner.fast_path import measure

        arrays, table = self._machine.arrays, self._machine.table
        if self._world.expert is not None:
            slot = table.slots.slot(self._world.expert)
            planes, shared, active = arrays.state
            fault = apply_expert(
                table.arrays,
                np.int64(slot),
                planes,
                np.int64(arrays.words),
                shared,
                active,
                table.scratch.arrays,
            )
            if fault != 0:
                raise ExpertError(
                    expert_fault_text(int(fault), slot),
                    where=f"replay: step {step}: the world's expert",
                    fix="keep the fields its addresses read in range",
                )
        measure(arrays.state, self._rewards, arrays.room, arrays.rules)
        return [int(reward) for reward in arrays.rewards[: arrays.rows_per_step]]

    @property
    def is_separable(self) -> bool:
        """Whether what a lane earns depends on that lane alone."""
        table, judge = self._machine.table, self._world.expert
        shares = judge is not None and table.expert(judge).uses_shared
        return not shares and all(isinstance(term, LaneReward) for term in self._world.rewards)

    def lane_rewards(self, memory: Memory) -> NDArray[np.int64]:
        """(lanes,) int64: what each lane has earned by itself, once the world's expert has run."""
        lanes = memory.config.lanes
        total = np.zeros(lanes, dtype=np.int64)
        for term in self._world.rewards:
            if isinstance(term, LaneReward):
                total += term.weight * unpack_bits(memory.planes[[term.bit]], lanes)[:, 0]
        return total


class _Recorder:
    """An environment that notes what happens in another."""

    def __init__(self, machine: ExpertMachine, world: World) -> None:
        self._machine = machine
        self.world: Environment = _from_outside(machine, world)
        self.moments: deque[Moment] = deque(maxlen=MOST_MOMENTS)
        self._before: tuple[Planes, Word] | None = None

    @property
    def limits(self) -> RewardRange:
        return self.world.limits

    def prepare(self, memory: Memory, step: int) -> None:
        self.world.prepare(memory, step)
        self._before = (memory.planes.copy(), memory.shared_bits.copy())

    def reward(self, memory: Memory, step: int) -> list[int]:
        assert self._before is not None
        planes, shared = self._before
        rewards = [int(each) for each in np.atleast_1d(self.world.reward(memory, step))]
        self.moments.append(Moment(planes, shared, _choices(self._machine.arrays, rewards)))
        return rewards


def _choices(arrays: RunnerArrays, rewards: Sequence[int]) -> tuple[Step, ...]:
    """The step that was just taken, as the trace has it, with its rewards."""
    head = int(arrays.clock[HEAD])
    numbers = np.arange(head, head + arrays.rows_per_step) % len(arrays.trace)
    rows = arrays.trace[numbers]
    if len(rewards) == len(rows):  # an environment that gives others is refused by the run itself
        rows[:, T_REWARD] = rewards
    return trace_steps(trace_entry(0, head, rows))
