"""Invariants mined from runs."""

from __future__ import annotations

import numpy as np
import pytest

from bem_kernel.errors import PatchError
from bem_kernel.memory.configuration import MachineConfig
from bem_kernel.memory.memory import Memory
from bem_kernel.patches.mined import candidates, inductive, propose_mined
from bem_kernel.patches.patch import Kind
from bem_kernel.patches.replay import replay, window_from
from bem_kernel.patches.verify import Proved, verify
from bem_kernel.runner.config import RunnerConfig
from bem_kernel.runner.machine import ExpertMachine
from bem_kernel.runner.reward import LaneReward
from bem_kernel.runner.world import CompiledWorld

BITS = ("asked", "known", "open", "locked", "bad", "seen", "drift")


def machine() -> ExpertMachine:
    memory = Memory(MachineConfig(n_bits=7, lanes=8, max_experts=16))
    made = ExpertMachine(memory, RunnerConfig(each_lane=True), bits=BITS)
    made.define("lock", {"locked": "asked & !open", "bad": "bad & open"})
    made.define("open", {"open": "known & !locked", "bad": "bad | open & locked"})
    return made


def names(found: object) -> set[str]:
    return {each.name for each in found}  # type: ignore[attr-defined]


def test_candidates_are_what_held_and_was_put_to_the_test() -> None:
    states = np.zeros((64, 4), dtype=np.bool_)
    states[:32, 0] = states[:20, 1] = states[40:, 2] = True
    assert names(candidates(states, range(4))) == {"!s3", "!s1 | s0", "!s0 | !s2", "!s1 | !s2"}
    states[:5, 1] = False
    states[20, 1] = True
    assert names(candidates(states[:, :2], [0, 1])) == {"!s1 | s0"}
    assert names(candidates(states[:24, :2], [0, 1])) == {"s0"}
    assert not list(candidates(states[:, :2], []))


def test_what_every_expert_keeps_is_proposed_and_proved() -> None:
    made = machine()
    world = CompiledWorld((LaneReward(2),), noise=(0, 1))
    window = window_from(made, world, (64,))
    made.run(world, 64)
    patch = propose_mined(made.table, replay(window))
    assert patch.kind is Kind.INVARIANT and patch.provenance == (("by", "mined"),)
    assert names(patch.invariants) == {"!s4", "!s2 | !s3"}  # never bad; not open and locked
    assert isinstance(verify(made.table, patch), Proved)


def test_what_only_happened_to_hold_is_dropped_and_what_rests_on_it() -> None:
    """Bit 5 may become 1 by an expert; bit 6 only after it."""
    made = machine()
    made.define("see", {"seen": "seen | asked & known & locked"})
    made.define("drift", {"drift": "drift | seen"})
    states = np.zeros((32, 7), dtype=np.bool_)
    wanted = list(candidates(states, [4, 5, 6]))
    assert names(wanted) == {"!s4", "!s5", "!s6"}
    assert inductive(made.table, wanted) == ()  # bad rests on open and locked, drift on seen
    both = [*wanted, *candidates(_apart(), [2, 3])]
    assert names(inductive(made.table, both)) == {"!s4", "!s2 | !s3"}


def _apart() -> np.ndarray:
    states = np.zeros((64, 7), dtype=np.bool_)
    states[:32, 2] = states[32:, 3] = True
    return states


def test_nothing_to_mine() -> None:
    memory = Memory(MachineConfig(n_bits=3, lanes=1, max_experts=8))
    made = ExpertMachine(memory, RunnerConfig(), bits=("a", "b", "c"))
    made.define("flip", {"b": "!b"})
    world = CompiledWorld((LaneReward(1),))
    window = window_from(made, world, (4,))
    made.run(world, 4)
    with pytest.raises(PatchError, match="mined invariants: nothing that held is kept by all"):
        propose_mined(made.table, replay(window))
