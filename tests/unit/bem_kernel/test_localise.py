"""Which steps of a trace matter: three localisers, on traces made up and on runs."""

from __future__ import annotations

import pytest

from bem_kernel.errors import PatchError
from bem_kernel.memory.configuration import MachineConfig
from bem_kernel.memory.memory import Memory
from bem_kernel.patches.localise import (
    Suspect,
    counterfactual,
    largest_td_errors,
    last_steps,
    localise,
)
from bem_kernel.patches.replay import Playback, replay, window_from
from bem_kernel.patches.trials import Laboratory
from bem_kernel.runner.config import RunnerConfig
from bem_kernel.runner.machine import ExpertMachine
from bem_kernel.runner.reward import LaneReward, RewardRange
from bem_kernel.runner.trace import Step
from bem_kernel.runner.world import CompiledWorld

LIMITS = RewardRange(0, 4)


def trace(rewards: list[int], experts: list[int], lane: int | None = None) -> list[Step]:
    rows = zip(rewards, experts, strict=True)
    return [Step(10 + i, lane, 0, expert, 1, reward, 0) for i, (reward, expert) in enumerate(rows)]


def test_the_last_steps() -> None:
    rows = trace([0, 1, 2], [1, 1, 1])
    assert last_steps(rows, 2) == (Suspect(12, 3), Suspect(11, 2))
    assert len(last_steps(rows, 9)) == 3
    lanes = [*trace([0, 1], [1, 1], 0), *trace([0, 1], [1, 1], 1)]
    assert [suspect.step for suspect in last_steps(lanes, 5)] == [11, 10]
    with pytest.raises(PatchError, match="localise: 0 steps; ask for 1 or more"):
        last_steps(rows, 0)


def test_errors_are_taken_against_what_an_expert_leads_to_expect() -> None:
    """A bad reward from an expert that is always bad is no news; one from a good expert is."""
    rows = trace([4, 0] * 40 + [0, 0], [1, 2] * 40 + [1, 2])
    worst = largest_td_errors(rows, 3, LIMITS)
    assert worst[0].step == 90 and worst[0].impact > 50_000
    assert all(suspect.impact < 12_000 for suspect in worst[1:])


def test_with_a_discount_the_step_that_led_to_a_loss_is_blamed() -> None:
    """Expert 3 earns nothing itself, and is followed by one that earns nothing either."""
    rewards, experts = [4, 4, 0, 0] * 40, [1, 1, 3, 2] * 40
    near = largest_td_errors(trace(rewards, experts), 200, LIMITS)
    far = largest_td_errors(trace(rewards, experts), 200, LIMITS, discount_q16=1 << 15)
    assert all(suspect.impact < 6_000 for suspect in near[40:])
    blamed = {(suspect.step - 10) % 4 for suspect in far[:30]}
    assert 1 in blamed  # the choice after which expert 3 had its turn


def test_lanes_have_trajectories_of_their_own() -> None:
    mixed = [
        step
        for pair in zip(trace([4] * 50, [1] * 50, 0), trace([0] * 50, [2] * 50, 1), strict=True)
        for step in pair
    ]
    apart = largest_td_errors(mixed, 50, LIMITS, discount_q16=1 << 15)
    assert apart[0].impact < 1 << 16


def played(*, lanes: int = 1, steps: int = 40, terms: tuple[LaneReward, ...] = ()) -> Playback:
    """A machine that says what is asked, and should have said the opposite where x is 1."""
    memory = Memory(MachineConfig(n_bits=4, lanes=lanes, max_experts=8))
    machine = ExpertMachine(memory, RunnerConfig(), bits=("asked", "x", "said", "right"))
    machine.define("echo", {"said": "asked"})
    judge = machine.define("judge", {"right": "!(said ^ asked ^ x)"}, findable=False)
    world = CompiledWorld(terms or (LaneReward(3, 2),), noise=(0, 1), expert=judge)
    window = window_from(machine, world, (steps,))
    machine.run(world, steps)
    return replay(window)


@pytest.mark.parametrize("lanes", [1, 64, 70])
def test_trials_say_which_output_should_have_been_another(lanes: int) -> None:
    playback = played(lanes=lanes)
    laboratory = Laboratory(playback)
    for moment in playback.moments[:5]:
        (trials,) = laboratory.invert_outputs(moment).values()
        assert trials.bits.shape == (lanes, 4) and trials.gains.shape == (lanes, 1)
        assert (trials.gains[:, 0] == [2 if x else -2 for x in trials.bits[:, 1]]).all()


def test_where_lanes_share_a_reward_they_are_tried_one_by_one() -> None:
    playback = played(lanes=40)
    laboratory = Laboratory(playback, horizon=2)  # what lanes do later depends on lane 0
    moment = playback.moments[3]
    (trials,) = laboratory.invert_outputs(moment).values()
    assert trials.bits.shape == (16, 4)
    assert (trials.gains[:, 0] == [2 if x else -2 for x in trials.bits[:, 1]]).all()


def test_counterfactual_replay_finds_the_steps_that_cost() -> None:
    playback = played()
    wrong = {moment.step for moment in playback.moments if moment.reward == 0}
    found = counterfactual(Laboratory(playback), range(40), 40)
    assert {suspect.step for suspect in found} == wrong and 0 < len(wrong) < 40
    assert {suspect.impact for suspect in found} == {2}
    assert counterfactual(Laboratory(played()), [999], 3) == ()
    few = localise(Laboratory(played()), 8)
    assert len(few) <= 8 and {suspect.step for suspect in few} <= wrong


def test_another_expert_may_have_been_the_better_choice() -> None:
    memory = Memory(MachineConfig(n_bits=3, lanes=1, max_experts=8))
    machine = ExpertMachine(memory, RunnerConfig(), bits=("asked", "said", "right"))
    right = machine.define("right", {"said": "asked"})
    wrong = machine.define("wrong", {"said": "!asked"})
    judge = machine.define("judge", {"right": "!(said ^ asked)"}, findable=False)
    world = CompiledWorld((LaneReward(2, 5),), noise=(0,), expert=judge)
    window = window_from(machine, world, (10,))
    machine.run(world, 10)
    playback = replay(window)
    laboratory = Laboratory(playback)
    for moment in playback.moments:
        chosen = moment.choices[0].expert
        other, gain = (wrong, -5) if chosen == right else (right, 5)
        assert laboratory.swap_experts(moment) == {other: gain}
