"""`bem patch localise|improve`, in process, and the record of how a machine was run."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from bb_core.canonical import canonical_json
from bem_kernel.cli import main as cli
from bem_kernel.errors import RunnerError
from bem_kernel.experts.place import Field
from bem_kernel.experts.table import ExpertTable
from bem_kernel.ledger.chain import Ledger
from bem_kernel.memory.configuration import MachineConfig
from bem_kernel.memory.image import load_image
from bem_kernel.memory.memory import Memory
from bem_kernel.patches.logged import window_from_log
from bem_kernel.runner.config import RunnerConfig
from bem_kernel.runner.learning import Learning
from bem_kernel.runner.machine import ExpertMachine
from bem_kernel.runner.observation import NumberTap, Over, SignTap, StateTap
from bem_kernel.runner.query import QueryRule, Rule
from bem_kernel.runner.record import RunSettings, run_from_record, run_record
from bem_kernel.runner.reward import FieldReward, LaneReward
from bem_kernel.runner.world import CompiledWorld


def bem(capsys: pytest.CaptureFixture[str], *args: object) -> tuple[int, str, str]:
    """Exit code, stdout and stderr of one command."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("sys.argv", ["bem", "patch", *map(str, args)])
        with pytest.raises(SystemExit) as stop:
            cli.main()
    captured = capsys.readouterr()
    return int(stop.value.code or 0), captured.out, captured.err


@dataclass(frozen=True)
class Files:
    """A run on disk."""

    before: Path
    after: Path
    log: Path
    run: Path

    def options(self, image: Path) -> tuple[object, ...]:
        return (image, "--log", self.log, "--run", self.run)


@pytest.fixture
def files(tmp_path: Path) -> Files:
    """A machine whose one expert is wrong wherever something is known, before and after a run."""
    found = Files(*(tmp_path / name for name in ("before", "after", "log", "run.json")))
    memory = Memory(MachineConfig(n_bits=5, lanes=1, max_experts=8))
    config = RunnerConfig((StateTap(0),), learning=Learning(every=32), key=7)
    with Ledger(found.log, sync="batch") as log:
        machine = ExpertMachine(memory, config, bits=("asked", "known", "said", "right"), log=log)
        machine.define("echo", {"said": "asked"})
        judge = machine.define("judge", {"right": "!(said ^ asked ^ known)"}, findable=False)
        world = CompiledWorld((LaneReward(3),), noise=(0, 1), expert=judge)
        machine.run(world, 50)
        machine.save(found.before)
        machine.run(world, 60)
        machine.run(world, 40)
        machine.save(found.after)
    record = run_record(RunSettings(config, world), machine.table)
    found.run.write_bytes(canonical_json(record))
    return found


def test_from_a_log_to_a_machine_that_is_right(
    files: Files, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    patch, proofs = tmp_path / "better.json", tmp_path / "proofs.json"
    given = (*files.options(files.before), "--out", patch, "--evidence", proofs)
    code, out, _ = bem(capsys, "improve", *given, "--json")
    record = json.loads(out)
    assert code == 0 and record["kind"] == "split" and record["regret_q16"] > 20_000
    code, out, _ = bem(capsys, "apply", files.after, patch, "--evidence", proofs)
    assert code == 0 and "split" in out
    table = ExpertTable(load_image(files.after))
    assert {table.expert(word).name for word in table} == {"echo/1=0", "echo/1=1", "judge"}
    code, out, _ = bem(capsys, "improve", *given)
    assert code == 0 and "split: echo would have done better: by s[1]" in out


@pytest.mark.parametrize("method", ["last", "errors", "replay"])
def test_localise_lists_steps(
    files: Files, capsys: pytest.CaptureFixture[str], method: str
) -> None:
    given = (*files.options(files.before), "--method", method, "--count", 3)
    code, out, _ = bem(capsys, "localise", *given, "--json")
    found = [json.loads(line) for line in out.splitlines()]
    assert code == 0 and len(found) == 3 and {each["expert"] for each in found} == {"echo"}
    assert all(50 <= each["step"] < 150 for each in found)
    code, out, _ = bem(capsys, "localise", *given)
    assert out.splitlines()[0] == f"step {found[0]['step']}: {found[0]['impact']}: echo"


def test_mined_invariants_can_be_applied(
    files: Files, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "kept.json"
    code, _, error = bem(capsys, "mine", *files.options(files.before), "--out", out)
    assert code == 1 and "nothing that held is kept by all experts" in error
    code, _, error = bem(capsys, "mine", *files.options(files.before), "--out", out, "--bit", 9)
    assert code == 1 and "bits [9]; use state bits 0 to 4" in error
    code, text, _ = bem(capsys, "mine", *files.options(files.before), "--out", out, "--bit", 4)
    assert code == 0 and text == "!s4\n"
    assert bem(capsys, "apply", files.after, out)[0] == 0


def test_what_is_not_of_the_run_is_refused(
    files: Files, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    record = json.loads(files.run.read_text())
    files.run.write_text(json.dumps(record | {"key": 8}))
    code, _, error = bem(capsys, "localise", *files.options(files.before))
    assert code == 1 and "had another" in error and "give the image, the settings" in error
    files.run.write_text(json.dumps(record))
    code, _, error = bem(capsys, "localise", *files.options(files.after))
    assert code == 1 and "no steps from 150 on; give an image from before the run" in error
    files.run.write_text(json.dumps(record | {"world": {"rewards": [{"bit": -1}]}}))
    code, _, error = bem(capsys, "localise", *files.options(files.before))
    assert code == 1 and "run.json: world.rewards.0" in error and "bem-run-1" in error


def test_a_run_in_which_all_was_well(
    tmp_path: Path, files: Files, capsys: pytest.CaptureFixture[str]
) -> None:
    record = json.loads(files.run.read_text())
    memory = Memory(MachineConfig(n_bits=4, lanes=1, max_experts=8))
    record |= {"world": {"rewards": [{"bit": 0}]}, "observation": []}
    (tmp_path / "well").write_text(json.dumps(record))
    with Ledger(tmp_path / "well.log", sync="batch") as log:
        settings = run_from_record(record, ExpertTable(memory))
        machine = ExpertMachine(memory, settings.config, log=log)
        machine.define("still", {})
        machine.save(tmp_path / "well.image")
        machine.run(settings.world, 32)
    given = (tmp_path / "well.image", "--log", tmp_path / "well.log", "--run", tmp_path / "well")
    code, out, _ = bem(capsys, "improve", *given, "--out", tmp_path / "none")
    assert code == 1 and out == "nothing that would have been better; 0 refuted\n"
    assert not (tmp_path / "none").exists()


@pytest.mark.parametrize("last", [1, 30, 40, 70, 99, 100, 4096])
def test_what_came_before_the_last_steps_is_run_through(files: Files, last: int) -> None:
    memory = load_image(files.before)
    settings = run_from_record(json.loads(files.run.read_text()), ExpertTable(memory))
    window = window_from_log(memory, settings, files.log, last=last)  # compares it with the log
    assert min(last, 100) <= sum(window.episodes) < min(last, 100) + 32
    assert len(window.episodes) == (1 if last <= 40 else 2)


SUM = ((Field(0, 8), 1), (Field(8, 4), -2))


def test_a_run_record_is_the_settings() -> None:
    memory = Memory(MachineConfig(n_bits=4, lanes=64, max_experts=8))
    table = ExpertMachine(memory, bits=("a",)).table
    config = RunnerConfig(
        (StateTap(2, Over.ANY), NumberTap(SUM, 5, -3, 1), SignTap(SUM, 9)),
        QueryRule(Rule.NEAR, -1, 1 << 63),
        3,
        True,
        Learning(17, "literal", 9),
        128,
        (1 << 64) - 1,
    )
    world = CompiledWorld((LaneReward(1, -4), FieldReward(Field(3, 2), 6)), (0, 2))
    settings = RunSettings(config, world)
    record = run_record(settings, table)
    assert run_from_record(json.loads(json.dumps(record)), table) == settings
    short: dict[str, Any] = {"format": "bem-run-1", "world": {"rewards": [{"bit": 1}]}}
    assert run_from_record(short, table) == RunSettings(
        RunnerConfig(), CompiledWorld((LaneReward(1),))
    )


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"format": "bem-run-2"}, "format: Input should be 'bem-run-1'"),
        ({"speed": 3}, "speed: Extra inputs are not permitted"),
        ({"each_lane": 1}, "each_lane: Input should be a valid boolean"),
        ({"candidates": 0}, "0 candidates; use 1 to"),
        ({"world": {}}, "world.rewards: Field required"),
    ],
)
def test_other_run_records_are_refused(change: dict[str, Any], message: str) -> None:
    table = ExpertTable(Memory(MachineConfig(n_bits=4, max_experts=8)))
    record = {"format": "bem-run-1", "world": {"rewards": [{"bit": 1}]}} | change
    with pytest.raises(RunnerError, match=message):
        run_from_record(record, table)
