"""The expert table: adding, finding, retiring, moving; room; tables found in memory."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from bem_kernel.circuits.circuit import Circuit, Gate, Op
from bem_kernel.errors import CircuitError, ExpertError, IdentifierError, KernelError
from bem_kernel.experts import descriptor as column
from bem_kernel.experts.expert import Condition, Expert
from bem_kernel.experts.hot import HotCode
from bem_kernel.experts.place import Field, Place, Scatter, Space, shared_bit
from bem_kernel.experts.regions import ArenaSizes
from bem_kernel.experts.table import ExpertTable, Statistics
from bem_kernel.identifiers.classes import IdClass
from bem_kernel.identifiers.ident import Identifier, decode, encode
from bem_kernel.memory.configuration import MachineConfig
from bem_kernel.memory.memory import Memory
from bem_kernel.memory.segments import Segment

XOR = Circuit(2, (Gate(Op.XOR, 0, 1),), (2, 0))
MOVED = Place(Space.SHARED, 40, ((Field(8, 4), -2), (Field(12, 3), 1)))


def expert(name: str = "e", gates: int = 1) -> Expert:
    """An expert with something in every field."""
    chain = tuple(Gate(Op.XOR, i, i + 1) for i in range(gates))
    circuit = Circuit(2, chain, (1 + gates, 0))
    return Expert(
        name, (3,), circuit, (4,), (shared_bit(7),), (Scatter(MOVED, 0),), Condition(5, False)
    )


def new_memory(**sizes: int) -> Memory:
    defaults = {"n_bits": 16, "n_shared_bits": 64, "max_experts": 8}
    return Memory(MachineConfig(**(defaults | sizes)))


def test_an_expert_comes_back_as_it_was_added() -> None:
    table = ExpertTable(new_memory())
    first, second = table.add(expert("one")), table.add(Expert("two", (0, 1), XOR, (2, 3)))
    assert table.expert(first) == expert("one")
    assert table.expert(second) == Expert("two", (0, 1), XOR, (2, 3))
    assert list(table) == [first, second] and len(table) == 2 and first in table
    assert decode(first).identifier.class_ == IdClass.EXPERT
    assert table.statistics(first) == Statistics(0, 0, 0)
    assert table.find("two") == second
    with pytest.raises(ExpertError, match="no expert is named 'three'; list the experts' names"):
        table.find("three")
    with pytest.raises(ExpertError, match="no expert is named"):
        table.find("n" * 65)


def test_an_identifier_may_be_given() -> None:
    table = ExpertTable(new_memory())
    word = encode(Identifier(IdClass.EXPERT, 3, 1234))
    assert table.add(expert(), word) == word
    with pytest.raises(IdentifierError, match="has a slot; free it first"):
        table.add(expert(), word)
    with pytest.raises(IdentifierError, match="is of class 1; use class 2"):
        table.add(expert(), encode(Identifier(IdClass.CONCEPT, 0, 0)))
    with pytest.raises(IdentifierError, match="is no identifier"):
        table.add(expert(), word ^ 1)
    assert len(table) == 1


def test_a_retired_expert_is_gone_and_its_identifier_is_not_used_again() -> None:
    table = ExpertTable(new_memory())
    word = table.add(expert())
    slot = table.slots.slot(word)
    table.wins[slot] = table.visits[slot] = table.duals_q16[slot] = 5
    table.retire(word)
    assert word not in table and not table.live.any() and table.high_slot == 0
    with pytest.raises(IdentifierError, match="has no slot"):
        table.expert(word)
    again = table.add(expert())
    assert again != word and table.slots.slot(again) == slot
    assert table.statistics(again) == Statistics(0, 0, 0)


def test_an_expert_that_is_not_findable_is_not_live() -> None:
    table = ExpertTable(new_memory())
    table.add(expert(), findable=False)
    table.add(expert())
    assert table.live.tolist() == [0, 1, 0, 0, 0, 0, 0, 0]


@pytest.mark.parametrize(
    ("misfit", "message"),
    [
        (Expert("e", (0, 16), XOR, (2, 3)), "needs 17 state bits, the machine has 16"),
        (Expert("e", (0,), XOR, (2, 3), (shared_bit(64),)), "needs 65 bits of shared memory"),
        (
            Expert("e", (0,), XOR, (2, 3), (Place(Space.STATE, 0, ((Field(60, 5), 1),)),)),
            "needs 65 bits of shared memory, the machine has 64; use a machine with a larger",
        ),
        (Expert("e" * 65, (0, 1), XOR, (2, 3)), "a name of 65 bytes; use at most 64 bytes"),
        (Expert("e\0", (0, 1), XOR, (2, 3)), "the last not NUL"),
    ],
)
def test_an_expert_that_does_not_fit_is_refused(misfit: Expert, message: str) -> None:
    table = ExpertTable(new_memory())
    with pytest.raises(ExpertError, match=message):
        table.add(misfit)
    assert len(table) == 0


def test_room_that_retired_experts_left_is_found_again() -> None:
    table = ExpertTable(new_memory(), ArenaSizes(gates=12, places=16, terms=8))
    words = [table.add(expert(f"e{i}", gates=3)) for i in range(4)]
    with pytest.raises(ExpertError, match="no room for 3 gates, 0 of 12 are free; retire experts"):
        table.add(expert("more", gates=3))
    assert len(table) == 4
    table.retire(words[0])
    table.retire(words[2])
    with pytest.raises(ExpertError, match="no room for 7 gates, 6 of 12 are free"):
        table.add(expert("large", gates=7))
    large = table.add(expert("large", gates=6))  # its gates fit where no single gap was enough
    assert table.expert(large) == expert("large", gates=6)
    for i in (1, 3):
        assert table.expert(words[i]) == expert(f"e{i}", gates=3)


def test_slots_run_out() -> None:
    table = ExpertTable(new_memory(max_experts=1))
    table.add(expert())
    with pytest.raises(IdentifierError, match="all 1 slots are taken"):
        table.add(expert())


def test_rebalancing_moves_experts_with_all_that_is_theirs() -> None:
    table = ExpertTable(new_memory())
    words = [table.add(expert(f"e{i}", gates=1 + i)) for i in range(5)]
    for i, word in enumerate(words):
        table.visits[table.slots.slot(word)] = 10 * i
        table.duals_q16[table.slots.slot(word)] = i
    table.retire(words[1])
    hot = table.slots.slot(words[4])
    table.hot.compile(hot, table.expert(words[4]).circuit)
    address = table.hot.addresses[hot]
    table.rebalance(-table.visits)
    assert [table.slots.slot(word) for word in (words[4], words[3], words[2], words[0])] == [
        *range(4)
    ]
    for i in (0, 2, 3, 4):
        assert table.expert(words[i]) == expert(f"e{i}", gates=1 + i)
        assert table.statistics(words[i]) == Statistics(0, 10 * i, i)
    assert table.hot.addresses[0] == address and len(table.hot) == 1
    assert table.live.tolist() == [1, 1, 1, 1, 0, 0, 0, 0]


def test_a_table_is_found_again_in_memory() -> None:
    memory = new_memory()
    table = ExpertTable(memory)
    words = [table.add(expert(f"e{i}")) for i in range(3)]
    table.retire(words[1])
    again = ExpertTable(memory)
    assert list(again) == [words[0], words[2]]
    assert again.expert(words[2]) == expert("e2")
    assert again.add(expert("new")) not in words
    assert again.scratch.slots.shape[0] >= 3


Damage = Callable[[ExpertTable, Memory], None]


def _descriptor(cell: int, value: int) -> Damage:
    def damage(table: ExpertTable, memory: Memory) -> None:
        table.arrays[0][0, cell] = value

    return damage


def _region(segment: Segment, name: str, index: tuple[int, ...], value: int) -> Damage:
    def damage(table: ExpertTable, memory: Memory) -> None:
        memory.region(segment, name)[index] = value

    return damage


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (_descriptor(column.IDENTIFIER, 77), "name different identifiers"),
        (_region(Segment.EXPERT, "experts.codes", (0,), 1), "name different identifiers"),
        (_descriptor(column.FIRST_GATE, -1), "gates -1 to -1, 1 are in use"),
        (_descriptor(column.N_GATES, 2**62), "gates 0 to"),
        (_descriptor(column.FIRST_PLACE, 1), "places 1 to 4, 4 are in use"),
        (_descriptor(column.N_OUTPUTS, 1), "not in the form in which it was stored"),
        (_descriptor(column.N_OUTPUTS, 2**63 - 1), "places 0 to"),
        (_descriptor(column.N_INPUTS, -1), "n_inputs is -1|places 0 to"),
        (_descriptor(column.N_READS, 5), "not in the form in which it was stored|reads names"),
        (_descriptor(column.N_TERMS, 1), "terms 0 to 2, the expert has 1"),
        (_descriptor(column.CONDITION_BIT, 99), "needs 100 state bits"),
        (_descriptor(column.CONDITION_VALUE, 2), "not in the form"),
        (_descriptor(15, 1), "not in the form"),
        (_region(Segment.EXPERT, "experts.gates", (0, 1), 2), "reads slot 2, which is not written"),
        (_region(Segment.EXPERT, "experts.gates", (0, 0), 9), "9 is not a valid Op"),
        (_region(Segment.EXPERT, "experts.places", (0, column.BASE), 16), "needs 17 state bits"),
        (_region(Segment.EXPERT, "experts.places", (0, column.SPACE), 1), "not in the form"),
        (_region(Segment.EXPERT, "experts.places", (1, column.SPACE), 2), "2 is not a valid Space"),
        (_region(Segment.EXPERT, "experts.places", (3, column.SLOT), 3), "output 1 is slot 3"),
        (_region(Segment.EXPERT, "experts.places", (3, column.ENABLE), 7), "enabled by output 7"),
        (_region(Segment.EXPERT, "experts.terms", (0, column.WIDTH), 60), "offset 8, width 60"),
        (_region(Segment.EXPERT, "experts.terms", (0, column.OFFSET), 62), "shared memory"),
        (_region(Segment.EXPERT, "experts.used", (0,), -1), "gates are int32 of shape .*, -1 used"),
        (_region(Segment.EXPERT, "experts.used", (1,), 2**40), "places are int64"),
        (_region(Segment.SHARED, "experts.duals_q16", (0,), 2**62), "a dual is out of range"),
        (_region(Segment.SHARED, "experts.duals_q16", (0,), -(2**63)), "a dual is out of range"),
        (_region(Segment.SHARED, "experts.identifiers", (0,), 0), "slots"),
    ],
)
def test_a_damaged_table_is_refused(damage: Damage, message: str) -> None:
    memory = new_memory()
    table = ExpertTable(memory)
    table.add(expert())
    damage(table, memory)
    with pytest.raises(KernelError, match=message) as caught:
        ExpertTable(memory)
    assert isinstance(caught.value, ExpertError | CircuitError | IdentifierError)


def test_heat_is_what_interpreting_has_cost() -> None:
    """An expert becomes hot when its runs have cost as much as compiling it."""
    gates = np.array([64, 64, 0], dtype=np.int64)
    code = HotCode(3)
    visits = np.array([7, 7, 7], dtype=np.int64)
    assert code.due(visits, gates, 1) == []  # runs before this process took over do not count
    few = visits + 1
    assert code.due(few, gates, 1) == []
    many = np.array([10**9, 2 * 10**9, 10**9], dtype=np.int64)
    assert code.due(many, gates, 1) == [1, 0]
    code.compile(1, XOR)
    assert code.due(many, gates, 1) == [0] and len(code) == 1
    code.drop(1)
    assert code.addresses.tolist() == [0, 0, 0] and len(code) == 0


def test_a_table_compiles_its_hottest_experts() -> None:
    table = ExpertTable(new_memory())
    slots = [table.slots.slot(table.add(expert(f"e{i}", gates=50))) for i in range(2)]
    assert table.heat() == 0
    table.visits[slots[1]] = 10**9
    assert table.heat() == 1
    assert table.hot.addresses[slots[0]] == 0 != table.hot.addresses[slots[1]]
    table.retire(int(table.slots.identifiers[slots[1]]))
    assert len(table.hot) == 0


def test_experts_that_share_rows_are_refused() -> None:
    memory = new_memory()
    table = ExpertTable(memory)
    table.add(expert("a", gates=3))
    table.add(expert("b", gates=3))
    table.arrays[0][1, column.FIRST_GATE] = 0
    with pytest.raises(ExpertError, match="expert table: two experts share gates; load another"):
        ExpertTable(memory)


def test_experts_without_gates_or_terms_share_nothing() -> None:
    memory = new_memory(max_experts=64)
    table = ExpertTable(memory)
    wires = Expert("wires", (0, 1), Circuit(2, (), (1, 0)), (0, 1))
    words = [table.add(wires if i % 3 else expert(f"e{i}", gates=1)) for i in range(40)]
    for word in words[::4]:
        table.retire(word)
    table.add(wires)
    assert len(ExpertTable(memory)) == 31
