"""The machine as a whole: experts, worlds, learning, logs, images, interrupts."""

from __future__ import annotations

import signal
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from bem_kernel.circuits.circuit import Circuit
from bem_kernel.errors import ExpertError, IdentifierError, KernelError, RunnerError
from bem_kernel.experts.expert import Expert
from bem_kernel.experts.place import Field, Place, Scatter, Space, write_field
from bem_kernel.experts.table import ExpertTable
from bem_kernel.lanes import pack_lanes
from bem_kernel.ledger.chain import Ledger, read_entries
from bem_kernel.memory.configuration import MachineConfig
from bem_kernel.memory.image import load_image
from bem_kernel.memory.memory import Memory
from bem_kernel.memory.segments import Segment
from bem_kernel.patches.apply import apply
from bem_kernel.patches.certificate import certify, evidence_for
from bem_kernel.patches.formula import Obligation
from bem_kernel.patches.obligations import obligations
from bem_kernel.patches.patch import Patch
from bem_kernel.patches.propose import propose_remap, propose_retire
from bem_kernel.patches.verify import Proved, prove, verify
from bem_kernel.runner.config import RunnerConfig
from bem_kernel.runner.episode import Checkpoint
from bem_kernel.runner.layout import HEAD, STEP, T_SLOT, TAIL
from bem_kernel.runner.learning import Learning, learning_for
from bem_kernel.runner.machine import ExpertMachine
from bem_kernel.runner.observation import StateTap
from bem_kernel.runner.reward import LaneReward, RewardRange
from bem_kernel.runner.slow_path import SlowPath
from bem_kernel.runner.trace import read_steps
from bem_kernel.runner.world import CompiledWorld

BITS = ("asked", "known", "said", "right")
JUDGE = {"right": "said & asked & known | !said & !(asked & known)"}


def new_machine(
    config: RunnerConfig | None = None, *, lanes: int = 64, log: Ledger | None = None
) -> ExpertMachine:
    """The machine of the tutorial."""
    memory = Memory(MachineConfig(n_bits=4, n_shared_bits=64, lanes=lanes, max_experts=16))
    machine = ExpertMachine(memory, config, bits=BITS, log=log)
    machine.define("careful", {"said": "asked & known"})
    machine.define("chatty", {"said": "asked"})
    machine.define("judge", JUDGE, findable=False)
    return machine


def judged(machine: ExpertMachine) -> CompiledWorld:
    return CompiledWorld((LaneReward(3),), noise=(0, 1), expert=machine.table.find("judge"))


def everything(machine: ExpertMachine) -> list[int]:
    """All words of the memory."""
    return machine.memory.arrays.words.tolist()


class Quiz:
    """A world in Python: says what was asked, and marks the answer."""

    limits = RewardRange(0, 2)

    def __init__(self, answers: Sequence[int] = (3, 1, 0, 2), fail_at: int = -1) -> None:
        self.answers = answers
        self.fail_at = fail_at
        self.seen: list[int] = []

    def prepare(self, memory: Memory, step: int) -> None:
        memory.planes[:2] = pack_lanes(np.array([self.answers[step % 4]], dtype=np.uint64), 2)

    def reward(self, memory: Memory, step: int) -> int:
        if step == self.fail_at:
            self.fail_at = -1
            raise OSError("the pupil has left")
        said, due = int(memory.planes[2, 0]) & 1, self.answers[step % 4] == 3
        self.seen.append(step)
        return 2 * (said == due)


def test_the_policy_finds_out_which_expert_is_right() -> None:
    machine = new_machine()
    report = machine.run(judged(machine), 2000)
    best, other = machine.standings()
    assert (best.name, other.name) == ("careful", "chatty")
    assert best.visits + other.visits == report.steps == 2000
    assert other.visits < 150 and best.wins == best.visits
    assert best.weight_q16 == 65536 > 655 > other.weight_q16
    assert report.reward > 0.98 * 64 * 2000
    assert 0 < machine.regret_q16() < 30 * 65536


def test_the_literal_rule_learns_between_episodes() -> None:
    machine = new_machine(RunnerConfig(learning=Learning(1 << 17, "literal")))
    world = judged(machine)
    machine.run(world, 100)
    first = machine.standings()
    # The averages are near 0 and 1/4, times two octaves: once in an episode, not a hundred times.
    assert [standing.name for standing in first] == ["careful", "chatty"]
    assert 0.6 < first[1].weight_q16 / 65536 < 0.8
    for _ in range(20):
        machine.run(world, 100)
    assert machine.standings()[1].weight_q16 < 655


def test_with_a_rate_of_zero_nothing_is_learned() -> None:
    machine = new_machine(RunnerConfig(learning=Learning(0)))
    machine.run(judged(machine), 500)
    assert [standing.weight_q16 for standing in machine.standings()] == [65536, 65536]
    assert min(standing.visits for standing in machine.standings()) > 200


def test_duals_are_renormalised_now_and_then_and_at_the_end() -> None:
    """Both experts always lose, so the least dual grows until it is subtracted."""
    machine = new_machine(RunnerConfig(learning=Learning(1 << 16, every=1)))
    least = {}

    def look(done: int) -> None:
        least[done] = int(machine.table.duals_q16[:2].min())

    machine.run(CompiledWorld((LaneReward(3),), noise=(0, 1)), 300, progress=look)
    assert least[255] > least[200] > least[100] > 0
    assert least[256] == 0 < least[300]
    assert machine.table.duals_q16[:2].min() == 0


def test_each_lane_may_choose_for_itself() -> None:
    """Two observations, and for each the other expert is right: no one choice for all is."""
    config = RunnerConfig((StateTap(0),), candidates=2, each_lane=True)
    memory = Memory(MachineConfig(n_bits=3, lanes=100, max_experts=16))
    machine = ExpertMachine(memory, config, bits=("seen", "said", "right"))
    for seen in (0, 1):
        machine.define(f"yes at {seen}", {"said": "true"}, at=seen)
        machine.define(f"no at {seen}", {"said": "false"}, at=seen)
    judge = machine.define("judge", {"right": "said & seen | !said & !seen"}, findable=False)
    world = CompiledWorld((LaneReward(2),), noise=(0,), expert=judge)
    for seen in (0, 1):
        names = {machine.table.expert(word).name for word in machine.candidates(seen)}
        assert names == {f"yes at {seen}", f"no at {seen}"}
    machine.run(world, 100)
    report = machine.run(world, 100)
    assert report.steps == 100 and report.reward > 0.97 * 100 * 100
    visits = {standing.name: standing.visits for standing in machine.standings()}
    assert visits["yes at 1"] > 5 * visits["no at 1"]
    assert visits["no at 0"] > 5 * visits["yes at 0"]


def test_a_world_in_python_prepares_and_rewards_each_step() -> None:
    machine, quiz = new_machine(lanes=1), Quiz()
    report = machine.run(quiz, 400)
    assert quiz.seen == list(range(400))
    best, other = machine.standings()
    assert best.name == "careful" and other.visits < 150
    assert report.reward == 2 * 400 - 2 * sum(
        int(row[4] == other.identifier and row[0] % 4 == 1) for row in _rows(machine, 400)
    )


def _rows(machine: ExpertMachine, count: int) -> list[tuple[int, ...]]:
    """(step, lane, observation, slot, identifier …) of the last rows of the trace."""
    return [(r[0], r[1], r[2], r[4], r[3]) for r in machine.arrays.trace[:count].tolist()]


@pytest.mark.parametrize(
    ("answer", "message"),
    [
        (3, "rewards from 3 to 3; stay within its limits, 0 to 2"),
        (-1, "rewards from -1 to -1; stay within its limits, 0 to 2"),
        (1.0, "rewards are float64 of shape .*; return one integer"),
        ([1, 1], r"rewards are int64 of shape \(2,\); return one integer"),
        (None, "rewards are object"),
    ],
)
def test_a_reward_that_a_world_may_not_give_is_refused(answer: Any, message: str) -> None:
    machine, quiz = new_machine(lanes=1), Quiz()
    quiz.reward = lambda memory, step: answer  # type: ignore[method-assign]
    with pytest.raises(RunnerError, match=f"environment: {message}"):
        machine.run(quiz, 10)
    assert machine.steps == 0


def test_an_error_of_the_world_leaves_the_episode_open_and_the_same_call_goes_on() -> None:
    machine, quiz = new_machine(lanes=1), Quiz(fail_at=70)
    with pytest.raises(OSError, match="the pupil has left"):
        machine.run(quiz, 200)
    assert machine.steps == 70
    report = machine.run(quiz, 200)
    assert (report.episode, report.steps, quiz.seen) == (1, 200, list(range(200)))


def test_a_machine_that_is_loaded_goes_on_as_if_it_had_not_stopped(tmp_path: Path) -> None:
    whole, halves = new_machine(), new_machine()
    whole.run(judged(whole), 300)
    whole.run(judged(whole), 150)
    halves.run(judged(halves), 300)
    root = halves.save(tmp_path / "m.bem")
    loaded = ExpertMachine(load_image(tmp_path / "m.bem", root=root), bits=BITS)
    assert loaded.steps == 300 and loaded.standings() == halves.standings()
    loaded.run(judged(loaded), 150)
    assert everything(loaded) == everything(whole)


class StopError(Exception):
    pass


@pytest.mark.parametrize("stop_at", [64, 320])
def test_a_run_resumed_from_a_checkpoint_ends_like_one_that_was_not_killed(
    tmp_path: Path, stop_at: int
) -> None:
    """Memory and log are the same, to the last bit and entry."""
    with Ledger(tmp_path / "whole.log", sync="batch") as log:
        whole = new_machine(log=log)
        whole.run(judged(whole), 500)

    def stop(done: int) -> None:
        if done >= stop_at:
            raise StopError

    checkpoint = Checkpoint(tmp_path / "m.bem", every=100)
    with Ledger(tmp_path / "killed.log", sync="batch") as log:
        killed = new_machine(log=log)
        killed.save(checkpoint.path)
        with pytest.raises(StopError):
            killed.run(judged(killed), 500, progress=stop, checkpoint=checkpoint)
    with Ledger(tmp_path / "killed.log", sync="batch") as log:
        resumed = ExpertMachine(load_image(checkpoint.path), bits=BITS, log=log)
        assert resumed.steps == stop_at // 128 * 128  # checkpoints follow updates, every 64 steps
        report = resumed.run(judged(resumed), 500)
    assert report.steps == 500 and report.episode == 1
    assert everything(resumed) == everything(whole)
    entries = [list(read_entries(tmp_path / f"{name}.log")) for name in ("killed", "whole")]
    assert entries[0] == entries[1]


def test_the_first_interrupt_stops_a_run_between_two_steps(tmp_path: Path) -> None:
    machine, quiz = new_machine(lanes=1), Quiz()
    reward = quiz.reward

    def interrupted(memory: Memory, step: int) -> int:
        if step == 20:
            signal.raise_signal(signal.SIGINT)
        return reward(memory, step)

    quiz.reward = interrupted  # type: ignore[method-assign]
    checkpoint = Checkpoint(tmp_path / "m.bem", every=10**9)
    with pytest.raises(KeyboardInterrupt):
        machine.run(quiz, 100, checkpoint=checkpoint)
    assert machine.steps == 21 and signal.getsignal(signal.SIGINT) is signal.default_int_handler
    # The image was made in the middle of an update's steps; their rows wait in it.
    loaded = ExpertMachine(load_image(checkpoint.path), bits=BITS)
    assert loaded.arrays.clock[HEAD] - loaded.arrays.clock[TAIL] == 21
    whole = new_machine(lanes=1)
    whole.run(Quiz(), 100)
    loaded.run(Quiz(), 100)
    assert everything(loaded) == everything(whole)


def test_an_address_out_of_range_stops_the_run_and_names_the_expert() -> None:
    memory = Memory(MachineConfig(n_bits=4, n_shared_bits=64, max_experts=4))
    machine = ExpertMachine(memory)
    there = Place(Space.STATE, 0, ((Field(0, 8), 1),))
    machine.add(Expert("stray", (0,), Circuit(1, (), (0,)), (), scatters=(Scatter(there),)))
    world = CompiledWorld((LaneReward(3),), noise=(0,))
    machine.run(world, 10)
    write_field(memory.shared_bits, Field(0, 8), 4)
    with pytest.raises(ExpertError, match="run: step 10: expert stray: the expert in slot 0 comp"):
        machine.run(world, 10)
    assert machine.steps == 10
    write_field(memory.shared_bits, Field(0, 8), 3)
    assert machine.run(world, 10).steps == 10 and machine.steps == 20


def test_a_machine_without_experts_says_so() -> None:
    for each_lane in (False, True):
        machine = ExpertMachine(Memory(MachineConfig()), RunnerConfig(each_lane=each_lane))
        with pytest.raises(RunnerError, match="run: there is no expert to choose; add experts"):
            machine.run(CompiledWorld((LaneReward(0),)), 5)
        assert machine.steps == 0 and machine.standings() == () and machine.candidates() == ()


def test_a_retired_expert_is_not_chosen_again(tmp_path: Path) -> None:
    with Ledger(tmp_path / "log") as log:
        machine = new_machine(log=log)
        chatty = machine.table.find("chatty")
        machine.retire(chatty)
        machine.run(judged(machine), 50)
        assert {standing.name for standing in machine.standings()} == {"careful"}
    kinds = [(entry["kind"], entry.get("name")) for entry in read_entries(tmp_path / "log")]
    assert kinds[:4] == [
        ("add", "careful"),
        ("add", "chatty"),
        ("add", "judge"),
        ("retire", "chatty"),
    ]
    assert kinds[-1] == ("episode", None)
    assert len(list(read_steps(tmp_path / "log"))) == 50
    with pytest.raises(IdentifierError, match="has no slot"):
        machine.retire(chatty)


def test_slow_work_is_offered_and_collected_between_updates(tmp_path: Path) -> None:
    """A worker beside the run proves that an expert may go; the run never waits for it."""
    machine = new_machine(RunnerConfig(learning=Learning(0)))
    released = threading.Event()
    retired_at = []

    def proofs(owed: Sequence[Obligation]) -> object:
        released.wait(30)
        return prove(owed)

    with SlowPath({"prove": proofs}) as slow, Ledger(tmp_path / "patches") as log:
        patches: list[Patch] = []

        def hook(running: ExpertMachine) -> None:
            table = running.table
            if running.steps == 64:
                patches.append(propose_retire(table, [table.find("chatty")], reason="x"))
                slow.offer("prove", obligations(table, patches[0]))
            if running.steps == 640:
                released.set()
                slow.wait(timeout_s=30)  # for the test's sake; a hook would just look
            for outcome in slow.collect():
                evidence = evidence_for(patches[0], outcome.result)
                apply(table, patches[0], certify(table, patches[0], evidence), log)
                retired_at.append(running.steps)

        machine.hooks.append(hook)
        machine.run(judged(machine), 1280)
    assert retired_at == [640]
    assert {standing.name for standing in machine.standings()} == {"careful"}


def test_a_machine_that_has_run_changes_by_patches_alone() -> None:
    machine = new_machine()
    word = machine.define("later", {"said": "known"})
    machine.retire(word)  # whoever builds it may think again
    machine.run(judged(machine), 10)
    sealed = "expert table: sealed, as the machine has been started or patched; propose a patch"
    for change in (
        lambda: machine.define("more", {"said": "known"}, at=3),
        lambda: machine.retire(machine.table.find("careful")),
        lambda: machine.table.add(machine.table.expert(machine.table.find("careful"))),
        machine.table.rebalance,
    ):
        with pytest.raises(ExpertError, match=sealed):
            change()
    assert {standing.name for standing in machine.standings()} == {"careful", "chatty"}
    assert ExpertTable(machine.memory).sealed  # in every image too


def test_moving_experts_changes_no_choice(tmp_path: Path) -> None:
    still, moved = new_machine(), new_machine()
    for machine in (still, moved):
        machine.run(judged(machine), 100)
    remap = propose_remap(moved.table, list(moved.table)[::-1], reason="x")
    verdict = verify(moved.table, remap)
    assert isinstance(verdict, Proved)
    with Ledger(tmp_path / "patches") as log:
        apply(moved.table, remap, verdict.certificate, log)
    assert moved.table.slots.slot(moved.table.find("careful")) == 2
    assert moved.standings() == still.standings()
    assert moved.regret_q16() == still.regret_q16()
    moved.run(judged(moved), 100)
    assert sum(s.visits for s in moved.standings()) == 200


def test_hot_experts_run_as_machine_code_and_change_nothing() -> None:
    cold, hot = new_machine(), new_machine()
    for word in hot.table:
        hot.table.hot.compile(hot.table.slots.slot(word), hot.table.expert(word).circuit)
    for machine in (cold, hot):
        machine.run(judged(machine), 200)
    assert everything(cold) == everything(hot)


def test_a_run_with_the_same_key_is_the_same_run() -> None:
    runs = []
    for key in (1, 1, 2):
        machine = new_machine(RunnerConfig(key=key))
        machine.run(judged(machine), 100)
        runs.append(everything(machine))
    assert runs[0] == runs[1] != runs[2]


def test_an_expert_placed_at_an_observation_is_found_there_first() -> None:
    machine = ExpertMachine(Memory(MachineConfig(max_experts=32)), RunnerConfig((StateTap(0),)))
    wire = Circuit(1, (), (0,))
    words = [
        machine.add(Expert(f"{seen}.{i}", (0,), wire, (1,)), at=seen)
        for i in range(3)
        for seen in (5, 6)
    ]
    assert len(set(words)) == 6
    for seen, first in ((5, words[0]), (6, words[1])):
        assert machine.candidates(seen)[0] == first
        near = [machine.table.expert(word).name for word in machine.candidates(seen)[:3]]
        assert all(name.startswith(f"{seen}.") for name in near)


def _region(segment: Segment, name: str, index: Any, value: int) -> Any:
    def damage(machine: ExpertMachine) -> None:
        machine.memory.region(segment, f"runner.{name}")[index] = value

    return damage


@pytest.mark.parametrize(
    "damage",
    [
        _region(Segment.SHARED, "clock", STEP, -1),
        _region(Segment.SHARED, "clock", TAIL, 2**40),
        _region(Segment.SHARED, "clock", HEAD, 2**40),
        _region(Segment.SHARED, "charges_q16", 3, -1),
        _region(Segment.SHARED, "losses_q16", 3, 2**63 - 1),
        _region(Segment.TRACE, "trace", (69, T_SLOT), -1),
        _region(Segment.TRACE, "trace", (69, T_SLOT), 16),
        _region(Segment.TRACE, "trace", (69, T_SLOT), 2),
        _region(Segment.TRACE, "trace", (69, 5), 0),
    ],
)
def test_a_damaged_machine_is_refused(damage: Any) -> None:
    machine = new_machine(lanes=1)
    with pytest.raises(OSError, match="left"):
        machine.run(Quiz(fail_at=70), 200)
    ExpertMachine(machine.memory)  # rows 64 to 69 wait, which is well
    damage(machine)
    with pytest.raises(RunnerError, match="runner: a counter or a row of the trace is out of ran"):
        ExpertMachine(machine.memory)


def test_what_cannot_be_meant_is_refused() -> None:
    machine = new_machine()
    with pytest.raises(RunnerError, match="run: 0 steps; run 1 step or more"):
        machine.run(judged(machine), 0)
    with pytest.raises(RunnerError, match=r"world: noise bits \(4,\); use state bits 0 to 3"):
        machine.run(CompiledWorld((LaneReward(0),), noise=(4,)), 1)
    with pytest.raises(IdentifierError, match="has no slot"):
        machine.run(CompiledWorld((LaneReward(0),), expert=77), 1)
    with pytest.raises(RunnerError, match="5 names for 4 bits, 5 of them different; name each bit"):
        ExpertMachine(machine.memory, bits=("a", "b", "c", "d", "e"))
    with pytest.raises(RunnerError, match="2 names for 4 bits, 1 of them different"):
        ExpertMachine(machine.memory, bits=("a", "a"))
    with pytest.raises(RunnerError, match=r"the trace in memory is int64 of shape \(4096, 8\)"):
        ExpertMachine(machine.memory, RunnerConfig(trace_rows=10))
    with pytest.raises(RunnerError, match="a trace of 10 rows does not hold a step of 64 lanes"):
        ExpertMachine(Memory(MachineConfig()), RunnerConfig(trace_rows=10, each_lane=True))
    with pytest.raises(KernelError, match="needs 320000 words"):
        ExpertMachine(Memory(MachineConfig()), RunnerConfig(trace_rows=40_000))
    for wrong in ({"candidates": 0}, {"trace_rows": 0}, {"key": -1}, {"key": 2**64}):
        with pytest.raises(RunnerError, match="runner configuration: "):
            RunnerConfig(**wrong)  # type: ignore[arg-type]
    for rate, every in ((-1, 1), (2**22 + 1, 1), (1, 0)):
        with pytest.raises(RunnerError, match="learning: eta_q16"):
            Learning(rate, every=every)
    with pytest.raises(RunnerError, match="no estimator 'best'; use 'ix' or 'literal'"):
        Learning(1, "best")  # type: ignore[arg-type]


def test_the_rate_for_a_known_number_of_steps_falls_with_it() -> None:
    rates = [learning_for(4, steps).eta_q16 for steps in (100, 400, 1600)]
    assert rates[0] > rates[1] > rates[2] > 0
    assert abs(rates[0] - 2 * rates[1]) <= 2  # as the square root


def test_the_public_names_are_imported_when_asked_for() -> None:
    import bem_kernel

    for name in bem_kernel.__all__:
        assert getattr(bem_kernel, name).__name__ == name
    with pytest.raises(AttributeError, match="module 'bem_kernel' has no attribute 'Transformer'"):
        bem_kernel.Transformer  # noqa: B018
