"""Reachability of random systems, by each method, against all their states one by one."""

from __future__ import annotations

import random

import numpy as np
import pytest

from bem_kernel.circuits.builder import CircuitBuilder
from bem_kernel.engines.engine import evaluate
from bem_kernel.hoare.reach import Method, Reached, Unreachable, reach
from bem_kernel.hoare.reach_proof import check_unreachable
from bem_kernel.hoare.transition import ANY_STATE, TransitionSystem, states_of
from bem_kernel.lanes import pack_bits, unpack_bits


def random_system(seed: int) -> TransitionSystem:
    draw = random.Random(seed)
    n, n_free = draw.choice([1, 3, 5, 7]), draw.choice([0, 1, 2])
    builder = CircuitBuilder(n + n_free)
    slots = list(range(n + n_free))
    for _ in range(draw.choice([10, 30])):
        gate = draw.choice([builder.and_, builder.or_, builder.xor])
        a, b = draw.choice(slots), draw.choice(slots)
        slots.append(gate(a, builder.not_(b) if draw.random() < 0.3 else b))

    def all_of_some(count: int) -> int:
        together = builder.const(True)
        for slot in draw.choices(slots, k=count):
            together = builder.and_(together, slot if draw.random() < 0.5 else builder.not_(slot))
        return together

    following = draw.choices(slots[-3 * n :], k=n)
    allowed = builder.not_(all_of_some(3)) if draw.random() < 0.6 else builder.const(True)
    step = builder.build([*following, allowed, all_of_some(draw.choice([2, 4, 6]))])
    first = tuple(draw.choice([False, False, True, None]) for _ in range(n))
    if n < 3 or draw.random() < 0.6:
        return TransitionSystem(first, step)
    also = tuple(draw.sample(range(n), 2))
    pair = CircuitBuilder(2)
    initial = pair.build([draw.choice([pair.or_, pair.and_, pair.xor])(0, 1)])
    free = tuple(None if bit in also else value for bit, value in enumerate(first))
    return TransitionSystem(free, step, also, initial)


def shortest_bad_run(system: TransitionSystem) -> int | None:
    """Steps of the shortest run that ends bad, by looking at every state."""
    n, ways = system.n_state, 1 << system.n_free
    rows = np.arange(ways << n)[:, None] >> np.arange(n + system.n_free) & 1
    outputs = unpack_bits(evaluate(system.step, pack_bits(rows.astype(bool))), len(rows))
    following = (outputs[:, :n] @ (1 << np.arange(n))).reshape(ways, 1 << n)
    allowed = outputs[:, n].reshape(ways, 1 << n)
    bad = allowed & outputs[:, n + 1].reshape(ways, 1 << n)
    states = rows[: 1 << n, :n].astype(bool)
    begins = np.ones(1 << n, dtype=bool)
    for bit, value in enumerate(system.first):
        begins &= value is None or states[:, bit] == value
    inputs = pack_bits(states[:, list(system.also)])
    begins &= unpack_bits(evaluate(system.initial, inputs), 1 << n)[:, 0]
    new, seen, steps = begins, begins.copy(), 1
    while new.any():
        if bad[:, new].any():
            return steps
        reached = np.zeros_like(new)
        for way in range(ways):
            reached[following[way][new & allowed[way]]] = True
        new = reached & ~seen
        seen |= reached
        steps += 1
    return None


def agree(seeds: range) -> None:
    for seed in seeds:
        system = random_system(seed)
        steps = shortest_bad_run(system)
        for method in Method:
            found = reach(system, depth=200, method=method)
            if steps is None:
                assert isinstance(found, Unreachable), (seed, method, found)
                check_unreachable(system, found.evidence)
            else:
                assert isinstance(found, Reached), (seed, method, found)
                assert len(states_of(system, found.path)) == len(found.path) >= steps
                if method is Method.INDUCTION:  # depth by depth: the shortest is found first
                    assert len(found.path) == steps


def test_verdicts_agree_with_all_states() -> None:
    agree(range(120))
    assert any(random_system(seed).initial != ANY_STATE for seed in range(120))


@pytest.mark.slow
def test_verdicts_agree_with_all_states_of_many() -> None:
    agree(range(1000, 2500))
