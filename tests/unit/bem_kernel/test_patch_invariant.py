"""Invariants: added with a proof, kept by every expert that comes later."""

from __future__ import annotations

from pathlib import Path

import pytest

from bem_kernel.circuits.circuit import Circuit, Gate, Op
from bem_kernel.circuits.expression import compile_expressions
from bem_kernel.errors import PatchError
from bem_kernel.experts.expert import Condition, Expert, expert_from_expressions
from bem_kernel.experts.place import Field, Place, Scatter, Space, state_bit
from bem_kernel.experts.table import ExpertTable
from bem_kernel.ledger.chain import Ledger
from bem_kernel.memory.configuration import MachineConfig
from bem_kernel.memory.image import load_image, save_image
from bem_kernel.memory.memory import Memory
from bem_kernel.memory.segments import Segment
from bem_kernel.patches.apply import apply, undo
from bem_kernel.patches.invariant import read_invariants
from bem_kernel.patches.obligations import obligations
from bem_kernel.patches.patch import EVERYWHERE, Invariant, Patch, Predicate, Scope
from bem_kernel.patches.predicates import is_equivalent, is_proof, is_safe
from bem_kernel.patches.propose import (
    propose_add,
    propose_invariants,
    propose_replace,
    propose_split,
)
from bem_kernel.patches.structure import structure_hash
from bem_kernel.patches.verify import Proved, Refuted, prove, verify

BITS = {"confirmed": 0, "paid": 1, "refunded": 2, "bad": 3}


def expert(name: str, **assignments: str) -> Expert:
    return expert_from_expressions(name, assignments, BITS)


def invariant(text: str, *names: str) -> Invariant:
    bits = tuple(BITS[name] for name in names)
    return Invariant(text, Predicate(bits, compile_expressions([text], names)))


NOT_BAD = invariant("!bad", "bad")
PAID_FIRST = invariant("!refunded | paid", "refunded", "paid")


@pytest.fixture
def table() -> ExpertTable:
    sizes = {"shared_words": 4096, "expert_words": 4096, "max_experts": 8}
    table = ExpertTable(Memory(MachineConfig(n_bits=8, n_shared_bits=64, **sizes)))
    table.add(expert("pay", paid="true"))
    table.add(expert("refund", refunded="paid & confirmed", bad="bad | (refunded & !paid)"))
    return table


@pytest.fixture
def log(tmp_path: Path) -> Ledger:
    return Ledger(tmp_path / "log.jsonl")


def carried_out(table: ExpertTable, patch: Patch, log: Ledger) -> None:
    verdict = verify(table, patch)
    assert isinstance(verdict, Proved), verdict
    apply(table, patch, verdict.certificate, log)


def test_what_is_not_inductive_alone_is_with_another(table: ExpertTable, log: Ledger) -> None:
    alone = propose_invariants(table, [NOT_BAD], reason="safety")
    found = verify(table, alone)
    assert isinstance(found, Refuted) and found.claim == "'refund' keeps the invariant '!bad'"
    values = dict(found.counterexample)
    assert values[state_bit(BITS["refunded"])] and not values[state_bit(BITS["paid"])]
    both = propose_invariants(table, [NOT_BAD, PAID_FIRST], reason="safety")
    carried_out(table, both, log)
    assert read_invariants(table.memory) == (NOT_BAD, PAID_FIRST)
    assert structure_hash(table) == both.after
    undo(table, log)
    assert read_invariants(table.memory) == () and structure_hash(table) == both.before


def test_every_expert_that_comes_keeps_them(table: ExpertTable, log: Ledger) -> None:
    carried_out(table, propose_invariants(table, [NOT_BAD, PAID_FIRST], reason="safety"), log)
    unpay = expert("unpay", paid="false")
    found = verify(table, propose_add(table, unpay, reason="x"))
    assert isinstance(found, Refuted)
    assert found.claim == "'unpay' keeps the invariant '!refunded | paid'"
    careful = Expert("c", (), unpay.circuit, (1,), condition=Condition(BITS["refunded"], False))
    carried_out(table, propose_add(table, careful, reason="only before a refund"), log)
    # A care set does not excuse from the invariants.
    word = table.find("pay")
    never = Scope((0,), Circuit(1, (Gate(Op.XOR, 0, 0),), (1,)))
    patch = propose_replace(table, word, unpay.circuit, scope=never, reason="nothing is asked")
    found = verify(table, patch)
    assert isinstance(found, Refuted)
    assert found.claim == "'pay' keeps the invariant '!refunded | paid'"
    carried_out(table, propose_split(table, word, 0, reason="cases"), log)


def test_invariants_only_grow(table: ExpertTable, log: Ledger) -> None:
    carried_out(table, propose_invariants(table, [NOT_BAD, PAID_FIRST], reason="safety"), log)
    weaker = Invariant(PAID_FIRST.name, Predicate((), compile_expressions(["true"], [])))
    found = verify(table, propose_invariants(table, [weaker], reason="weaker"))
    assert isinstance(found, Refuted)
    assert found.claim == "the invariant '!refunded | paid' follows from the new ones"
    stronger = Invariant(
        PAID_FIRST.name,
        Predicate((0, 2, 1), compile_expressions(["!r | p & c"], ["c", "r", "p"])),
    )
    found = verify(table, propose_invariants(table, [stronger], reason="stronger"))
    carried_out(table, propose_invariants(table, [stronger], reason="stronger"), log)


def test_an_interrupt_leaves_no_invariant_behind(
    table: ExpertTable, log: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The region that the first invariants are written to is made by the patch itself."""
    patch = propose_invariants(table, [PAID_FIRST], reason="safety")

    def interrupted(*_: object) -> None:
        assert read_invariants(table.memory) == (PAID_FIRST,)
        raise KeyboardInterrupt

    with monkeypatch.context() as at_the_end:
        at_the_end.setattr("bem_kernel.patches.apply.check_structure", interrupted)
        with pytest.raises(KeyboardInterrupt):
            carried_out(table, patch, log)
    assert read_invariants(table.memory) == () and structure_hash(table) == patch.before
    carried_out(table, patch, log)


def test_they_hold_now(table: ExpertTable, log: Ledger) -> None:
    patch = propose_invariants(table, [NOT_BAD, PAID_FIRST], reason="safety")
    verdict = verify(table, patch)
    assert isinstance(verdict, Proved)
    table.memory.planes[BITS["bad"], 0] = 1 << 17
    with pytest.raises(PatchError, match="invariant !bad: does not hold in lane 17 now; bring"):
        verify(table, patch)
    with pytest.raises(PatchError, match="invariant !bad: does not hold in lane 17 now"):
        apply(table, patch, verdict.certificate, log)
    assert read_invariants(table.memory) == () and len(log) == 0
    table.memory.planes[BITS["bad"], 0] = 0
    apply(table, patch, verdict.certificate, log)


def test_computed_addresses_may_be_any_bit(table: ExpertTable, log: Ledger) -> None:
    carried_out(table, propose_invariants(table, [NOT_BAD, PAID_FIRST], reason="safety"), log)
    one = Circuit(0, (Gate(Op.CONST1),), (0,))
    for place, claim in (
        (Place(Space.STATE, 0, ((Field(0, 2), 1),)), "'far' keeps the invariant '!bad'"),
        (state_bit(BITS["bad"]), "'far' keeps the invariant '!bad'"),
        (state_bit(BITS["refunded"]), "'far' keeps the invariant '!refunded | paid'"),
    ):
        far = Expert("far", (), one, (), (), (Scatter(place),))
        found = verify(table, propose_add(table, far, reason="x"))
        assert isinstance(found, Refuted) and found.claim == claim
    for place in (state_bit(BITS["paid"]), Place(Space.SHARED, BITS["bad"])):
        far = Expert("far", (), one, (), (), (Scatter(place),))
        assert isinstance(verify(table, propose_add(table, far, reason="x")), Proved)


def test_an_image_has_them_and_damage_is_found(
    table: ExpertTable, log: Ledger, tmp_path: Path
) -> None:
    carried_out(table, propose_invariants(table, [NOT_BAD, PAID_FIRST], reason="safety"), log)
    save_image(table.memory, tmp_path / "image")
    memory = load_image(tmp_path / "image")
    assert read_invariants(memory) == (NOT_BAD, PAID_FIRST)
    assert structure_hash(ExpertTable(memory)) == structure_hash(table)
    region = memory.region(Segment.PROOF, "patches.invariants")
    region[0] = ord("{")
    assert structure_hash(ExpertTable(memory)) != structure_hash(table)
    with pytest.raises(PatchError, match=r"memory PROOF.patches.invariants: the record: Invalid"):
        read_invariants(memory)


def test_what_makes_no_invariant(table: ExpertTable) -> None:
    with pytest.raises(PatchError, match="predicate: a circuit of 1 inputs and 1 outputs for bit"):
        Predicate((), compile_expressions(["a"], ["a"]))
    large = Predicate((9,), compile_expressions(["a"], ["a"]))
    with pytest.raises(PatchError, match="invariant x: reads state bit 9, the machine has 8; use"):
        propose_invariants(table, [Invariant("x", large)], reason="x")
    long = Invariant("x" * (1 << 15), NOT_BAD.holds)
    with pytest.raises(PatchError, match=r"patch: \d+ bytes of invariants; use up to 32768"):
        propose_invariants(table, [long], reason="x")


def test_the_verifiers_yes_and_no(table: ExpertTable, log: Ledger) -> None:
    word = table.find("pay")
    patch = propose_replace(table, word, Circuit(0, (Gate(Op.CONST0),), (0,)), reason="x")
    paid_never = Scope((1,), compile_expressions(["a & !a"], ["a"]))
    assert is_safe(table, patch)  # nothing is asked yet
    carried_out(table, propose_invariants(table, [NOT_BAD, PAID_FIRST], reason="safety"), log)
    assert not is_safe(table, patch)
    assert not is_equivalent(table, patch, EVERYWHERE)
    assert is_equivalent(table, patch, paid_never)
    split = propose_split(table, word, 0, reason="cases")
    assert is_safe(table, split) and is_equivalent(table, split, EVERYWHERE)
    (owed, *_) = obligations(table, split)
    (proof, *_) = prove(obligations(table, split))
    assert is_proof(owed.cnf, proof)
    assert not is_proof(obligations(table, patch)[0].cnf, proof)
