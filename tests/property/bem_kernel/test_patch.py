"""Verdicts on random patches equal what running the experts on every state shows."""

from __future__ import annotations

from dataclasses import replace
from itertools import product
from random import Random
from tempfile import TemporaryDirectory

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from bem_kernel.circuits.circuit import Circuit
from bem_kernel.circuits.random_circuit import random_circuit
from bem_kernel.experts.expert import Condition, Expert, transform
from bem_kernel.experts.place import Scatter, shared_bit, state_bit
from bem_kernel.experts.table import ExpertTable
from bem_kernel.lanes import pack_bits
from bem_kernel.ledger.chain import Ledger
from bem_kernel.memory.configuration import MachineConfig
from bem_kernel.memory.memory import Memory
from bem_kernel.patches.apply import apply, undo
from bem_kernel.patches.fold import without_condition
from bem_kernel.patches.patch import EVERYWHERE, Invariant, Patch, Predicate, Scope
from bem_kernel.patches.propose import (
    drafted,
    propose_add,
    propose_invariants,
    propose_remap,
    propose_replace,
    propose_retire,
    propose_split,
)
from bem_kernel.patches.structure import structure_hash
from bem_kernel.patches.verify import Proved, Refuted, verify

N = 5
STATES = np.array(list(product([False, True], repeat=N)))  # (32, N), a lane each
SHARED = np.zeros(1, dtype=np.uint64)


def random_expert(rng: Random, condition: Condition | None, scatters: bool = True) -> Expert:
    """Reads up to three bits and one of M, writes two, and may scatter to one where enabled."""
    reads = tuple(rng.randrange(N) for _ in range(rng.randrange(1, 4)))
    circuit = random_circuit(rng, len(reads) + 1, rng.randrange(5), 4 if scatters else 2)
    places = (Scatter(state_bit(rng.randrange(N)), 3),) if scatters else ()
    writes = tuple(rng.sample(range(N), 2))
    return Expert("e", reads, circuit, writes, (shared_bit(3),), places, condition)


def random_condition(rng: Random) -> Condition | None:
    return Condition(rng.randrange(N), rng.random() < 1 / 2) if rng.random() < 1 / 2 else None


def after(expert: Expert, shared: int = 0) -> np.ndarray:
    """The state after an expert, for every state and one value of the bit of M that it reads."""
    memory = SHARED | np.uint64(shared << 3)
    planes, _ = transform([(expert, None)], pack_bits(STATES), memory)
    bits = planes[:, 0, None] >> np.arange(len(STATES), dtype=np.uint64) & np.uint64(1)
    return bits.T.astype(bool)


def new_table() -> ExpertTable:
    return ExpertTable(
        Memory(
            MachineConfig(
                n_bits=N, n_shared_bits=64, max_experts=8, expert_words=4096, shared_words=4096
            )
        )
    )


def random_scope(rng: Random) -> tuple[Scope, np.ndarray]:
    """A scope, and the states in it."""
    if rng.random() < 1 / 2:
        return EVERYWHERE, np.ones(len(STATES), dtype=bool)
    a, b = rng.sample(range(N), 2)
    circuit = random_circuit(rng, 2, 2, 1)
    tester = Expert("t", (a, b), circuit, (a,))
    return Scope((a, b), circuit), after(tester)[:, a]


@settings(max_examples=80, deadline=None)
@given(st.integers(0, 2**32), st.booleans())
def test_replacing_is_proved_exactly_where_nothing_changes(seed: int, scatters: bool) -> None:
    rng = Random(seed)
    old = random_expert(rng, random_condition(rng), scatters)
    new = replace(old, circuit=changed_circuit(rng, old.circuit))
    if rng.random() < 1 / 4:
        new = replace(new, condition=random_condition(rng))
    if new == old:
        return
    scope, inside = random_scope(rng)
    table = new_table()
    patch = propose_replace(table, table.add(old), _other(old.circuit), scope=scope, reason="x")
    patch = drafted(table, replace(patch, added=(replace(patch.added[0], expert=new),)))
    verdict = verify(table, patch)
    differs = [(after(old, m) != after(new, m)).any(axis=1) & inside for m in (0, 1)]
    if not scatters:  # else a later write may hide a difference, which the formula does not use
        assert isinstance(verdict, Refuted) == bool(differs[0].any() or differs[1].any())
    if isinstance(verdict, Proved):
        assert not differs[0].any() and not differs[1].any()
    elif isinstance(verdict, Refuted) and not scatters:
        values = dict(verdict.counterexample)
        lane = [values.get(state_bit(bit), False) for bit in range(N)]
        here = (lane == STATES).all(axis=1)
        assert differs[int(values.get(shared_bit(3), False))][here].all()


def changed_circuit(rng: Random, circuit: Circuit) -> Circuit:
    """Another circuit of the same shape, mostly with one output changed."""
    if rng.random() < 1 / 2:
        return random_circuit(rng, circuit.n_inputs, len(circuit.gates), circuit.n_outputs)
    outputs = list(circuit.outputs)
    outputs[rng.randrange(len(outputs))] = rng.randrange(circuit.n_slots)
    return replace(circuit, outputs=tuple(outputs))


def _other(circuit: Circuit) -> Circuit:
    """Another circuit of the same shape, whatever it computes."""
    outputs = tuple((slot + 1) % circuit.n_slots for slot in circuit.outputs)
    return replace(circuit, outputs=outputs)


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 2**32))
def test_folded_conditions_and_children_do_what_the_parent_did(seed: int) -> None:
    rng = Random(seed)
    parent = random_expert(rng, random_condition(rng))
    folded = without_condition(parent)
    assert folded.condition is None
    table = new_table()
    patch = propose_split(table, table.add(parent), bit := rng.randrange(N), reason="x")
    assert isinstance(verify(table, patch), Proved)
    zero, one = (entry.expert for entry in patch.added)
    for shared in (0, 1):
        expected = after(parent, shared)
        assert (after(folded, shared) == expected).all()
        chosen = np.where(STATES[:, [bit]], after(one, shared), after(zero, shared))
        assert (chosen == expected).all()


@settings(max_examples=12, deadline=None)
@given(st.integers(0, 2**32))
def test_undoing_everything_leads_back(seed: int) -> None:
    rng = Random(seed)
    table = new_table()
    for _ in range(2):
        table.add(random_expert(rng, random_condition(rng)))
    start = structure_hash(table)
    experts = [table.expert(word) for word in table]
    with TemporaryDirectory() as folder, Ledger(f"{folder}/log") as log:
        count = 0
        for _ in range(6):
            patch = random_patch(rng, table)
            if patch is not None and isinstance(verdict := verify(table, patch), Proved):
                apply(table, patch, verdict.certificate, log)
                assert structure_hash(table) == patch.after
                count += 1
        for _ in range(count):
            undo(table, log)
    assert structure_hash(table) == start
    assert [table.expert(word) for word in table] == experts


def random_patch(rng: Random, table: ExpertTable) -> Patch | None:
    words = list(table)
    match rng.randrange(4):
        case 0 if words and len(words) < 7:
            return propose_split(table, rng.choice(words), rng.randrange(N), reason="x")
        case 1 if len(words) > 1:
            return propose_retire(table, rng.sample(words, 2), reason="x")
        case 2 if len(words) < 7:
            return propose_add(table, random_expert(rng, None), reason="x")
        case 3 if len(words) > 1:
            return propose_remap(table, words[1:] + words[:1], reason="x")
    return None


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 2**32), st.booleans())
def test_an_invariant_is_proved_exactly_where_steps_keep_it(seed: int, scatters: bool) -> None:
    rng = Random(seed)
    expert = random_expert(rng, random_condition(rng), scatters)
    table = new_table()
    table.add(expert)
    invariants, inside = [], np.ones(len(STATES), dtype=bool)
    for name in ("i", "j"):
        a, b = rng.sample(range(N), 2)
        circuit = random_circuit(rng, 2, 2, 1)
        invariants.append(Invariant(name, Predicate((a, b), circuit)))
        inside &= after(Expert("t", (a, b), circuit, (a,)))[:, a]
    if not inside[0]:  # the machine's lanes are all in state 0
        return
    row_of = {tuple(state): row for row, state in enumerate(STATES.tolist())}
    kept = all(
        inside[row_of[tuple(state)]] for m in (0, 1) for state in after(expert, m)[inside].tolist()
    )
    verdict = verify(table, propose_invariants(table, invariants, reason="x"))
    assert isinstance(verdict, Proved) == kept
