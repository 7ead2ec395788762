"""What sequences of experts reach, against running all of them; M and addresses included."""

from __future__ import annotations

import random

import numpy as np
import pytest

from bem_kernel.circuits.builder import CircuitBuilder
from bem_kernel.errors import ExpertError, HoareError
from bem_kernel.experts.expert import Condition, Expert, expert_from_expressions, transform
from bem_kernel.experts.place import Field, Place, Scatter, Space
from bem_kernel.hoare.reach import Reached, Unreachable, reach
from bem_kernel.hoare.reach_experts import Claim, ExpertSystem, Start, expert_system
from bem_kernel.hoare.transition import Path
from bem_kernel.lanes import pack_bits, unpack_bits

N, USED, K = 6, 5, 64  # state bits, bits of M that are touched, bits of M
LANE = np.ones(1, dtype=np.uint64)

State = tuple[tuple[bool, ...], int]


def random_expert(draw: random.Random, name: str) -> Expert:
    def place() -> Place:
        space = draw.choice(list(Space))
        if draw.random() < 0.5:
            return Place(space, draw.randrange(N if space is Space.STATE else USED))
        return Place(space, draw.randrange(3), ((Field(draw.randrange(3), 2), 1),))

    gathers = tuple(place() for _ in range(draw.choice([0, 1, 2])))
    writes = tuple(draw.sample(range(N), draw.choice([1, 2])))
    places = [place() for _ in range(draw.choice([0, 1, 2]))]
    n_outputs = len(writes) + len(places)
    builder = CircuitBuilder(2 + len(gathers))
    slots = list(range(2 + len(gathers)))
    for _ in range(6):
        gate = draw.choice([builder.and_, builder.or_, builder.xor])
        slots.append(gate(draw.choice(slots), draw.choice(slots)))
        slots.append(builder.not_(slots[-1]))
    scatters = tuple(Scatter(p, draw.choice([None, None, *range(n_outputs)])) for p in places)
    condition = Condition(draw.randrange(N), True) if draw.random() < 0.3 else None
    circuit = builder.build(draw.choices(slots, k=n_outputs))
    return Expert(
        name, tuple(draw.sample(range(N), 2)), circuit, writes, gathers, scatters, condition
    )


def reachable(experts: list[Expert], first: State) -> set[State]:
    """All states, by running every expert in every one; a step that faults is none."""
    seen, todo = {first}, [first]
    while todo:
        state, shared = todo.pop()
        for expert in experts:
            planes = pack_bits(np.array([state]))
            words = np.array([shared], dtype=np.uint64)
            try:
                planes, words = transform([(expert, LANE)], planes, words)
            except ExpertError:
                continue
            after = (tuple(unpack_bits(planes, 1)[0].tolist()), int(words[0]))
            if after not in seen:
                seen.add(after)
                todo.append(after)
    return seen


def both(bits: tuple[int, int]) -> Claim:
    builder = CircuitBuilder(2)
    return Claim(bits, builder.build([builder.and_(0, builder.not_(1))]))


def agree(seeds: range) -> set[bool]:
    verdicts = set()
    for seed in seeds:
        draw = random.Random(seed)
        experts = [random_expert(draw, f"e{i}") for i in range(draw.choice([1, 2, 3]))]
        first = tuple(draw.random() < 0.3 for _ in range(N)), draw.randrange(1 << USED)
        a, b = draw.sample(range(N), 2)
        planes = pack_bits(np.array([first[0]]))
        shared = np.array([first[1]], dtype=np.uint64)
        system = expert_system(experts, Start(planes, 1, shared), both((a, b)), n_shared_bits=K)
        found = reach(system.system, depth=100)
        bad = any(state[a] and not state[b] for state, _ in reachable(experts, first))
        assert isinstance(found, Reached if bad else Unreachable), seed
        free = expert_system(experts, Start(planes, 1, None), both((a, b)), n_shared_bits=K)
        freely = reach(free.system, depth=100)
        assert not bad or isinstance(freely, Reached), seed
        for verdict, asked in ((found, system), (freely, free)):
            if isinstance(verdict, Reached):
                assert len(asked.steps(verdict.path)) == len(verdict.path)
        verdicts.add(bad)
    return verdicts


def test_verdicts_agree_with_running_everything() -> None:
    assert agree(range(14)) == {False, True}


@pytest.mark.slow
def test_verdicts_agree_with_running_everything_for_many() -> None:
    assert agree(range(1000, 1200)) == {False, True}


def toggling() -> ExpertSystem:
    experts = [expert_from_expressions("toggle", {"a": "!a"}, {"a": 0, "b": 1})]
    return expert_system(
        experts, Start(np.zeros((2, 1), dtype=np.uint64), 1, None), both((0, 1)), n_shared_bits=0
    )


def test_a_path_that_the_experts_do_not_follow() -> None:
    system = toggling()
    never = Path(np.zeros(2, dtype=np.bool_), np.zeros((1, system.system.n_free), dtype=np.bool_))
    with pytest.raises(HoareError, match="a path does not lead to bad: no step is bad"):
        system.steps(never)
    beyond = Path(np.array([True, False]), np.zeros((1, 1), dtype=np.bool_))
    with pytest.raises(HoareError, match="runs do not begin in its first state"):
        system.steps(beyond)


def test_a_claim_about_no_bit() -> None:
    start = Start(np.zeros((2, 1), dtype=np.uint64), 1, None)
    with pytest.raises(HoareError, match="a claim about state bit 2; use bits 0 to 1"):
        expert_system([], start, both((0, 2)), n_shared_bits=0)


def test_a_model_that_differs_from_the_experts_is_noticed() -> None:
    system = toggling()
    found = reach(system.system)
    assert isinstance(found, Reached)
    idle = expert_from_expressions("toggle", {"a": "a"}, {"a": 0, "b": 1})
    other = ExpertSystem((idle,), system.system, 2, 0, system.bad)
    with pytest.raises(HoareError, match="the experts do not follow the path: an expert does"):
        other.steps(found.path)
