"""Observations, queries and rewards: the kernels equal the plain twins."""

from __future__ import annotations

from random import Random

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bem_kernel.errors import RunnerError
from bem_kernel.experts.place import Field
from bem_kernel.identifiers.classes import IdClass
from bem_kernel.identifiers.gray import sim
from bem_kernel.identifiers.ident import decode
from bem_kernel.lanes import lane_mask
from bem_kernel.runner.observation import (
    NumberTap,
    Over,
    SignTap,
    StateTap,
    Tap,
    encode_taps,
    observe,
    shared_field,
)
from bem_kernel.runner.query import ANY_SHARD, QueryRule, Rule, query_for
from bem_kernel.runner.reward import (
    FieldReward,
    LaneReward,
    RewardRange,
    encode_reward,
    loss_q16,
    measure_reward,
    reward_range,
)
from bem_kernel.runner.sense import observe_lane, query_word, reward_now

N, K = 12, 256
SEEDS = st.integers(0, 2**32)
U64 = st.integers(0, 2**64 - 1)


def world(seed: int, words: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Planes that are often all 0 or all 1, shared memory, and a mask."""
    generator = np.random.default_rng(seed)
    planes = generator.integers(0, 2**64, (N, words), dtype=np.uint64)
    planes[generator.random(N) < 0.3] = 0
    planes[generator.random(N) < 0.3] = 2**64 - 1
    shared = generator.integers(0, 2**64, K // 64, dtype=np.uint64)
    return planes, shared, lane_mask(1 + seed % (64 * words), words)


def random_terms(random: Random) -> tuple[tuple[Field, int], ...]:
    widths = [random.randrange(1, 33) for _ in range(random.randrange(4))]
    return tuple(
        (Field(random.randrange(K - w + 1), w), random.randrange(-(2**24), 2**24)) for w in widths
    )


def random_tap(random: Random) -> Tap:
    constant = random.randrange(-(2**40), 2**40)
    return random.choice(
        (
            StateTap(random.randrange(N), random.choice(list(Over))),
            NumberTap(random_terms(random), random.randrange(1, 9), constant, random.randrange(64)),
            SignTap(random_terms(random), constant),
        )
    )


@given(SEEDS, st.sampled_from((1, 3)))
def test_the_kernel_observes_what_the_plain_twin_observes(seed: int, words: int) -> None:
    random = Random(seed)
    taps = [random_tap(random) for _ in range(random.randrange(8))]
    planes, shared, mask = world(seed, words)
    encoded = encode_taps(taps, N, K)
    lane = random.randrange(64 * words)
    seen = observe_lane(encoded.taps, encoded.terms, planes, words, shared, mask, lane)
    assert seen == observe(taps, planes, shared, mask, lane)


def test_an_observation_lists_its_taps_from_the_lowest_bit_up() -> None:
    planes = np.array([[0b10], [0b11], [0b00]], dtype=np.uint64)
    shared = np.array([0b1101 << 60, 0b10], dtype=np.uint64)
    mask = lane_mask(2)
    taps = [
        StateTap(0),
        StateTap(0, Over.ANY),
        StateTap(0, Over.ALL),
        StateTap(1, Over.ALL),
        StateTap(2, Over.ANY),
        shared_field(Field(60, 6)),
        SignTap(((Field(60, 4), 1),), -13),
        SignTap(((Field(60, 4), 1),), -14),
        NumberTap(((Field(60, 4), -1),), 3, constant=1),  # 1 - 13, two's complement
        NumberTap((), 2, constant=0b1101, shift=2),
    ]
    seen = observe(taps, planes, shared, mask)
    assert f"{seen:b}".zfill(18) == "11" + "100" + "0" + "1" + "101101" + "01010"
    assert observe(taps, planes, shared, mask, lane=1) & 1 == 1
    encoded = encode_taps(taps, 3, 128)
    assert observe_lane(encoded.taps, encoded.terms, planes, 1, shared, mask, 0) == seen


@pytest.mark.parametrize(
    ("taps", "message"),
    [
        ([StateTap(N)], "tap 0: state bit 12 does not exist; use 0 to 11"),
        ([StateTap(0), shared_field(Field(K - 1, 2))], "tap 1: a field ends at bit 257"),
        ([NumberTap((), 65)], "width 65, shift 0; use 1 to 64"),
        ([NumberTap((), 1, shift=64)], "shift 64"),
        ([NumberTap((), 1, constant=2**48)], "keep the constant within"),
        ([SignTap(((Field(0, 1), 2**24 + 1),))], "strides within"),
        ([NumberTap((), 33), NumberTap((), 32)], "observation: 65 bits; observe at most 64"),
    ],
)
def test_taps_that_cannot_be_observed_are_refused(taps: list[Tap], message: str) -> None:
    with pytest.raises(RunnerError, match=message):
        encode_taps(taps, N, K)


@given(U64, U64, st.sampled_from(list(Rule)), st.integers(ANY_SHARD, 63))
def test_a_query_is_an_identifier_of_an_expert(seen: int, key: int, rule: Rule, shard: int) -> None:
    query = QueryRule(rule, shard, key)
    word = query_for(query, seen)
    found = decode(word)
    assert found.flipped_bit is None and found.identifier.class_ == IdClass.EXPERT
    assert shard in (ANY_SHARD, found.identifier.shard)
    assert query_word(seen, int(rule), shard, key) == word


def test_near_queries_stay_near_and_hashed_ones_scatter() -> None:
    """One flipped bit moves a NEAR query by its own Gray bit and those of the code alone."""
    u32 = lambda word: np.array([word], dtype=np.uint32)  # noqa: E731
    near, hashed = QueryRule(Rule.NEAR), QueryRule(Rule.HASH)
    scattered = []
    for seen in (0, 0b1011, 0x3FFF):
        for bit in range(14):
            pair = seen, seen ^ 1 << bit
            assert sim(*(u32(query_for(near, s)) for s in pair))[0] >= 32 - 8
            scattered.append(sim(*(u32(query_for(hashed, s)) for s in pair))[0])
    assert min(scattered) < 22
    assert len({query_for(hashed, seen) for seen in range(1000)}) > 950
    assert len({query_for(near, seen) for seen in range(1 << 14)}) == 1 << 14


def test_a_query_rule_checks_its_numbers() -> None:
    for shard, key in ((-2, 0), (64, 0), (0, -1), (0, 2**64)):
        with pytest.raises(RunnerError, match="use a shard of -1 to 63 and a key of 64 bits"):
            QueryRule(Rule.HASH, shard, key)


@given(SEEDS, st.sampled_from((1, 3)))
def test_the_kernel_measures_what_the_plain_twin_measures(seed: int, words: int) -> None:
    random = Random(seed)
    planes, shared, mask = world(seed, words)
    terms = [
        random.choice(
            (
                LaneReward(random.randrange(N), random.randrange(-9, 10)),
                FieldReward(Field(random.randrange(K - 7), 8), random.randrange(-9, 10)),
            )
        )
        for _ in range(random.randrange(1, 5))
    ]
    found = reward_now(encode_reward(terms, N, K), planes, words, shared, mask)
    assert found == measure_reward(terms, planes, shared, mask)
    lanes = int(np.bitwise_count(mask).sum())
    if any(term.weight for term in terms):
        limits = reward_range(terms, lanes)
        assert limits.least <= found <= limits.greatest
        assert 0 <= loss_q16(int(found), limits) <= 1 << 16


def test_the_range_of_rewards_follows_from_the_weights() -> None:
    terms = [LaneReward(0, 2), LaneReward(1, -1), FieldReward(Field(0, 4), 3)]
    assert reward_range(terms, 10) == RewardRange(-10, 65)
    assert loss_q16(65, RewardRange(-10, 65)) == 0
    assert loss_q16(-10, RewardRange(-10, 65)) == 1 << 16
    with pytest.raises(RunnerError, match="from 0 to 0; give two different ends"):
        reward_range([LaneReward(0, 0)], 10)
    with pytest.raises(RunnerError, match="within 2"):
        RewardRange(0, 2**46 + 1)


@pytest.mark.parametrize(
    ("term", "message"),
    [
        (LaneReward(N), "term 0: state bit 12 does not exist"),
        (FieldReward(Field(K - 1, 2)), "the field ends at bit 257 of shared memory"),
        (LaneReward(0, 2**20 + 1), "weight 1048577; stay within"),
    ],
)
def test_rewards_that_cannot_be_measured_are_refused(
    term: LaneReward | FieldReward, message: str
) -> None:
    with pytest.raises(RunnerError, match=message):
        encode_reward([term], N, K)
    with pytest.raises(RunnerError, match="33 terms; use at most 32"):
        encode_reward([term] * 33, N, K)
