"""How long does a step of the fast path take, and does it stay so over a long episode?

A step observes 24 bits, asks the ANN unit for the 8 nearest of 10,000 experts, samples one by its
weight, applies its 64 gates to 64 lanes, reads the reward, counts and records. The world is
compiled; the mid path learns every 64 steps, and its time is in these figures.
"""

from __future__ import annotations

import contextlib
import time
from random import Random
from typing import TYPE_CHECKING

from benchmarks.frame import Context, Measured, row

if TYPE_CHECKING:
    from bem_kernel.runner.machine import ExpertMachine
    from bem_kernel.runner.world import CompiledWorld

N_EXPERTS, N_GATES, LANES, N_BITS = 10_000, 64, 64, 256
LIMIT_S = 10e-6
SHORT, LONG, LONG_FULL = 1_000, 1_000_000, 10_000_000
WINDOW, PAIRS = 896, 100  # steps timed at a time, whole updates of 64


@row("machine.fast_path_step", peer_name="limit", unit="s", target=1.0, better="less")
def fast_path_step(context: Context) -> Measured:
    """One step, on average over an episode of 20,000."""
    machine, world = _machine(context)
    steps = 20_000
    machine.run(world, SHORT)
    ours = []
    for _ in range(9):
        start_s = time.perf_counter()
        machine.run(world, steps)
        ours.append((time.perf_counter() - start_s) / steps)
    return Measured(ours, [LIMIT_S] * len(ours))


@row(
    "machine.fast_path_long_episode",
    peer_name="a step of an episode of 1e3",
    unit="s",
    target=1 / 1.05,
    better="less",
)
def fast_path_long_episode(context: Context) -> Measured:
    """A step at the end of an episode of 1e6 (1e7 with --full) against one of an episode of 1e3.

    Two equal machines take turns: one is at the end of its long episode, the other plays a short
    one each time. The same number of steps is timed inside either.
    """
    steps = LONG_FULL if context.full else LONG
    (long, world), (short, _) = _machine(context), _machine(context)
    _play(long, world, steps, steps - (PAIRS + 1) * 1024)
    short.run(world, SHORT)
    ours, peer = [], []
    for i in range(PAIRS):
        until = steps - (PAIRS - i) * 1024
        if i % 2:
            ours.append(_play(long, world, steps, until))
        peer.append(_play(short, world, SHORT, SHORT))
        if not i % 2:
            ours.append(_play(long, world, steps, until))
    return Measured(ours, peer)


class _PauseError(Exception):
    """Stops a run, whose episode stays open."""


def _play(machine: ExpertMachine, world: CompiledWorld, steps: int, until: int) -> float:
    """Go on with an episode until a step, or its end; seconds per step of a window in it."""
    marks: list[tuple[int, float]] = []

    def mark(done: int) -> None:
        if not marks or done - marks[0][0] <= WINDOW:
            marks[1:] = [(done, time.perf_counter())]
            marks[:1] = marks[:1] or marks[1:]
        if until <= done < steps:
            raise _PauseError

    with contextlib.suppress(_PauseError):
        machine.run(world, steps, progress=mark)
    (first, start_s), (last, end_s) = marks[0], marks[-1]
    return (end_s - start_s) / max(last - first, 1)


def _machine(context: Context) -> tuple[ExpertMachine, CompiledWorld]:
    """A machine with 10,000 experts of random circuits, and a world that rewards one bit."""
    from bem_kernel.circuits.random_circuit import random_circuit
    from bem_kernel.experts.expert import Expert
    from bem_kernel.experts.place import Field
    from bem_kernel.memory.configuration import MachineConfig
    from bem_kernel.memory.memory import Memory
    from bem_kernel.runner.config import RunnerConfig
    from bem_kernel.runner.machine import ExpertMachine
    from bem_kernel.runner.observation import StateTap, shared_field
    from bem_kernel.runner.reward import LaneReward
    from bem_kernel.runner.world import CompiledWorld

    random = Random(context.seed)
    sizes = MachineConfig(
        n_bits=N_BITS,
        n_shared_bits=1024,
        lanes=LANES,
        max_experts=N_EXPERTS,
        expert_words=1 << 22,
        shared_words=1 << 18,
    )
    taps = (*(StateTap(bit) for bit in range(16)), shared_field(Field(0, 8)))
    machine = ExpertMachine(Memory(sizes), RunnerConfig(observation=taps))
    circuits = [random_circuit(random, 16, N_GATES, 8) for _ in range(64)]
    for i in range(N_EXPERTS):
        reads = tuple(random.sample(range(N_BITS), 16))
        writes = tuple(random.sample(range(N_BITS), 8))
        machine.add(Expert(f"expert {i}", reads, circuits[i % len(circuits)], writes))
    return machine, CompiledWorld((LaneReward(5),), noise=(0, 1, 2, 3))
