"""Experts with conditions and the policy: who is a candidate where."""

from __future__ import annotations

import numpy as np

from bem_kernel.experts.expert import Condition, Expert, expert_from_expressions
from bem_kernel.memory.configuration import MachineConfig
from bem_kernel.memory.memory import Memory
from bem_kernel.runner.config import RunnerConfig
from bem_kernel.runner.machine import ExpertMachine
from bem_kernel.runner.reward import LaneReward
from bem_kernel.runner.world import CompiledWorld

BITS = {"case": 0, "said": 1, "right": 2}
ONE_Q30 = 1 << 30


def gated(value: bool, text: str) -> Expert:
    expert = expert_from_expressions(f"at {int(value)}", {"said": text}, BITS)
    return Expert(
        expert.name,
        expert.reads,
        expert.circuit,
        expert.writes,
        condition=Condition(BITS["case"], value),
    )


def run(lanes: int, *, each_lane: bool, steps: int = 200) -> tuple[ExpertMachine, int]:
    """Two experts, each right wherever it applies; the loss of 200 steps."""
    memory = Memory(MachineConfig(n_bits=3, lanes=lanes, max_experts=8))
    machine = ExpertMachine(memory, RunnerConfig(each_lane=each_lane), bits=tuple(BITS))
    machine.add(gated(False, "false"))
    machine.add(gated(True, "true"))
    judge = machine.define("judge", {"right": "!(said ^ case)"}, findable=False)
    report = machine.run(CompiledWorld((LaneReward(2),), noise=(0,), expert=judge), steps)
    return machine, report.loss_q16


def test_lanes_choose_among_the_experts_that_apply_there() -> None:
    machine, loss_q16 = run(70, each_lane=True)
    assert loss_q16 == 0
    assert (machine.arrays.trace[:100, 5] == ONE_Q30).all()  # there was no other choice
    assert {standing.visits > 5000 for standing in machine.standings()} == {True}


def test_a_choice_for_all_lanes_is_of_an_expert_that_applies_in_some() -> None:
    assert run(1, each_lane=False)[1] == 0
    machine, loss_q16 = run(64, each_lane=False)
    assert loss_q16 > 0  # either leaves lanes as they were
    chances = machine.arrays.trace[:100, 5]
    assert (chances < ONE_Q30).all()


def test_where_none_applies_all_are_candidates_and_nothing_happens() -> None:
    memory = Memory(MachineConfig(n_bits=3, lanes=1, max_experts=8))
    machine = ExpertMachine(memory, bits=tuple(BITS))
    for _ in range(2):
        machine.add(gated(True, "true"))
    machine.run(CompiledWorld((LaneReward(1),)), 10)
    assert not memory.planes.any()
    assert np.isin(machine.arrays.trace[:10, 5], [ONE_Q30 >> 1]).all()
