"""The contextual bandit: what it learns, how it explores, and when it starts anew."""

from __future__ import annotations

from collections import Counter
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from bem_kernel.errors import ShapeError
from bem_kernel.policy import contextual_rounds as rounds
from bem_kernel.policy.contextual import BanditConfig, ContextualBandit

ONE = 65536
Table = NDArray[np.int64]


def bits(n: int, features: int, seed: int) -> Table:
    return np.random.default_rng(seed).integers(0, 2, (n, features)) * 65536 - 32768


def pay(odds: NDArray[np.float64], seed: int) -> Table:
    return (np.random.default_rng(seed).random(odds.shape) < odds).astype(np.int64) * ONE


def linear_world(n: int, seed: int) -> tuple[Table, NDArray[np.float64]]:
    """Three arms whose odds are logistic in five bits."""
    contexts = bits(n, 5, seed)
    weights = np.random.default_rng(seed + 1).integers(-8, 9, (3, 5))
    return contexts, 1 / (1 + np.exp(-(contexts // 32768) @ weights.T / 4))


def regret(odds: NDArray[np.float64], chosen: Table) -> float:
    return float((odds.max(axis=1) - odds[np.arange(len(odds)), chosen]).sum())


def test_regret_is_a_small_part_of_chance() -> None:
    for seed in range(4):
        contexts, odds = linear_world(6000, 10 * seed)
        bandit = ContextualBandit(BanditConfig(3, 5, key=seed))
        chosen, changed = bandit.run(contexts, pay(odds, seed))
        by_chance = float((odds.max(axis=1) - odds.mean(axis=1)).sum())
        assert regret(odds, chosen) < 0.06 * by_chance
        assert regret(odds[3000:], chosen[3000:]) < 0.35 * regret(odds, chosen)
        assert not changed.any()


def test_greed_alone_may_never_find_the_best_arm() -> None:
    """Why there is optimism: the better arm starts with a loss, and greed never returns to it."""
    contexts = np.zeros((3000, 1), dtype=np.int64)
    lost = {}
    for optimism in (0, ONE):
        lost[optimism] = 0
        for seed in range(20):
            odds = np.tile([0.6, 0.9], (3000, 1))
            config = BanditConfig(2, 1, optimism_q16=optimism, key=seed)
            chosen, _ = ContextualBandit(config).run(contexts, pay(odds, seed))
            lost[optimism] += int((chosen[-500:] == 0).mean() > 0.5)
    assert lost[0] > 2
    assert lost[ONE] == 0


def test_cells_learn_what_no_linear_model_can() -> None:
    contexts = bits(8000, 2, 3)
    differ = (contexts[:, 0] > 0) != (contexts[:, 1] > 0)
    odds = np.where(np.stack([differ, ~differ], axis=1), 0.8, 0.3)
    got = {}
    for cell_bits in (0, 2):
        bandit = ContextualBandit(BanditConfig(2, 2, cell_bits=cell_bits, octaves=0))
        got[cell_bits] = regret(odds, bandit.run(contexts, pay(odds, 4))[0])
    assert got[2] < 150 < 1000 < got[0]


def test_the_prior_of_the_cells_is_learned() -> None:
    """It widens where cells have odds of their own, and narrows where they have not."""
    contexts = bits(6000, 5, 7)
    same = np.tile([0.6, 0.4, 0.5], (6000, 1))
    own = np.random.default_rng(1).uniform(0.1, 0.9, (32, 3))
    cells = (contexts > 0) @ (1 << np.arange(5))
    learned = []
    for odds in (same, own[cells]):
        bandit = ContextualBandit(BanditConfig(3, 5, cell_bits=5))
        bandit.run(contexts, pay(odds, 1))
        learned.append(bandit.registers[rounds.CELL_PRIOR_Q32] / 2**32)
    assert learned[0] < 1 / 32
    assert learned[1] > 1 / 4


def changing_world(seed: int) -> tuple[Table, NDArray[np.float64]]:
    contexts, before = linear_world(4000, seed)
    return np.concatenate([contexts, contexts]), np.concatenate([before, 1 - before])


@pytest.mark.parametrize("seed", range(4))
def test_a_change_is_found_and_learned(seed: int) -> None:
    contexts, odds = changing_world(100 * seed)
    got = {}
    for octaves in (0, 18):
        bandit = ContextualBandit(BanditConfig(3, 5, octaves=octaves, key=seed))
        chosen, changed = bandit.run(contexts, pay(odds, seed))
        got[octaves] = regret(odds[4000:], chosen[4000:])
        found = np.flatnonzero(changed)
        assert bandit.changes == len(found)
        assert len(found) == (1 if octaves else 0)
        assert not octaves or 4000 <= found[0] < 4128
    assert got[18] < 0.35 * got[0]


def test_the_window_sees_a_change_that_leaves_forecasts_better_than_a_coin() -> None:
    contexts = np.zeros((6000, 1), dtype=np.int64)
    odds = np.full((6000, 1), 0.02)
    odds[4000:] = 0.15
    bandit = ContextualBandit(BanditConfig(1, 1))
    _, changed = bandit.run(contexts, pay(1 - odds, 0))
    assert [4000 <= t < 4500 for t in np.flatnonzero(changed)] == [True]


def test_after_a_change_the_bandit_knows_what_came_since() -> None:
    """The rounds since the change are learned again, so the bandit is no blank."""
    contexts, odds = changing_world(0)
    rewards = pay(odds, 0)
    bandit = ContextualBandit(BanditConfig(3, 5))
    for context, paid in zip(contexts, rewards, strict=True):
        arm = bandit.choose(context)
        if bandit.learn(context, arm, int(paid[arm])):
            break
    assert bandit.changes == 1
    blank = ContextualBandit(BanditConfig(3, 5))
    assert not (bandit.models[:, 0] == blank.models[:, 0]).all()
    prior = int(bandit.registers[rounds.PRIOR_Q32]) << 8
    assert np.diagonal(bandit.models[:, 1:], axis1=1, axis2=2).min() < 3 * prior // 4


def test_choose_and_learn_are_the_rounds_of_run() -> None:
    contexts, odds = changing_world(0)
    contexts, odds = contexts[3500:4500], odds[3500:4500]
    rewards = pay(odds, 2)
    whole, single = (ContextualBandit(BanditConfig(3, 5, cell_bits=3, key=9)) for _ in range(2))
    chosen, changed = whole.run(contexts, rewards)
    for t, context in enumerate(contexts):
        arm = single.choose(context.tolist())
        assert arm == chosen[t]
        assert single.learn(context, arm, int(rewards[t, arm])) == changed[t]
    for a, b in zip(whole.state, single.state, strict=True):
        assert (a == b).all()


def test_a_run_resumes_from_its_arrays() -> None:
    contexts, odds = linear_world(2000, 5)
    rewards = pay(odds, 5)
    config = BanditConfig(3, 5, cell_bits=2, key=3)
    whole = ContextualBandit(config).run(contexts, rewards)[0]
    first, second = ContextualBandit(config), ContextualBandit(config)
    before = first.run(contexts[:700], rewards[:700])[0]
    for mine, theirs in zip(second.state, first.state, strict=True):
        mine[...] = theirs
    after = second.run(contexts[700:], rewards[700:])[0]
    assert (np.concatenate([before, after]) == whole).all()


def test_the_key_decides_the_run() -> None:
    contexts, odds = linear_world(500, 5)
    rewards = pay(odds, 5)
    runs = [
        ContextualBandit(BanditConfig(3, 5, key=k)).run(contexts, rewards)[0] for k in (1, 1, 2)
    ]
    assert (runs[0] == runs[1]).all()
    assert (runs[0] != runs[2]).any()


def test_only_the_chosen_reward_is_looked_at() -> None:
    contexts, odds = linear_world(500, 5)
    rewards = pay(odds, 5)
    chosen = ContextualBandit(BanditConfig(3, 5)).run(contexts, rewards)[0]
    other = ONE - rewards
    taken = np.arange(500), chosen
    other[taken] = rewards[taken]
    assert (ContextualBandit(BanditConfig(3, 5)).run(contexts, other)[0] == chosen).all()


def test_probabilities_are_those_of_the_choices() -> None:
    contexts, odds = linear_world(60, 8)
    bandit = ContextualBandit(BanditConfig(3, 5))
    bandit.run(contexts, pay(odds, 8))
    context = contexts[0]
    expected = bandit.probabilities_q30(context)
    assert expected.sum() == 1 << 30
    counts = Counter(bandit.choose(context) for _ in range(4000))
    assert expected.min() > 0 or len(counts) < 3
    for arm in range(3):
        p = int(expected[arm]) / 2**30
        assert abs(counts[arm] - 4000 * p) < 5 * (4000 * p * (1 - p)) ** 0.5 + 1


def test_levels_of_optimism_count_ones() -> None:
    words = np.random.default_rng(0).integers(0, 1 << 64, 200, dtype=np.uint64)
    for word in [*words.tolist(), 0, (1 << 64) - 1]:
        assert rounds.optimism_level(np.uint64(word)) == abs(int(word).bit_count() - 32)
    assert rounds.LEVEL_ODDS_Q30.sum() == 1 << 30
    assert rounds.LEVEL_ODDS_Q30.min() == 1


def test_views_and_no_rounds_at_all() -> None:
    bandit = ContextualBandit(BanditConfig(3, 5))
    contexts, odds = linear_world(100, 1)
    backwards = bandit.run(contexts[::-1], pay(odds, 1)[::-1])[0]
    assert backwards.shape == (100,)
    chosen, changed = bandit.run(np.zeros((0, 5), dtype=np.int64), np.zeros((0, 3), dtype=np.int64))
    assert chosen.shape == changed.shape == (0,)


def test_graded_rewards_and_late_rewards() -> None:
    bandit = ContextualBandit(BanditConfig(2, 1, key=4))
    waiting = []
    for t in range(600):
        arm = bandit.choose([32768])
        waiting.append((arm, (20000, 40000)[arm]))
        if t >= 50:
            bandit.learn([32768], *waiting.pop(0))
    assert bandit.probabilities_q30([32768])[1] > 0.9 * 2**30


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"n_arms": 0}, r"n_arms is 0; use 1 to 4096"),
        ({"n_arms": 4097}, r"n_arms is 4097; use 1 to 4096"),
        ({"n_features": 0}, r"n_features is 0; use 1 to 31"),
        ({"n_features": 32}, r"n_features is 32; use 1 to 31"),
        ({"cell_bits": 6}, r"cell_bits is 6; use 0 to 5"),
        ({"cell_bits": -1}, r"cell_bits is -1; use 0 to 5"),
        ({"n_features": 20, "cell_bits": 13}, r"cell_bits is 13; use 0 to 12"),
        ({"prior_q16": 0}, r"prior_q16 is 0; use 4096 to 262144"),
        ({"cell_prior_q16": 1 << 17}, r"cell_prior_q16 is 131072; use 64 to 65536"),
        ({"optimism_q16": -1}, r"optimism_q16 is -1; use 0 to 1048576"),
        ({"octaves": 65}, r"octaves is 65; use 0 to 64"),
        ({"key": 1 << 63}, r"key is 9223372036854775808; use 0 to 9223372036854775807"),
        (
            {"n_arms": 4096, "n_features": 12, "cell_bits": 12},
            r"4096 arms have 16777216 cells; use fewer cell_bits",
        ),
    ],
)
def test_the_configuration_is_checked(given: dict[str, int], message: str) -> None:
    with pytest.raises(ShapeError, match=rf"contextual\.BanditConfig: {message}"):
        BanditConfig(**{"n_arms": 3, "n_features": 5, **given})


@pytest.mark.parametrize(
    ("context", "message"),
    [
        ([0] * 4, r"the context is int64 of shape \(4,\); give \(5,\) integers"),
        ([[0] * 5], r"the context is int64 of shape \(1, 5\); give \(5,\) integers"),
        ([0.5] * 5, r"the context is float64 of shape \(5,\); give \(5,\) integers"),
        ([0, 0, 0, 0, 32769], r"a feature is outside ±32768; scale features"),
        ([-(1 << 63), 0, 0, 0, 0], r"a feature is outside ±32768; scale features"),
    ],
)
def test_contexts_are_checked_and_nothing_changes(context: Any, message: str) -> None:
    bandit = ContextualBandit(BanditConfig(3, 5))
    before = [array.copy() for array in bandit.state]
    for call in (bandit.choose, bandit.probabilities_q30, lambda c: bandit.learn(c, 0, 0)):
        with pytest.raises(ShapeError, match=f"contextual: {message}"):
            call(context)
    for array, kept in zip(bandit.state, before, strict=True):
        assert (array == kept).all()


@pytest.mark.parametrize(("arm", "reward"), [(-1, 0), (3, 0), (0, -1), (0, 65537), (0, 1 << 70)])
def test_arms_and_rewards_are_checked(arm: int, reward: int) -> None:
    bandit = ContextualBandit(BanditConfig(3, 5))
    with pytest.raises(ShapeError, match=rf"contextual\.learn: arm {arm}, reward {reward}; use an"):
        bandit.learn([0] * 5, arm, reward)
    assert bandit.registers[rounds.LEARNED] == 0


def test_tables_are_checked_and_nothing_changes() -> None:
    bandit = ContextualBandit(BanditConfig(3, 5))
    contexts, rewards = np.zeros((4, 5), dtype=np.int64), np.zeros((4, 3), dtype=np.int64)
    bad: list[tuple[Any, Any, str]] = [
        (contexts[:, :4], rewards, r"contexts_q15 is int64 of shape \(4, 4\); give \(4, 5\) int64"),
        (contexts, rewards[:3], r"rewards_q16 is int64 of shape \(3, 3\); give \(4, 3\) int64"),
        (contexts.astype(np.int32), rewards, r"contexts_q15 is int32"),
        (contexts + 32769, rewards, r"contexts_q15 is out of range; use -32768 to 32768"),
        (contexts, rewards - 1, r"rewards_q16 is out of range; use 0 to 65536"),
    ]
    for given, paid, message in bad:
        with pytest.raises(ShapeError, match=rf"contextual\.run: {message}"):
            bandit.run(given, paid)
    assert bandit.registers[rounds.ROUNDS] == 0
