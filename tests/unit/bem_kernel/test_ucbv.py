"""UCB-V: the index against the formula, and learning."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bem_kernel.errors import ShapeError
from bem_kernel.policy.ucbv import MAX_PULLS, ZETA_Q16, UcbV, explore_q16, ucbv_index_q16

ONE_Q16 = 1 << 16


def formula(rewards: np.ndarray, rounds: int) -> float:
    """The published index, in floating point."""
    explore = ZETA_Q16 / ONE_Q16 * np.log(rounds)
    s = len(rewards)
    return rewards.mean() + (2 * rewards.var() * explore / s) ** 0.5 + 3 * explore / s


@given(
    st.lists(st.integers(0, ONE_Q16), min_size=1, max_size=50),
    st.integers(1, 100),
    st.integers(0, 2**40),
)
def test_an_index_is_the_formula_rounded_up(values: list[int], copies: int, others: int) -> None:
    rewards = values * copies
    rounds = len(rewards) + others
    found = ucbv_index_q16(
        len(rewards),
        sum(rewards),
        sum(r * r for r in rewards),
        explore_q16(rounds, ZETA_Q16),
    )
    true = formula(np.array(rewards) / ONE_Q16, rounds) * ONE_Q16
    # Variances are rounded up by at most 2**-29: what that does to the root is allowed for.
    slack = 12 + (2 * 2.0**-29 * 1.2 * np.log(rounds + 1) / len(rewards)) ** 0.5 * ONE_Q16
    assert -1e-3 <= found - true <= slack


@pytest.mark.parametrize("rewards", [(0, 0, 1), (0, 1), (1, 1, 0, 1, 1, 1, 1)])
def test_variances_below_a_unit_are_not_lost(rewards: tuple[int, ...]) -> None:
    """Under so much exploration even 2**-34 of variance is several units of the index."""
    n, explore = len(rewards), 1 << 26
    found = ucbv_index_q16(n, sum(rewards), sum(r * r for r in rewards), explore)
    values = np.array(rewards) / ONE_Q16
    true = values.mean() + (2 * values.var() * 1024 / n) ** 0.5 + 3 * 1024 / n
    assert found >= true * ONE_Q16


@pytest.mark.parametrize("reward", [0, ONE_Q16 // 2, ONE_Q16])
def test_the_index_at_the_largest_number_of_pulls(reward: int) -> None:
    explore = explore_q16(2**62, ZETA_Q16)
    found = ucbv_index_q16(MAX_PULLS, MAX_PULLS * reward, MAX_PULLS * reward**2, explore)
    assert 0 < found - reward < 10
    half = MAX_PULLS // 2
    found = ucbv_index_q16(2 * half, half * ONE_Q16, half * ONE_Q16**2, explore)
    true = 0.5 + (2 * 0.25 * 1.2 * np.log(2.0**62) / (2 * half)) ** 0.5
    assert 0 < found - true * ONE_Q16 < 10


def test_every_arm_is_tried_first_then_the_best_is_pulled_most() -> None:
    bandit, rng = UcbV(4), np.random.default_rng(3)
    means, rounds = [0.2, 0.8, 0.5, 0.6], 4_000
    arms = []
    for _ in range(rounds):
        arm = bandit.pick()
        arms.append(arm)
        bandit.update(arm, ONE_Q16 * int(rng.random() < means[arm]))
    assert arms[:4] == [0, 1, 2, 3]
    assert bandit.pulls.sum() == rounds and bandit.pulls.argmax() == 1
    regret = sum((0.8 - m) * p for m, p in zip(means, bandit.pulls, strict=True))
    gaps = [0.8 - m for m in means if m < 0.8]
    variances = [m * (1 - m) for m in means if m < 0.8]
    terms = sum(v / g + 2 for v, g in zip(variances, gaps, strict=True))
    assert regret <= 10 * terms * np.log(rounds)
    assert regret < 0.2 * rounds * sum(gaps) / 4  # a fifth of what even pulls lose
    assert (bandit.indices_q16() >= bandit.totals_q16 // bandit.pulls).all()


def test_a_certain_reward_is_explored_less_than_a_noisy_one() -> None:
    """The variance is what UCB-V adds to UCB."""
    bandit = UcbV(2)
    for i in range(200):
        bandit.update(0, ONE_Q16 // 2)
        bandit.update(1, ONE_Q16 * (i % 2))
    sure, noisy = bandit.indices_q16()
    assert noisy - sure > 0.1 * ONE_Q16


def test_subsets_ties_and_new_arms() -> None:
    bandit = UcbV(3)
    for arm in range(3):
        bandit.update(arm, 100)
    assert bandit.pick() == 0
    assert bandit.pick(np.array([2, 1])) == 2
    assert bandit.add() == 3
    assert bandit.pick() == 3
    assert bandit.indices_q16()[3] == 1 << 62
    bandit.update(3, 0)
    assert bandit.pick(np.array([1])) == 1


def test_refusals() -> None:
    for n, zeta in ((0, 1), (1, 0), (1, (1 << 20) + 1)):
        with pytest.raises(ShapeError, match=f"n is {n}, zeta_q16 is {zeta}; use n >= 1"):
            UcbV(n, zeta)
    bandit = UcbV(2)
    for arm, reward in ((2, 0), (-1, 0), (0, -1), (0, ONE_Q16 + 1)):
        with pytest.raises(ShapeError, match=f"arm {arm}, reward {reward}; give an arm of 0 to 1"):
            bandit.update(arm, reward)
    for arms in ([], [2], [-1]):
        with pytest.raises(ShapeError, match=r"pick: candidates are .*; give some of 0 to 1"):
            bandit.pick(np.array(arms, dtype=np.int64))
    bandit._pulls[0] = MAX_PULLS
    with pytest.raises(ShapeError, match="arm 0 was pulled 2147483647 times; start afresh"):
        bandit.update(0, 1)
