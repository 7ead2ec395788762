"""Whole runs against a plain twin in Python: every choice, reward, charge and count."""

from __future__ import annotations

from dataclasses import dataclass, field
from random import Random

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bem_kernel.circuits.random_circuit import random_circuit
from bem_kernel.experts.batch import fingerprint_planes
from bem_kernel.experts.expert import Expert, transform
from bem_kernel.experts.place import Field, Scatter, shared_bit
from bem_kernel.identifiers.gray import sim
from bem_kernel.lanes import lane_mask, pack_bits
from bem_kernel.memory.configuration import MachineConfig
from bem_kernel.memory.memory import Memory
from bem_kernel.policy.counter import stream_ticket
from bem_kernel.policy.sampling import share_q30, weight_q30
from bem_kernel.runner.config import RunnerConfig
from bem_kernel.runner.layout import STREAM_NOISE, STREAM_ROUNDING, T_SLOT
from bem_kernel.runner.learning import Learning
from bem_kernel.runner.machine import ExpertMachine
from bem_kernel.runner.observation import Over, StateTap, observe, shared_field
from bem_kernel.runner.query import QueryRule, Rule, query_for
from bem_kernel.runner.reward import (
    FieldReward,
    LaneReward,
    loss_q16,
    measure_reward,
    reward_range,
)
from bem_kernel.runner.world import CompiledWorld

N, K = 16, 128
REWARDS = (LaneReward(3, 2), LaneReward(4, -1), FieldReward(Field(9, 3), 5))
NOISE = (0, 1)
TAPS = (StateTap(0), StateTap(5, Over.ANY), shared_field(Field(8, 2)))


def random_expert(random: Random, name: str) -> Expert:
    return Expert(
        name,
        tuple(random.sample(range(N), 3)),
        random_circuit(random, 4, 9, 4),
        tuple(random.sample(range(2, N), 3)),
        (shared_bit(8 + random.randrange(4)),),
        (Scatter(shared_bit(8 + random.randrange(4)), random.choice((None, 0))),),
    )


def new_machine(seed: int, lanes: int, *, each_lane: bool, estimator: str) -> ExpertMachine:
    random = Random(seed)
    memory = Memory(MachineConfig(n_bits=N, n_shared_bits=K, lanes=lanes, max_experts=16))
    config = RunnerConfig(
        TAPS,
        QueryRule(random.choice(list(Rule)), random.choice((-1, 0)), random.getrandbits(64)),
        candidates=random.randrange(1, 6),
        each_lane=each_lane,
        learning=Learning(random.randrange(1 << 17), estimator, every=7),  # type: ignore[arg-type]
        trace_rows=1024,
        key=random.getrandbits(64),
    )
    machine = ExpertMachine(memory, config)
    for i in range(random.randrange(1, 9)):
        machine.add(random_expert(random, f"e{i}"), at=random.choice((None, random.randrange(16))))
    machine.add(random_expert(random, "world"), findable=False)
    generator = np.random.default_rng(seed)
    memory.planes[:] = generator.integers(0, 2**64, memory.planes.shape, dtype=np.uint64)
    memory.shared_bits[:] = generator.integers(0, 2**64, K // 64, dtype=np.uint64)
    return machine


@dataclass
class Twin:
    """What a machine does, written as plainly as the specification has it."""

    machine: ExpertMachine
    experts: dict[int, Expert] = field(default_factory=dict)
    duals: dict[int, int] = field(default_factory=dict)
    wins: dict[int, int] = field(default_factory=dict)
    visits: dict[int, int] = field(default_factory=dict)
    rows: list[tuple[int, ...]] = field(default_factory=list)
    waiting: list[tuple[int, int, int]] = field(default_factory=list)
    averages: dict[int, list[int]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        table, memory = self.machine.table, self.machine.memory
        self.experts = {word: table.expert(word) for word in table}
        self.world = table.find("world")
        for word in self.experts:
            self.duals[word] = self.wins[word] = self.visits[word] = 0
        self.state, self.shared = memory.planes.copy(), memory.shared_bits.copy()
        self.mask = lane_mask(memory.config.lanes)

    def step(self, step: int) -> None:
        config, lanes = self.machine.config, self.machine.memory.config.lanes
        for i, bit in enumerate(NOISE):
            for word in range(len(self.mask)):
                stream = STREAM_NOISE + (i << 24 | word)
                drawn = stream_ticket(config.key, stream, step) & self.mask[word]
                self.state[bit, word] = self.state[bit, word] & ~self.mask[word] | drawn
        before = int(fingerprint_planes(np.ascontiguousarray(self.state), len(self.mask)))
        chosen = [self.choose(step, lane) for lane in (range(lanes) if config.each_lane else (0,))]
        self.apply([expert for expert, *_ in chosen])
        self.state, self.shared = transform(
            [(self.experts[self.world], self.mask)], self.state, self.shared
        )
        for lane, (expert, seen, chance) in enumerate(chosen):
            counts = pack_bits(np.arange(64 * len(self.mask))[:, None] == lane)[0]
            reward = measure_reward(
                REWARDS, self.state, self.shared, counts if config.each_lane else self.mask
            )
            limits = reward_range(REWARDS, 1 if config.each_lane else lanes)
            self.visits[expert] += 1
            self.wins[expert] += 2 * reward > limits.least + limits.greatest
            shown = lane if config.each_lane else -1
            self.rows.append((step, shown, seen, expert, chance, reward, before))
            self.waiting.append((expert, loss_q16(reward, limits), chance))

    def choose(self, step: int, lane: int) -> tuple[int, int, int]:
        config, table = self.machine.config, self.machine.table
        seen = observe(config.observation, self.state, self.shared, self.mask, lane)
        query = np.array([query_for(config.query, seen)], dtype=np.uint32)
        able = [word for word in self.experts if word != self.world]
        distance = {w: 32 - int(sim(query, np.array([w], dtype=np.uint32))[0]) for w in able}
        near = sorted(able, key=lambda w: (distance[w], table.slots.slot(w)))[: config.candidates]
        least = min(self.duals[word] for word in near)
        weights = [int(weight_q30(self.duals[word], least)) for word in near]
        threshold = int(stream_ticket(config.key, lane, step)) * sum(weights) >> 64
        position = 0
        while threshold >= weights[position]:
            threshold -= weights[position]
            position += 1
        return near[position], seen, int(share_q30(weights[position], sum(weights)))

    def apply(self, chosen: list[int]) -> None:
        if not self.machine.config.each_lane:
            batch = [(self.experts[chosen[0]], self.mask)]
        else:
            batch = []
            for word in set(chosen):
                lanes = np.zeros((64 * len(self.mask), 1), dtype=bool)
                lanes[: len(chosen), 0] = [other == word for other in chosen]
                batch.append((self.experts[word], pack_bits(lanes)[0]))
        self.state, self.shared = transform(batch, self.state, self.shared)

    def learn(self) -> None:
        learning, key = self.machine.config.learning, self.machine.config.key
        first = len(self.rows) - len(self.waiting)
        for row, (expert, loss, chance) in enumerate(self.waiting, start=first):
            if learning.estimator == "literal":
                self.averages.setdefault(expert, []).append(loss)
                continue
            charge = (loss << 30) // (chance + learning.gamma_q30)
            coin = int(stream_ticket(key, STREAM_ROUNDING, row)) & 0xFFFF
            self.duals[expert] += charge * learning.eta_q16 + coin >> 16
        self.waiting.clear()

    def end(self, episode: int) -> None:
        table, learning = self.machine.table, self.machine.config.learning
        for expert, losses in self.averages.items():
            stream = STREAM_ROUNDING + 1 + table.slots.slot(expert)
            coin = int(stream_ticket(self.machine.config.key, stream, episode)) & 0xFFFF
            average = sum(losses) // len(losses)
            self.duals[expert] += average * learning.eta_q16 + coin >> 16
        self.averages.clear()
        least = min(self.duals[word] for word in self.experts if word != self.world)
        for word in self.experts:
            if word != self.world:
                self.duals[word] -= least


@settings(max_examples=16)
@given(
    st.integers(0, 2**32),
    st.sampled_from((1, 7, 64, 70)),
    st.booleans(),
    st.sampled_from(("ix", "literal")),
)
def test_a_run_is_what_the_plain_twin_does(
    seed: int, lanes: int, each_lane: bool, estimator: str
) -> None:
    machine = new_machine(seed, lanes, each_lane=each_lane, estimator=estimator)
    twin = Twin(machine)
    world = CompiledWorld(REWARDS, NOISE, twin.world)
    for episode, steps in enumerate((9, 3), start=1):
        begun = machine.steps
        report = machine.run(world, steps)
        for step in range(begun, begun + steps):
            twin.step(step)
            if (step + 1) % 7 == 0:
                twin.learn()
        twin.learn()
        twin.end(episode)
        rows = [row for row in twin.rows if row[0] >= begun]
        assert report.steps == steps and report.reward == sum(row[5] for row in rows)
    trace = machine.arrays.trace[: len(twin.rows)]
    logged = np.delete(trace, T_SLOT, axis=1).tolist()
    unsigned = [[*r[:2], r[2] % 2**64, *r[3:6], r[6] % 2**64] for r in logged]
    assert unsigned == [list(row) for row in twin.rows]
    table = machine.table
    for word, expert in twin.experts.items():
        statistics = table.statistics(word)
        assert statistics.wins == twin.wins[word], expert.name
        assert statistics.visits == twin.visits[word], expert.name
        assert statistics.dual_q16 == twin.duals[word], expert.name
    assert (machine.memory.planes == twin.state).all()
    assert (machine.memory.shared_bits == twin.shared).all()


@pytest.mark.parametrize("rows", [64, 100, 129])
def test_a_trace_that_wraps_within_an_episode_loses_no_choice(rows: int) -> None:
    memory = Memory(MachineConfig(n_bits=N, n_shared_bits=K, lanes=64, max_experts=16))
    config = RunnerConfig(each_lane=True, trace_rows=rows, learning=Learning(every=1000))
    machine = ExpertMachine(memory, config)
    for i in range(4):
        machine.add(random_expert(Random(i), f"e{i}"))
    report = machine.run(CompiledWorld((LaneReward(NOISE[0]),), noise=NOISE), 50)
    assert report.steps == 50
    assert sum(standing.visits for standing in machine.standings()) == 50 * 64
    rewards = 64 * 50 - report.loss_q16 / 65536
    assert rewards == report.reward > 0
