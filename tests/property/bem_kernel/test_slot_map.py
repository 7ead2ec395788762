"""A slot map against a dictionary, through any sequence of operations."""

from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from bem_kernel.identifiers.classes import IdClass
from bem_kernel.identifiers.ident import Identifier, encode
from bem_kernel.memory.configuration import MachineConfig
from bem_kernel.memory.memory import Memory
from bem_kernel.memory.slot_map import SlotMap

CAPACITY = 13
STEPS = st.lists(
    st.tuples(st.sampled_from(["allocate", "free", "rebalance"]), st.integers(0, 25)), max_size=60
)


@settings(max_examples=60)
@given(STEPS)
def test_it_is_a_dictionary_whose_contents_follow_their_identifiers(
    steps: list[tuple[str, int]],
) -> None:
    memory = Memory(MachineConfig(n_bits=8, n_shared_bits=64, n_parameters=1))
    slots = SlotMap.create(memory, "x", IdClass.CONCEPT, CAPACITY)
    words = [encode(Identifier(IdClass.CONCEPT, i % 3, 600 * i)) for i in range(26)]
    table = np.zeros(CAPACITY, dtype=np.int64)  # holds each object's number
    alive: set[int] = set()
    for action, number in steps:
        if action == "allocate" and number not in alive and len(alive) < CAPACITY:
            table[slots.allocate(words[number])] = number
            alive.add(number)
        elif action == "free" and number in alive:
            slots.free(words[number])
            alive.remove(number)
        elif action == "rebalance":
            table[:] = table[slots.rebalance()]
        assert len(slots) == len(alive)
        assert {number for number in range(26) if words[number] in slots} == alive
        assert all(table[slots.slot(words[number])] == number for number in alive)
    slots.check()
    found = slots.slots(np.array([0, *words], dtype=np.uint32))
    assert found[0] == -1
    taken = found[found >= 0]
    assert len(set(taken.tolist())) == len(alive) == len(taken)  # injective
    assert (slots.identifiers[taken] == np.array(words, dtype=np.uint32)[found[1:] >= 0]).all()
