"""Patches of a machine: proposing, verifying, applying, undoing; and what is refused."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Literal

import numpy as np
import pytest

from bem_kernel.circuits.builder import CircuitBuilder
from bem_kernel.circuits.circuit import Circuit, Gate, Op
from bem_kernel.circuits.expression import compile_expressions
from bem_kernel.errors import LedgerError, PatchError
from bem_kernel.experts.expert import Condition, Expert
from bem_kernel.experts.place import Field, Place, Scatter, Space, shared_bit
from bem_kernel.experts.table import ExpertTable
from bem_kernel.ledger.chain import Ledger, read_entries
from bem_kernel.memory.configuration import MachineConfig
from bem_kernel.memory.memory import Memory
from bem_kernel.patches.apply import apply, undo
from bem_kernel.patches.certificate import Certificate, certify, evidence_for
from bem_kernel.patches.history import history
from bem_kernel.patches.obligations import obligations
from bem_kernel.patches.patch import EVERYWHERE, Kind, Patch, Scope
from bem_kernel.patches.propose import (
    OCTAVE_Q16,
    drafted,
    propose_add,
    propose_merge,
    propose_remap,
    propose_replace,
    propose_retire,
    propose_split,
)
from bem_kernel.patches.structure import structure_hash
from bem_kernel.patches.verify import Proved, Refuted, Undecided, prove, verify
from bem_kernel.runner.machine import ExpertMachine
from bem_kernel.runner.slow_path import SlowPath

# x = a ^ b in four gates, and in one.
LONG = Circuit(2, (Gate(Op.OR, 0, 1), Gate(Op.AND, 0, 1), Gate(Op.ANDN, 2, 3)), (4,))
SHORT = Circuit(2, (Gate(Op.XOR, 0, 1),), (2,))
WRONG = Circuit(2, (Gate(Op.OR, 0, 1),), (2,))
MOVED = Place(Space.SHARED, 40, ((Field(8, 4), 2),))


def new_table() -> ExpertTable:
    """Three experts with some history; bits 0 and 1 are read, 2 is written."""
    sizes = {"shared_words": 4096, "expert_words": 4096, "max_experts": 8}
    table = ExpertTable(Memory(MachineConfig(n_bits=8, n_shared_bits=64, **sizes)))
    for name, circuit in (("sum", LONG), ("or", WRONG)):
        table.add(Expert(name, (0, 1), circuit, (2,)))
    scattering = Circuit(2, LONG.gates, (4, 2))
    table.add(
        Expert(
            "far",
            (3,),
            scattering,
            (),
            (shared_bit(5),),
            (Scatter(MOVED, 1),),
            Condition(4, True),
        )
    )
    for slot in range(3):
        table.wins[slot], table.visits[slot], table.duals_q16[slot] = slot, 10 + slot, slot << 20
    return table


@pytest.fixture
def table() -> ExpertTable:
    return new_table()


@pytest.fixture
def log(tmp_path: Path) -> Ledger:
    return Ledger(tmp_path / "log.jsonl")


def proved(table: ExpertTable, patch: Patch) -> Certificate:
    verdict = verify(table, patch)
    assert isinstance(verdict, Proved), verdict
    return verdict.certificate


def test_an_expert_gets_an_equivalent_circuit(table: ExpertTable, log: Ledger) -> None:
    word = table.find("sum")
    slot = table.slots.slot(word)
    table.wins[slot] = 7
    others = [table.expert(other) for other in table if other != word]
    patch = propose_replace(table, word, SHORT, reason="smaller", provenance=(("by", "test"),))
    assert patch.before == structure_hash(table) != patch.after
    index = apply(table, patch, proved(table, patch), log)
    assert structure_hash(table) == patch.after
    assert table.expert(word) == Expert("sum", (0, 1), SHORT, (2,))
    assert (table.slots.slot(word), table.wins[slot], table.visits[slot]) == (slot, 7, 10)
    assert [table.expert(other) for other in table if other != word] == others
    entry = list(read_entries(log.path))[index]
    assert (entry["kind"], entry["after"]) == ("patch.apply", patch.after)
    assert entry["certificate"]["patch"] == patch.fingerprint
    table.wins[slot] = 9
    assert undo(table, log).patch == patch
    assert structure_hash(table) == patch.before
    assert table.expert(word).circuit == LONG and table.wins[slot] == 9  # what was learned stays
    with pytest.raises(PatchError, match="undo: no patch is in force; apply one first"):
        undo(table, log)


def test_a_circuit_that_differs_is_refuted_with_a_lane_where_it_does(
    table: ExpertTable, log: Ledger
) -> None:
    patch = propose_replace(table, table.find("sum"), WRONG, reason="wrong")
    found = verify(table, patch, log=log)
    assert isinstance(found, Refuted)
    assert found.claim == "'sum' and 'sum' write the same where both apply"
    values = {place.base: value for place, value in found.counterexample}
    assert values[0] and values[1]  # a | b and a ^ b differ in 1, 1 alone
    (entry,) = read_entries(log.path)
    assert entry["kind"] == "patch.reject" and entry["patch"] == patch.fingerprint
    assert (entry["counterexample"]["s[0]"], entry["counterexample"]["s[1]"]) == (1, 1)
    assert not history(read_entries(log.path)).applied


def test_a_care_set_is_where_they_have_to_agree(table: ExpertTable, log: Ledger) -> None:
    never_both = Scope((0, 1), compile_expressions(["!(a & b)"], ["a", "b"]))
    patch = propose_replace(table, table.find("sum"), WRONG, scope=never_both, reason="care")
    apply(table, patch, proved(table, patch), log)
    assert table.expert(table.find("sum")).circuit == WRONG
    too_large = Scope((0,), compile_expressions(["a"], ["a"]))
    patch = propose_replace(table, table.find("sum"), LONG, scope=too_large, reason="care")
    found = verify(table, patch)
    assert isinstance(found, Refuted) and dict(found.counterexample)


@pytest.mark.parametrize("bit", [0, 4, 5])
@pytest.mark.parametrize("name", ["sum", "far"])
@pytest.mark.parametrize("charge", [0, 3 * OCTAVE_Q16])
def test_split_and_undo(log: Ledger, bit: int, name: str, charge: int) -> None:
    table = new_table()
    word = table.find(name)
    before, statistics = table.expert(word), table.statistics(word)
    patch = propose_split(table, word, bit, keep_charge_q16=charge, reason="two cases")
    children = [entry.identifier for entry in patch.added]
    apply(table, patch, proved(table, patch), log)
    assert [table.expert(child).condition for child in children] == [
        Condition(bit, False),
        Condition(bit, True),
    ]
    assert all(table.live[table.slots.slot(child)] for child in children)
    assert [table.statistics(c).dual_q16 for c in children] == [statistics.dual_q16] * 2
    assert [table.statistics(c).visits for c in children] == [0, 0]
    assert (word in table) == bool(charge)
    if charge:
        assert table.statistics(word).dual_q16 == statistics.dual_q16 + charge
    undo(table, log)
    assert structure_hash(table) == patch.before
    assert table.expert(word) == before and table.statistics(word) == statistics


def test_children_that_differ_from_their_parent_need_a_scope(
    table: ExpertTable, log: Ledger
) -> None:
    word, circuits = table.find("sum"), (SHORT, WRONG)  # b = 1: the coefficient of a & b is flipped
    patch = propose_split(table, word, 1, circuits=circuits, reason="b means or")
    found = verify(table, patch)
    assert isinstance(found, Refuted) and found.claim.startswith("'sum' and 'sum/1=1' write")
    scope = Scope((0, 1), compile_expressions(["!a | !b"], ["a", "b"]))
    patch = propose_split(table, word, 1, circuits=circuits, scope=scope, reason="b means or")
    apply(table, patch, proved(table, patch), log)
    assert {table.expert(w).name for w in table} == {"sum/1=0", "sum/1=1", "or", "far"}


def test_merge_puts_the_cases_together_again(table: ExpertTable, log: Ledger) -> None:
    parent = table.expert(table.find("sum"))
    split = propose_split(table, table.find("sum"), 5, reason="two cases")
    apply(table, split, proved(table, split), log)
    children = [entry.identifier for entry in split.added]
    patch = propose_merge(table, children, replace(parent, circuit=SHORT), reason="one case")
    apply(table, patch, proved(table, patch), log)
    assert table.expert(table.find("sum")).circuit == SHORT and len(table) == 3
    both = [table.find("or"), table.find("sum")]
    wrong = propose_merge(table, both, parent, reason="not the same")
    found = verify(table, wrong)
    assert isinstance(found, Refuted) and found.claim.startswith("'or' and 'sum'")
    undo(table, log)
    undo(table, log)
    assert structure_hash(table) == split.before


def test_a_merged_expert_must_not_do_more(table: ExpertTable) -> None:
    words = [
        table.add(Expert(n, (0,), Circuit(1, (), (0,)), (2,), condition=Condition(5, True)))
        for n in "xy"
    ]
    anywhere = Expert("z", (0,), Circuit(1, (), (0,)), (2,))
    found = verify(table, propose_merge(table, words, anywhere, reason="more"))
    assert isinstance(found, Refuted)
    assert found.claim == "'z' changes nothing where none of the old experts applies"
    gated = replace(anywhere, condition=Condition(5, True))
    proved(table, propose_merge(table, words, gated, reason="the same"))


def test_a_condition_must_not_change(table: ExpertTable) -> None:
    word = table.find("sum")
    patch = propose_replace(table, word, SHORT, reason="x")
    gated = replace(table.expert(word), condition=Condition(6, True))
    patch = replace(patch, added=(replace(patch.added[0], expert=gated),))
    found = verify(table, drafted(table, patch))
    assert isinstance(found, Refuted)
    assert found.claim == "'sum' changes nothing where none of the new experts applies"


def test_add_retire_and_remap(table: ExpertTable, log: Ledger) -> None:
    start, duals = structure_hash(table), dict(zip(table, table.duals_q16, strict=False))
    word = table.find("or")
    add = propose_add(table, Expert("new", (0,), Circuit(1, (), (0,)), (1,)), reason="more")
    apply(table, add, proved(table, add), log)
    retire = propose_retire(table, [word], reason="never right")
    apply(table, retire, proved(table, retire), log)
    assert word not in table and table.expert(table.find("new")).reads == (0,)
    order = list(table)[::-1]
    remap = propose_remap(table, order, reason="hot ones first")
    apply(table, remap, proved(table, remap), log)
    assert list(table) == order
    assert table.statistics(table.find("far")).dual_q16 == 2 << 20
    assert len(history(read_entries(log.path)).applied) == 3
    for patch in (remap, retire, add):
        assert undo(table, log).patch == patch
    assert structure_hash(table) == start
    assert dict(zip(table, table.duals_q16, strict=False)) == duals


def test_the_runners_rows_follow(tmp_path: Path, log: Ledger) -> None:
    machine = ExpertMachine(Memory(MachineConfig(n_bits=4)), bits=("a", "b", "c"))
    words = [machine.define(name, {"c": "a ^ b"}) for name in ("one", "two", "three")]
    machine.arrays.charges_q16[:3] = (5, 6, 7)
    remap = propose_remap(machine.table, words[::-1], reason="x")
    apply(machine.table, remap, proved(machine.table, remap), log)
    assert machine.arrays.charges_q16[:4].tolist() == [7, 6, 5, 0]
    retire = propose_retire(machine.table, words[1:2], reason="x")
    apply(machine.table, retire, proved(machine.table, retire), log)
    assert machine.arrays.charges_q16[:4].tolist() == [7, 0, 5, 0]
    undo(machine.table, log)
    undo(machine.table, log)
    assert machine.arrays.charges_q16[:4].tolist() == [5, 6, 7, 0]
    machine.arrays.clock[1] += 1  # a step that has not been learned from
    patch = propose_after(machine, words[0])
    assert patch == "patch: 1 steps have not been learned from; call machine.learn() first"


def test_children_are_found_where_their_parent_was(log: Ledger) -> None:
    """One patch changes experts, duals and what the ANN unit finds: policy and search follow."""
    config = MachineConfig(n_bits=4, n_shared_bits=64, max_experts=16)
    machine = ExpertMachine(Memory(config), bits=("a", "b", "c"))
    seen = range(0, 600, 100)
    words = [machine.define(f"at {where}", {"c": "a ^ b"}, at=where) for where in seen]
    parent = machine.candidates(300)[0]
    assert parent == words[3]
    machine.table.duals_q16[machine.table.slots.slot(parent)] = 77
    patch = propose_split(machine.table, parent, 0, keep_charge_q16=OCTAVE_Q16, reason="x")
    children = {entry.identifier for entry in patch.added}
    apply(machine.table, patch, proved(machine.table, patch), log)
    assert set(machine.candidates(300)[:3]) == {parent, *children}
    duals = {word: machine.table.statistics(word).dual_q16 for word in (parent, *children)}
    assert duals == {parent: 77 + OCTAVE_Q16} | dict.fromkeys(children, 77)
    undo(machine.table, log)
    assert machine.candidates(300)[0] == parent and not children & set(machine.candidates(300))


def propose_after(machine: ExpertMachine, word: int) -> str:
    with pytest.raises(PatchError) as refusal:
        propose_retire(machine.table, [word], reason="x")
    return str(refusal.value)


@pytest.mark.parametrize("workers", ["threads", pytest.param("processes", marks=pytest.mark.slow)])
def test_proofs_come_from_the_slow_path(
    table: ExpertTable, log: Ledger, workers: Literal["threads", "processes"]
) -> None:
    word = table.find("sum")
    patch = propose_replace(table, word, SHORT, reason="smaller")
    wrong = propose_replace(table, word, WRONG, reason="wrong")
    with SlowPath({"prove": prove}, workers=workers) as beside:
        for each in (patch, wrong):
            beside.offer("prove", obligations(table, each))
        table.visits[:] += 1  # the machine goes on meanwhile
        beside.wait()
        good, bad = (outcome.result for outcome in beside.collect())
    assert isinstance(bad, Refuted)
    apply(table, patch, certify(table, patch, evidence_for(patch, good)), log)
    assert table.expert(word).circuit == SHORT


def test_a_patch_leads_where_it_says(table: ExpertTable) -> None:
    patch = propose_replace(table, table.find("sum"), SHORT, reason="smaller")
    with pytest.raises(PatchError, match=r"the patch leads to [0-9a-f]{16} and not to 0000"):
        verify(table, replace(patch, after="0" * 64))
    with pytest.raises(PatchError, match="replace patch: changes nothing"):
        propose_replace(table, table.find("sum"), LONG, reason="the same")


def test_what_stops_half_way_is_taken_back(
    table: ExpertTable, log: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    patch = propose_split(table, table.find("sum"), 0, reason="two cases")
    certificate = proved(table, patch)
    memory_before = [table.memory.words(s).copy() for s in (1, 2)]
    real, live = ExpertTable.add, table

    def interrupted(self: ExpertTable, *args: object, **options: object) -> int:
        if self is live and len(self) == 3:
            raise KeyboardInterrupt
        return real(self, *args, **options)  # type: ignore[arg-type]

    monkeypatch.setattr(ExpertTable, "add", interrupted)
    with pytest.raises(KeyboardInterrupt):
        apply(table, patch, certificate, log)
    for words, now in zip(memory_before, (table.memory.words(s) for s in (1, 2)), strict=True):
        assert np.array_equal(words, now)
    assert not history(read_entries(log.path)).applied
    monkeypatch.undo()
    apply(table, patch, certificate, log)
    assert len(history(read_entries(log.path)).applied) == 1


def test_a_log_that_cannot_be_written_changes_nothing(table: ExpertTable, log: Ledger) -> None:
    patch = propose_retire(table, [table.find("or")], reason="x")
    certificate = proved(table, patch)
    log.close()
    with pytest.raises(LedgerError, match="the ledger is closed"):
        apply(table, patch, certificate, log)
    assert structure_hash(table) == patch.before


def test_a_budget_may_not_suffice(table: ExpertTable) -> None:
    builder = CircuitBuilder(8)
    left = builder.build([_parity(builder, range(8))])
    builder = CircuitBuilder(8)
    right = builder.build([_parity(builder, (7, 1, 3, 0, 2, 5, 6, 4))])
    word = table.add(Expert("parity", tuple(range(8)), left, (0,)))
    patch = propose_replace(table, word, right, reason="other order")
    found = verify(table, patch, budget=1, hand_over=False)
    assert isinstance(found, Undecided) and found.claim.startswith("'parity'")
    proved(table, patch)


def _parity(builder: CircuitBuilder, inputs: range | tuple[int, ...]) -> int:
    slot = inputs[0]
    for other in inputs[1:]:
        slot = builder.xor(slot, other)
    return slot


@pytest.mark.parametrize(
    ("parts", "message"),
    [
        ({"kind": Kind.RETIRE}, "retire patch: 0 go and 0 come"),
        ({"kind": Kind.RETIRE, "removed": (1, 1)}, "an expert is named twice"),
        ({"kind": Kind.MERGE, "removed": (1, 2)}, "merge patch: 2 go and 0 come"),
        ({"kind": Kind.REPLACE, "removed": (1,)}, "replace patch: 1 go and 0 come"),
        ({"kind": Kind.SPLIT, "removed": (1,)}, "split patch: 1 go and 0 come"),
        ({"kind": Kind.ADD}, "add patch: 0 go and 0 come"),
        ({"kind": Kind.REMAP}, "remap patch: 0 go and 0 come"),
        ({"kind": Kind.RETIRE, "removed": (1,), "order": (1,)}, "an order that is none"),
        ({"kind": Kind.RETIRE, "removed": (1,), "charges": ((2, 1),)}, "only the parent"),
    ],
)
def test_parts_that_make_no_patch(parts: dict, message: str) -> None:
    with pytest.raises(PatchError, match=message):
        Patch(before="", after="", reason="", **parts)


def test_scopes_that_are_none() -> None:
    with pytest.raises(PatchError, match="scope: a care circuit of 2 inputs and 1 outputs for"):
        Scope((0,), SHORT)
    assert Scope() == EVERYWHERE


def test_scatters_have_to_be_the_same(table: ExpertTable) -> None:
    word = table.find("far")
    patch = propose_replace(table, word, Circuit(2, SHORT.gates, (2, 0)), reason="x")
    expert = replace(patch.added[0].expert, scatters=(Scatter(shared_bit(1), 1),))
    patch = drafted(table, replace(patch, added=(replace(patch.added[0], expert=expert),)))
    with pytest.raises(PatchError, match="far and far scatter to different places"):
        verify(table, patch)


def test_addresses_that_may_be_out_of_range_have_to_be_the_same(table: ExpertTable) -> None:
    word = table.find("sum")
    patch = propose_replace(table, word, SHORT, reason="x")
    circuit = Circuit(3, (Gate(Op.XOR, 0, 1),), (3,))  # the third input is not used
    gathering = replace(patch.added[0].expert, circuit=circuit, gathers=(MOVED,))
    patch = drafted(table, replace(patch, added=(replace(patch.added[0], expert=gathering),)))
    with pytest.raises(PatchError, match="patch: sum and sum compute different addresses; let"):
        verify(table, patch)
    fixed = replace(gathering, gathers=(shared_bit(9),))
    patch = drafted(table, replace(patch, added=(replace(patch.added[0], expert=fixed),)))
    proved(table, patch)
