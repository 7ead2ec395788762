"""Runs played again: the same run, and a world that was another one."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from bem_kernel.circuits.circuit import Circuit
from bem_kernel.errors import ExpertError, RunnerError
from bem_kernel.experts.expert import Expert
from bem_kernel.experts.place import Field, Place, Scatter, Space
from bem_kernel.ledger.chain import Ledger
from bem_kernel.memory.configuration import MachineConfig
from bem_kernel.memory.memory import Memory
from bem_kernel.memory.segments import Segment
from bem_kernel.patches.replay import check_same, end_of, replay, twin_of, window_from
from bem_kernel.runner.config import RunnerConfig
from bem_kernel.runner.machine import ExpertMachine
from bem_kernel.runner.reward import FieldReward, LaneReward, RewardRange
from bem_kernel.runner.trace import read_steps
from bem_kernel.runner.world import CompiledWorld

JUDGE = {"right": "said & asked & known | !said & !(asked & known)"}


def new_machine(log: Ledger | None = None, *, lanes: int = 70, each: bool = False) -> ExpertMachine:
    memory = Memory(MachineConfig(n_bits=4, n_shared_bits=64, lanes=lanes, max_experts=16))
    config = RunnerConfig(each_lane=each)
    machine = ExpertMachine(memory, config, bits=("asked", "known", "said", "right"), log=log)
    machine.define("careful", {"said": "asked & known"})
    machine.define("chatty", {"said": "asked"})
    machine.define("judge", JUDGE, findable=False)
    return machine


def judged(machine: ExpertMachine) -> CompiledWorld:
    return CompiledWorld((LaneReward(3),), noise=(0, 1), expert=machine.table.find("judge"))


@pytest.mark.parametrize("each", [False, True])
def test_a_replay_is_the_run(tmp_path: Path, each: bool) -> None:
    log = Ledger(tmp_path / "run.log", sync="batch")
    machine = new_machine(log, each=each)
    world = judged(machine)
    machine.run(world, 100)
    window = window_from(machine, world, (90, 30))
    logged = len(list(read_steps(log.path)))
    reports = [machine.run(world, 90), machine.run(world, 30)]
    playback = replay(replace(window, end=end_of(machine)))
    check_same(playback.trace, list(read_steps(log.path))[logged:], "log")
    assert [moment.step for moment in playback.moments] == list(range(100, 220))
    assert (playback.machine.memory.planes == machine.memory.planes).all()
    lost = sum(report.loss_q16 for report in reports)
    assert abs(playback.loss_q16 - lost // len(playback.trace)) <= 1
    rewards = sum(moment.reward for moment in playback.moments)
    assert rewards == sum(report.reward for report in reports)
    assert (
        int(window.memory.region(Segment.SHARED, "runner.clock")[0]) == 100
    )  # the copy is untouched


def test_a_replay_in_another_world_is_refused(tmp_path: Path) -> None:
    log = Ledger(tmp_path / "run.log", sync="batch")
    machine = new_machine(log)
    world = judged(machine)
    other = replace(world, noise=(1, 0))
    window = window_from(machine, other, (50,))
    machine.run(world, 50)
    with pytest.raises(RunnerError, match="went otherwise when played again; give the world"):
        replay(replace(window, end=end_of(machine)))
    played, logged = replay(window).trace, list(read_steps(log.path))
    with pytest.raises(RunnerError, match="log: step 0 had another state when played"):
        check_same(played, logged, "log")
    with pytest.raises(RunnerError, match="50 choices, the replay made 49; give the image"):
        check_same(logged[:-1], logged, "log")


def test_a_world_in_python_is_asked_again() -> None:
    class Echo:
        limits = RewardRange(0, 1)

        def prepare(self, memory: Memory, step: int) -> None:
            memory.planes[0, 0] = np.uint64(step % 3 == 0)

        def reward(self, memory: Memory, step: int) -> int:
            return int(memory.planes[2, 0] == memory.planes[0, 0])

    machine = new_machine(lanes=1)
    window = window_from(machine, Echo(), (40,))
    machine.run(Echo(), 40)
    playback = replay(replace(window, end=end_of(machine)))
    assert [int(moment.planes[0, 0]) for moment in playback.moments[:4]] == [1, 0, 0, 1]


def test_a_stretch_may_begin_within_an_episode() -> None:
    machine = new_machine()
    world = judged(machine)
    taken = []

    def look(machine: ExpertMachine) -> None:
        if machine.steps == 64:
            taken.append(window_from(machine, world, (36, 20)))

    machine.hooks.append(look)
    machine.run(world, 100)
    machine.run(world, 20)
    playback = replay(replace(taken[0], end=end_of(machine)))
    assert len(playback.moments) == 56


def test_faults_of_the_world_stop_a_replay_with_a_message() -> None:
    memory = Memory(MachineConfig(n_bits=4, n_shared_bits=64, lanes=1, max_experts=16))
    machine = ExpertMachine(memory)
    machine.add(Expert("still", (), Circuit(0, (), ()), ()))
    wild = Place(Space.SHARED, 60, ((Field(0, 8), 1),))
    world = machine.add(
        Expert("wild", (0,), Circuit(1, (), (0,)), (), scatters=(Scatter(wild, None),)),
        findable=False,
    )
    window = window_from(machine, CompiledWorld((FieldReward(Field(0, 8)),), (), world), (5,))
    twin = twin_of(window)
    twin.memory.shared_bits[0] = np.uint64(200)
    with pytest.raises(ExpertError, match="replay: step 0: the world's expert: .*does not exist"):
        replay(window, twin)
