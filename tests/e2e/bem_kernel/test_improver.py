"""A running machine that mends its own expert, by patches that are proved."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Callable
from hashlib import sha256
from pathlib import Path

import numpy as np
import pytest

from bem_kernel.circuits.expression import compile_expressions
from bem_kernel.errors import PatchError, RunnerError
from bem_kernel.experts.expert import Expert
from bem_kernel.experts.place import Field, Scatter, shared_bit
from bem_kernel.ledger.chain import Ledger, read_entries
from bem_kernel.memory.configuration import MachineConfig
from bem_kernel.memory.memory import Memory
from bem_kernel.patches.history import history
from bem_kernel.patches.improver import Improver, Settings
from bem_kernel.patches.patch import Kind
from bem_kernel.patches.proposer import Search
from bem_kernel.patches.store import PatchStore, log_path
from bem_kernel.runner.config import RunnerConfig
from bem_kernel.runner.learning import Learning
from bem_kernel.runner.machine import ExpertMachine
from bem_kernel.runner.observation import StateTap
from bem_kernel.runner.reward import FieldReward, LaneReward, RewardRange
from bem_kernel.runner.world import CompiledWorld, World

BITS = ("asked", "known", "said", "right", "spare")


def half_right(
    *, lanes: int = 1, each: bool = False, right: str = "!(said ^ asked & known)"
) -> tuple[ExpertMachine, CompiledWorld]:
    """One expert, of asked and known, that is right where known is 1 and else is not."""
    memory = Memory(MachineConfig(n_bits=5, lanes=lanes, max_experts=16))
    config = RunnerConfig((StateTap(0), StateTap(1)), each_lane=each)
    machine = ExpertMachine(memory, config, bits=BITS)
    machine.define("sure", {"said": "asked & known | !known"})
    judge = machine.define("judge", {"right": right}, findable=False)
    return machine, CompiledWorld((LaneReward(3),), noise=(0, 1), expert=judge)


def losses(machine: ExpertMachine, world: World, runs: int) -> list[int]:
    """Mean losses of runs of 500 steps, Q16."""
    rows = 500 * (machine.memory.config.lanes if machine.config.each_lane else 1)
    return [machine.run(world, 500).loss_q16 // rows for _ in range(runs)]


@pytest.mark.parametrize(("lanes", "each"), [(1, False), (1, True), (40, True)])
def test_a_machine_splits_its_expert_and_is_right_from_then_on(
    tmp_path: Path, lanes: int, each: bool
) -> None:
    machine, world = half_right(lanes=lanes, each=each)
    sure = machine.table.find("sure")
    before = losses(half_right(lanes=lanes, each=each)[0], world, 1)[0]
    assert 28_000 < before < 36_000
    with Ledger(tmp_path / "patches.jsonl") as log:
        with Improver(machine, world, log, workers="idle") as improver:
            after = losses(machine, world, 2)
        assert after[1] == 0 and after[0] < before
        (done,) = improver.applied
        assert done.proposal.patch.kind is Kind.SPLIT and done.loss_before_q16 > 20_000
        names = {standing.name for standing in machine.standings()}
        assert names == {"sure/1=0", "sure/1=1"} and sure not in machine.table
        entries = list(read_entries(log.path))
    kinds = [entry["kind"] for entry in entries]
    assert kinds == ["patch.base", "patch.propose", "patch.apply", "patch.outcome"]
    assert entries[1]["patch"] == entries[2]["certificate"]["patch"]
    assert entries[1]["pox"]["regret_q16"] > 20_000 and entries[1]["focus"]
    assert entries[3] == entries[3] | {"of": done.index, "after_q16": 0}
    assert [change.index for change in history(entries).applied] == [done.index]


def learned(seed: int, n_inputs: int, folder: Path) -> bool:
    """Whether a random expert becomes a random function within 10,000 steps."""
    drawn, names = random.Random(seed), "abcd"[:n_inputs]

    def text() -> str:
        rows = [row for row in range(1 << n_inputs) if drawn.getrandbits(1)]
        literals = [[c if row >> i & 1 else f"!{c}" for i, c in enumerate(names)] for row in rows]
        return " | ".join("(" + " & ".join(product) + ")" for product in literals) or "false"

    memory = Memory(MachineConfig(n_bits=8, lanes=drawn.choice((1, 16)), max_experts=64))
    config = RunnerConfig(each_lane=drawn.random() < 0.5)
    machine = ExpertMachine(memory, config, bits=(*names, "said", "right"))
    machine.define("random", {"said": text()})
    judge = machine.define("judge", {"right": f"!(said ^ ({text()}))"}, findable=False)
    noise = tuple(range(n_inputs))
    world = CompiledWorld((LaneReward(machine.bits["right"]),), noise, judge)
    with Ledger(folder / "log") as log, Improver(machine, world, log, workers="idle"):
        return any(losses(machine, world, 1) == [0] for _ in range(20))


@pytest.mark.parametrize("seed", [1, 2])
def test_random_functions_of_three_inputs_are_learned(tmp_path: Path, seed: int) -> None:
    assert learned(seed, 3, tmp_path)


@pytest.mark.slow
def test_many_random_functions_are_learned(tmp_path: Path) -> None:
    for seed in range(40):
        folder = tmp_path / str(seed)
        folder.mkdir()
        assert learned(seed, 3 + seed % 2, folder), seed


def test_threads_find_the_same_while_the_machine_runs(tmp_path: Path) -> None:
    machine, world = half_right()
    with (
        Ledger(tmp_path / "patches.jsonl") as log,
        Improver(machine, world, log) as improver,
    ):
        losses(machine, world, 2)
        improver.finish()
        assert losses(machine, world, 1) == [0]
    assert [done.proposal.patch.kind for done in improver.applied] == [Kind.SPLIT]


@pytest.mark.slow
def test_processes_do_too(tmp_path: Path) -> None:
    machine, world = half_right()
    with (
        Ledger(tmp_path / "patches.jsonl") as log,
        Improver(machine, world, log, workers="processes") as improver,
    ):
        losses(machine, world, 1)
        improver.finish()
        assert losses(machine, world, 1) == [0] and len(improver.applied) == 1


def test_its_log_and_image_are_a_store(tmp_path: Path) -> None:
    machine, world = half_right()
    image = tmp_path / "machine.image"
    with (
        Ledger(log_path(image)) as log,
        Improver(machine, world, log, workers="idle") as improver,
    ):
        losses(machine, world, 1)
    machine.save(image)
    with PatchStore(image) as store:
        assert store.history.applied[-1].patch == improver.applied[0].proposal.patch
        store.undo()
        assert store.table.find("sure")


@pytest.mark.parametrize(
    ("width", "weight"), [(1, 1), (26, 1 << 20)]
)  # all there is, or half of it
def test_what_is_written_to_shared_memory_is_mended_too(
    tmp_path: Path, width: int, weight: int
) -> None:
    """The expert is to write asked & known to bit 3 of M, and the world reads it there."""
    memory = Memory(MachineConfig(n_bits=4, n_shared_bits=64, lanes=1, max_experts=16))
    machine = ExpertMachine(memory)
    guess = compile_expressions(["a & k | !k"], ["a", "k"])
    machine.add(Expert("guess", (0, 1), guess, (), scatters=(Scatter(shared_bit(3), None),)))
    right = compile_expressions(["!(m ^ a & k)"], ["a", "k", "m"])
    judge = machine.add(
        Expert(
            "judge",
            (0, 1),
            right,
            (),
            gathers=(shared_bit(3),),
            scatters=(Scatter(shared_bit(7 + width), None),),
        ),
        findable=False,
    )
    world = CompiledWorld((FieldReward(Field(8, width), weight),), noise=(0, 1), expert=judge)
    with Ledger(tmp_path / "log") as log, Improver(machine, world, log, workers="idle") as improver:
        assert losses(machine, world, 2)[1] == (0 if width == 1 else 32_767)
    assert [done.proposal.patch.kind for done in improver.applied] == [Kind.SPLIT]


@pytest.mark.parametrize(("horizon", "learns"), [(1, False), (2, True)])
def test_rewards_that_come_a_step_later_need_a_longer_horizon(
    tmp_path: Path, horizon: int, learns: bool
) -> None:
    machine, _ = half_right()
    late = machine.define(
        "late", {"right": "spare", "spare": "!(said ^ asked & known)"}, findable=False
    )
    world = CompiledWorld((LaneReward(3),), noise=(0, 1), expert=late)
    settings = Settings(search=Search(horizon=horizon))
    with (
        Ledger(tmp_path / "log") as log,
        Improver(machine, world, log, settings, workers="idle") as improver,
    ):
        after = losses(machine, world, 2)[1]
    assert (after == 0, len(improver.applied)) == (learns, int(learns))


def test_a_log_of_another_machine_is_refused(tmp_path: Path) -> None:
    machine, world = half_right()
    with Ledger(tmp_path / "log") as log:
        with Improver(machine, world, log, workers="idle"):
            losses(machine, world, 1)
        with Improver(machine, world, log, workers="idle"):  # its own it goes on with
            losses(machine, world, 1)
        with (
            pytest.raises(PatchError, match="has structure .*, its log leads to .*PatchStore"),
            Improver(*half_right(), log),
        ):
            pass


class Marked:
    """A world in Python: answers are marked by a rule that knows what is asked, known and drawn."""

    limits = RewardRange(0, 1)

    def __init__(self, right: Callable[[int, int, int, int, int], int]) -> None:
        self.right = right

    def prepare(self, memory: Memory, step: int) -> None:
        memory.planes[[0, 1], 0] = np.array([self.drawn(step) & 1, self.drawn(step) >> 1 & 1])

    def reward(self, memory: Memory, step: int) -> int:
        asked, known, said = (int(memory.planes[bit, 0]) & 1 for bit in range(3))
        return int(self.right(asked, known, said, self.drawn(step) >> 8 & 255, step))

    @staticmethod
    def drawn(step: int) -> int:
        return int.from_bytes(sha256(step.to_bytes(8, "little")).digest()[:4], "little")


def test_noise_teaches_nothing(tmp_path: Path) -> None:
    machine, _ = half_right()
    coins = Marked(lambda asked, known, said, drawn, step: drawn & 1)
    with Ledger(tmp_path / "log") as log, Improver(machine, coins, log, workers="idle") as improver:
        assert min(losses(machine, coins, 4)) > 26_000
    assert not improver.applied and len(list(read_entries(log.path))) == 1


def test_what_is_marked_wrongly_at_times_is_learned_all_the_same(tmp_path: Path) -> None:
    machine, _ = half_right()
    noisy = Marked(lambda asked, known, said, drawn, step: (said == asked & known) ^ (drawn < 40))
    with Ledger(tmp_path / "log") as log, Improver(machine, noisy, log, workers="idle") as improver:
        before, *_, after = losses(machine, noisy, 4)
    assert after < 13_000 < before and len(improver.applied) == 1


def test_a_patch_that_does_worse_is_taken_back(tmp_path: Path) -> None:
    """A question whose answer is unknown was better left; once the patch is there it is not."""

    def right(asked: int, known: int, said: int, drawn: int, step: int) -> int:
        if known or not asked:
            return said == (asked if known else 1)
        return said == 1 if step >= 256 else said == 0 or drawn < 64

    machine, _ = half_right()
    world = Marked(right)
    with Ledger(tmp_path / "log") as log, Improver(machine, world, log, workers="idle") as improver:
        first, second = losses(machine, world, 2)
    assert first > 8_000 and second == 0
    assert not improver.applied and len(improver.taken_back) == 1
    kinds = Counter(entry["kind"] for entry in read_entries(log.path))
    assert (kinds["patch.apply"], kinds["patch.undo"], kinds["patch.outcome"]) == (1, 1, 1)
    assert {standing.name for standing in machine.standings()} == {"sure"}


def test_a_run_in_another_world_than_the_improver_s_is_noticed(tmp_path: Path) -> None:
    machine, world = half_right()
    elsewhere = CompiledWorld((LaneReward(3, 2),), noise=(0, 1, 4), expert=world.expert)
    with (
        Ledger(tmp_path / "log") as log,
        Improver(machine, elsewhere, log, workers="idle"),
        pytest.raises(RunnerError, match="the run went otherwise when played again"),
    ):
        machine.run(world, 1000)
    assert not machine.hooks


def test_episodes_that_end_with_a_stretch_are_played_again_as_they_were(tmp_path: Path) -> None:
    """The literal rule learns when an episode is closed, between the hook and the next one."""
    memory = Memory(MachineConfig(n_bits=5, lanes=1, max_experts=16))
    config = RunnerConfig(learning=Learning(1 << 19, "literal"), candidates=4)
    machine = ExpertMachine(memory, config, bits=BITS)
    machine.define("sure", {"said": "asked & known | !known"})
    machine.define("mute", {"said": "false"})
    judge = machine.define("judge", {"right": "!(said ^ asked & known)"}, findable=False)
    world = CompiledWorld((LaneReward(3),), noise=(0, 1), expert=judge)
    with Ledger(tmp_path / "log") as log, Improver(machine, world, log, workers="idle") as improver:
        lost = [machine.run(world, steps).loss_q16 for steps in (128, 128, 64, 1, 100) * 6]
    assert improver.applied and sum(lost[-5:]) < 20 << 16


def test_what_was_found_late_is_judged_by_the_last_whole_stretch(tmp_path: Path) -> None:
    machine, world = half_right()
    with Ledger(tmp_path / "log") as log, Improver(machine, world, log) as improver:
        machine.run(world, 256)
        improver.finish()
        (done,) = improver.applied
        assert done.step == 256 and done.loss_before_q16 > 20_000
        machine.run(world, 256)
        assert improver.applied == [done] and not improver.taken_back


def test_within_the_tolerance_nothing_is_done(tmp_path: Path) -> None:
    machine, world = half_right()
    settings = Settings(tolerance_q16=40_000)
    with (
        Ledger(tmp_path / "log") as log,
        Improver(machine, world, log, settings, workers="idle") as improver,
    ):
        losses(machine, world, 1)
    assert not improver.applied
