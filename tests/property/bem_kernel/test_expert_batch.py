"""EXPERT_BATCH: the kernels equal the plain twin, and grouping does not matter."""

from __future__ import annotations

from random import Random

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bem_kernel.circuits.circuit import Circuit, Gate, Op
from bem_kernel.circuits.random_circuit import random_circuit
from bem_kernel.errors import ExpertError
from bem_kernel.experts.batch import apply_expert, apply_lanes, fingerprint_planes
from bem_kernel.experts.expert import Condition, Expert, transform
from bem_kernel.experts.faults import FAULT_ADDRESS, FAULT_EXPERT
from bem_kernel.experts.place import Field, Place, Scatter, Space
from bem_kernel.experts.table import ExpertTable
from bem_kernel.lanes import Planes, Word, lane_mask, pack_bits
from bem_kernel.memory.configuration import MachineConfig
from bem_kernel.memory.memory import Memory

N, K = 40, 192
SEEDS = st.integers(0, 2**32)


def random_place(random: Random, *, wild: bool) -> Place:
    """A place; a wild one may be out of range."""
    space = random.choice(list(Space))
    limit = N if space is Space.STATE else K
    if random.random() < 0.5:
        return Place(space, random.randrange(limit))
    terms, reach = [], 0
    for _ in range(random.randrange(1, 3)):
        width, stride = random.randrange(1, 3), random.choice((-2, -1, 1, 2))
        terms.append((Field(random.randrange(K - width), width), stride))
        reach += abs(stride) * ((1 << width) - 1)
    base = random.randrange(limit) if wild else random.randrange(reach, limit - reach)
    return Place(space, base, tuple(terms))


def random_expert(random: Random, name: str, *, wild: bool = False) -> Expert:
    """An expert with everything that an expert can have."""
    n_reads, n_writes = random.randrange(4), random.randrange(4)
    gathers = tuple(random_place(random, wild=wild) for _ in range(random.randrange(4)))
    n_scatters, n_extra = random.randrange(4), random.randrange(2)
    n_inputs, n_outputs = n_reads + len(gathers), n_writes + n_scatters + n_extra
    if n_scatters == 0:
        n_outputs -= n_extra
        n_extra = 0
    circuit = _circuit(random, n_inputs, n_outputs)
    scatters = []
    for i in range(n_scatters):
        enable = random.choice((None, random.randrange(n_outputs)))
        if i == 0 and n_extra:
            enable = n_outputs - 1
        scatters.append(Scatter(random_place(random, wild=wild), enable))
    condition = Condition(random.randrange(N), random.random() < 0.5)
    return Expert(
        name,
        tuple(random.sample(range(N), n_reads)),
        circuit,
        tuple(random.sample(range(N), n_writes)),
        gathers,
        tuple(scatters),
        random.choice((None, condition)),
    )


def _circuit(random: Random, n_inputs: int, n_outputs: int) -> Circuit:
    if n_inputs == 0 or n_outputs == 0:
        gates = (Gate(Op.CONST0), Gate(Op.CONST1))
        outputs = tuple(n_inputs + random.randrange(2) for _ in range(n_outputs))
        return Circuit(n_inputs, gates, outputs)
    gates = random.randrange(12)
    drawn = random_circuit(random, n_inputs, max(gates, n_outputs), n_outputs)
    slots = tuple(random.randrange(drawn.n_slots) for _ in range(n_outputs))  # inputs, repeats too
    return Circuit(n_inputs, drawn.gates, slots)


def random_words(seed: int, shape: tuple[int, ...]) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 2**64, shape, dtype=np.uint64)


def machine(lanes: int, seed: int) -> tuple[Memory, ExpertTable]:
    memory = Memory(MachineConfig(n_bits=N, n_shared_bits=K, lanes=lanes, max_experts=8))
    memory.planes[:] = random_words(seed, memory.planes.shape)
    memory.shared_bits[:] = random_words(seed + 1, memory.shared_bits.shape)
    return memory, ExpertTable(memory)


def snapshot(memory: Memory) -> tuple[Planes, Word]:
    return memory.planes.copy(), memory.shared_bits.copy()


def same(one: tuple[Planes, Word], other: tuple[Planes, Word]) -> bool:
    return bool((one[0] == other[0]).all() and (one[1] == other[1]).all())


@settings(max_examples=150)
@given(SEEDS, st.sampled_from((1, 63, 64, 130, 64 * 65)), st.booleans())
def test_one_expert_on_many_lanes_equals_the_plain_twin(seed: int, lanes: int, hot: bool) -> None:
    random = Random(seed)
    memory, table = machine(lanes, seed)
    expert = random_expert(random, "e", wild=True)
    slot = table.slots.slot(table.add(expert))
    assert table.expert(int(table.slots.identifiers[slot])) == expert
    if hot and expert.circuit.n_outputs:
        table.hot.compile(slot, expert.circuit)
    before = snapshot(memory)
    words = before[0].shape[1]
    mask = lane_mask(lanes) & random_words(seed + 2, (words,))
    fault = apply_expert(
        table.arrays, slot, memory.plane_rows, words, memory.shared_bits, mask, table.scratch.arrays
    )
    if fault == 0:
        assert same(snapshot(memory), transform([(expert, mask)], *before))
        return
    assert fault == FAULT_ADDRESS and table.scratch.fault_slot == slot
    assert same(snapshot(memory), before)
    with pytest.raises(ExpertError, match=r"expert e: .* bit -?\d+ does not exist"):
        transform([(expert, mask)], *before)


@settings(max_examples=150)
@given(SEEDS, st.sampled_from((1, 5, 64, 130)))
def test_an_expert_per_lane_equals_the_plain_twin(seed: int, lanes: int) -> None:
    random = Random(seed)
    memory, table = machine(lanes, seed)
    experts = [random_expert(random, f"e{i}") for i in range(random.randrange(1, 5))]
    slots = [table.slots.slot(table.add(expert)) for expert in experts]
    choices = np.array([random.choice((-1, *slots)) for _ in range(lanes)], dtype=np.int64)
    before = snapshot(memory)
    words = before[0].shape[1]
    batch = [
        (expert, pack_bits((choices == slot)[:, None])[0])
        for expert, slot in zip(experts, slots, strict=True)
    ]
    expected = transform(batch, *before)
    scratch = table.scratch.arrays
    for _ in range(2):  # nothing of the first batch is left for the second
        memory.planes[:], memory.shared_bits[:] = before
        fault = apply_lanes(
            table.arrays, choices, memory.plane_rows, words, memory.shared_bits, scratch
        )
        assert fault == 0 and same(snapshot(memory), expected)


@settings(max_examples=100)
@given(SEEDS)
def test_how_lanes_are_grouped_does_not_matter(seed: int) -> None:
    """A batch split into experts of one lane each, in any order, is the same step."""
    random = Random(seed)
    lanes = 9
    state, shared = random_words(seed, (N, 1)), random_words(seed + 1, (K // 64,))
    experts = [random_expert(random, f"e{i}") for i in range(3)]
    choices = [random.randrange(3) for _ in range(lanes)]
    grouped = [
        (experts[i], pack_bits(np.array([[choice == i] for choice in choices]))[0])
        for i in range(3)
    ]
    split = [
        (experts[choice], np.array([1 << lane], dtype=np.uint64))
        for lane, choice in enumerate(choices)
    ]
    random.shuffle(split)
    assert same(transform(grouped, state, shared), transform(split, state, shared))


@given(SEEDS)
def test_the_fingerprint_follows_every_write(seed: int) -> None:
    memory, table = machine(130, seed)
    slot = table.slots.slot(table.add(random_expert(Random(seed), "e")))
    scratch = table.scratch
    scratch.fingerprint[:] = (fingerprint_planes(memory.plane_rows, 3), 1)
    mask = lane_mask(130)
    arguments = (memory.plane_rows, 3, memory.shared_bits, mask, scratch.arrays)
    for _ in range(3):
        apply_expert(table.arrays, slot, *arguments)
        assert scratch.fingerprint[0] == fingerprint_planes(memory.plane_rows, 3)


def test_states_that_differ_have_different_fingerprints() -> None:
    seen = {0}
    for row in range(40):
        for bit in range(128):
            planes = np.zeros((40, 2), dtype=np.uint64)
            planes[row, bit // 64] = np.uint64(1 << bit % 64)
            seen.add(int(fingerprint_planes(planes, 2)))
    assert len(seen) == 1 + 40 * 128


@pytest.mark.parametrize("slot", [-2, 1, 8, 2**62])
def test_a_slot_without_an_expert_is_a_fault(slot: int) -> None:
    memory, table = machine(64, 0)
    table.add(random_expert(Random(0), "e"))
    before, mask = snapshot(memory), lane_mask(64)
    arguments = (memory.plane_rows, 1, memory.shared_bits)
    scratch = table.scratch
    fault = apply_expert(table.arrays, slot, *arguments, mask, scratch.arrays)
    assert fault == FAULT_EXPERT and scratch.fault_slot == slot
    choices = np.array([0, slot, 0], dtype=np.int64)
    fault = apply_lanes(table.arrays, choices, *arguments, scratch.arrays)
    assert fault == FAULT_EXPERT and scratch.fault_slot == slot
    assert same(snapshot(memory), before)
    # The lists of the refused batch are gone: a good one runs.
    assert apply_lanes(table.arrays, np.zeros(3, dtype=np.int64), *arguments, scratch.arrays) == 0


def test_a_fault_of_one_expert_keeps_the_others_from_running() -> None:
    memory, table = machine(64, 0)
    memory.shared_bits[:] = 2**64 - 1
    copy = Circuit(1, (), (0,))
    good = table.add(Expert("good", (0,), copy, (1,)))
    beyond = Place(Space.STATE, N - 1, ((Field(0, 1), 1),))
    bad = table.add(Expert("bad", (0,), copy, (), scatters=(Scatter(beyond),)))
    choices = np.array([table.slots.slot(good), table.slots.slot(bad)], dtype=np.int64)
    before = snapshot(memory)
    fault = apply_lanes(
        table.arrays, choices, memory.plane_rows, 1, memory.shared_bits, table.scratch.arrays
    )
    assert fault == FAULT_ADDRESS and table.scratch.fault_slot == choices[1]
    assert same(snapshot(memory), before)


def test_many_lanes_may_write_many_shared_bits() -> None:
    """The table of pending writes is large enough for every lane and scatter."""
    lanes = 640
    sizes = MachineConfig(n_bits=N, n_shared_bits=4096, lanes=lanes, max_experts=lanes)
    memory = Memory(sizes)
    table = ExpertTable(memory)
    one = Circuit(0, (Gate(Op.CONST1),), (0, 0))
    for i in range(lanes):
        scatters = tuple(Scatter(Place(Space.SHARED, 2 * i + j)) for j in range(2))
        table.add(Expert(f"e{i}", (), one, (), scatters=scatters))
    choices = np.arange(lanes, dtype=np.int64)
    arguments = (memory.plane_rows, lanes // 64, memory.shared_bits, table.scratch.arrays)
    assert apply_lanes(table.arrays, choices, *arguments) == 0
    assert np.bitwise_count(memory.shared_bits).sum() == 2 * lanes
