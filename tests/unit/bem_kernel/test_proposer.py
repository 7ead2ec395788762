"""Proposals from runs: what is split, what is proved of it, what refutations teach."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from bem_kernel.circuits.expression import compile_expressions
from bem_kernel.experts.expert import Condition
from bem_kernel.ledger.chain import Ledger
from bem_kernel.memory.configuration import MachineConfig
from bem_kernel.memory.memory import Memory
from bem_kernel.patches.apply import apply
from bem_kernel.patches.improver import improve
from bem_kernel.patches.patch import EVERYWHERE, Invariant, Kind, Predicate
from bem_kernel.patches.predicates import is_equivalent, is_safe
from bem_kernel.patches.propose import propose_invariants
from bem_kernel.patches.proposer import Search, Study, propose_structure, study
from bem_kernel.patches.replay import window_from
from bem_kernel.patches.verify import Proved, verify
from bem_kernel.runner.config import RunnerConfig
from bem_kernel.runner.machine import ExpertMachine
from bem_kernel.runner.reward import LaneReward
from bem_kernel.runner.world import CompiledWorld

BITS = ("asked", "known", "said", "right", "bad", "spare")


def machine_and_world(
    *, lanes: int = 1, each: bool = False, right: str = "said ^ asked ^ known"
) -> tuple[ExpertMachine, CompiledWorld]:
    memory = Memory(MachineConfig(n_bits=6, lanes=lanes, max_experts=16))
    machine = ExpertMachine(memory, RunnerConfig(each_lane=each), bits=BITS)
    machine.define("echo", {"said": "asked | known & asked"})
    judge = machine.define("judge", {"right": right}, findable=False)
    return machine, CompiledWorld((LaneReward(3),), noise=(0, 1, 5), expert=judge)


def studied(machine: ExpertMachine, world: CompiledWorld, steps: int = 96) -> Study:
    window = window_from(machine, world, (steps,))
    machine.run(world, steps)
    return study(window)


@pytest.mark.parametrize(("lanes", "each"), [(1, False), (1, True), (40, True)])
def test_an_expert_that_is_right_in_half_of_the_contexts_is_split(lanes: int, each: bool) -> None:
    machine, world = machine_and_world(lanes=lanes, each=each)
    found = studied(machine, world)
    proposal, *_ = propose_structure(found)
    patch = proposal.patch
    assert patch.kind is Kind.SPLIT and proposal.expert == machine.table.find("echo")
    conditions = [entry.expert.condition for entry in patch.added]
    assert conditions == [Condition(1, False), Condition(1, True)]
    assert proposal.pox.regret_q16 == found.playback.loss_q16 > 25_000
    assert proposal.pox.clauses > 0 and proposal.pox.priority_q16 > 0
    assert set(proposal.focus) == {suspect.step for suspect in found.suspects}
    assert isinstance(verify(machine.table, patch), Proved)
    assert is_safe(machine.table, patch) and is_equivalent(machine.table, patch, patch.scope)
    assert not is_equivalent(machine.table, patch, EVERYWHERE)  # it does change something


def test_a_parent_may_stay_with_less_weight() -> None:
    machine, world = machine_and_world(each=True, lanes=16)
    echo = machine.table.find("echo")
    proposal, *_ = propose_structure(studied(machine, world), Search(keep_octaves=12))
    assert proposal.patch.kind is Kind.SPLIT and proposal.patch.removed == ()
    assert proposal.patch.charges == ((echo, 12 << 16),) and proposal.pox.regret_q16 > 25_000
    assert isinstance(verify(machine.table, proposal.patch), Proved)


def test_where_lanes_share_a_choice_one_circuit_takes_the_place() -> None:
    machine, world = machine_and_world(lanes=64)
    proposals = propose_structure(studied(machine, world))
    kinds = [proposal.patch.kind for proposal in proposals]
    assert kinds[0] is Kind.REPLACE and Kind.SPLIT in kinds
    gains = {proposal.patch.kind: proposal.pox.regret_q16 for proposal in proposals[::-1]}
    assert gains[Kind.REPLACE] > gains[Kind.SPLIT] + 8_000


def test_bits_that_the_expert_does_not_read_are_found() -> None:
    machine, world = machine_and_world(right="said ^ asked ^ known ^ spare")
    proposal, *_ = propose_structure(studied(machine, world, 128))
    reads = {bit for entry in proposal.patch.added for bit in entry.expert.reads}
    gates = [entry.expert.condition for entry in proposal.patch.added]
    bits = reads | {gate.bit for gate in gates if gate is not None}
    assert bits == {0, 1, 5}


def test_nothing_is_proposed_where_nothing_is_to_be_gained() -> None:
    machine, world = machine_and_world(right="true")
    found = studied(machine, world)
    assert found.suspects == () and propose_structure(found) == ()
    assert improve(found.window).proposal is None


def with_invariant(machine: ExpertMachine, text: str, log: Ledger) -> None:
    names = [name for name in BITS if name in text]
    bits = tuple(BITS.index(name) for name in names)
    holds = Predicate(bits, compile_expressions([text], names))
    patch = propose_invariants(machine.table, [Invariant("never", holds)], reason="safety")
    verdict = verify(machine.table, patch)
    assert isinstance(verdict, Proved)
    apply(machine.table, patch, verdict.certificate, log)


def test_a_refuted_flip_is_not_proposed_again(tmp_path: Path) -> None:
    """It would pay to say something always; the invariant forbids it where `bad` is 1."""
    memory = Memory(MachineConfig(n_bits=6, lanes=1, max_experts=16))
    machine = ExpertMachine(memory, RunnerConfig(), bits=BITS)
    machine.define("silent", {"said": "bad & false"})
    judge = machine.define("judge", {"right": "said"}, findable=False)
    world = CompiledWorld((LaneReward(3),), noise=(0, 1, 5), expert=judge)
    log = Ledger(tmp_path / "patches.jsonl")
    with_invariant(machine, "!(said & bad)", log)
    window = window_from(machine, world, (96,))
    machine.run(world, 96)
    finding = improve(window)
    claims = [refuted.claim for _, refuted in finding.refuted]
    assert claims and all("keeps the invariant 'never'" in claim for claim in claims)
    assert finding.proposal is not None and finding.evidence is not None
    patch = finding.proposal.patch
    assert finding.proposal.pox.regret_q16 > 60_000
    for child in (entry.expert for entry in patch.added):
        condition = child.condition
        assert 4 in child.reads or (condition is not None and condition.bit == 4)
    assert is_safe(machine.table, patch)
    assert np.all(memory.planes[4] == 0)
