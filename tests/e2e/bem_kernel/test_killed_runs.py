"""A run that is killed again and again ends with the memory and the log of one that was not."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from random import Random

import pytest

from bem_kernel.ledger.chain import read_entries, verify
from bem_kernel.memory.image import image_root, load_image

STEPS = 30_000
# The child dies of SIGALRM's default action, at any instruction and without a word, a while after
# its kernels are loaded.
PROGRAM = """
import signal
import sys
from pathlib import Path

from bem_kernel import CompiledWorld, ExpertMachine, LaneReward, Ledger, MachineConfig, Memory
from bem_kernel.memory.image import load_image
from bem_kernel.runner.episode import Checkpoint

folder, steps, delay_s = Path(sys.argv[1]), int(sys.argv[2]), float(sys.argv[3])
image, bits = folder / "m.bem", ("asked", "known", "said", "right")


def new_machine(log=None):
    memory = Memory(MachineConfig(n_bits=4, max_experts=16))
    machine = ExpertMachine(memory, bits=bits, log=log)
    machine.define("careful", {"said": "asked & known"})
    machine.define("chatty", {"said": "asked"})
    judge = {"right": "said & asked & known | !said & !(asked & known)"}
    machine.define("judge", judge, findable=False)
    return machine


def world(machine):
    return CompiledWorld((LaneReward(3),), (0, 1), machine.table.find("judge"))


warm = new_machine()
warm.run(world(warm), 100)
with Ledger(folder / "m.log", sync="batch") as log:
    if image.exists():
        machine = ExpertMachine(load_image(image), bits=bits, log=log)
    else:
        machine = new_machine(log)
        machine.save(image)
    signal.setitimer(signal.ITIMER_REAL, delay_s)
    if machine.steps < steps:  # else it was killed after its last save
        machine.run(world(machine), steps, checkpoint=Checkpoint(image, every=1_000))
        machine.save(image)
"""


def run(folder: Path, delay_s: float) -> int:
    """The child's exit status; a delay of 0 never kills it."""
    folder.mkdir(exist_ok=True)
    command = [sys.executable, "-c", PROGRAM, str(folder), str(STEPS), str(delay_s)]
    return subprocess.run(command, check=False, timeout=240).returncode


@pytest.mark.slow
def test_killed_runs_end_like_whole_ones(tmp_path: Path) -> None:
    assert run(tmp_path / "whole", 0) == 0
    random, killed = Random(0), 0
    while killed < 8 and run(tmp_path / "killed", 0.002 + random.random() / 10) != 0:
        killed += 1
    assert killed > 0
    assert run(tmp_path / "killed", 0) == 0
    roots = [image_root(load_image(tmp_path / name / "m.bem")) for name in ("whole", "killed")]
    assert roots[0] == roots[1]
    logs = [list(read_entries(tmp_path / name / "m.log")) for name in ("whole", "killed")]
    assert logs[0] == logs[1] and verify(tmp_path / "killed" / "m.log").ok
