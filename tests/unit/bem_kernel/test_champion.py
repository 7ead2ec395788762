"""One champion per context: the kernels against the same formulas in floating point."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from bem_kernel.policy import champion
from bem_kernel.policy.contextual import BanditConfig, ContextualBandit
from bem_kernel.policy.logistic import INFORMATION, OFFSET

ONE_Q16, ONE_Q30, ONE_Q32, ONE_Q40 = 1 << 16, 1 << 30, 1 << 32, 1 << 40
Floats = NDArray[np.float64]


class Reference:
    """The formulas of the module, in floating point."""

    def __init__(self, arms: int, features: int, cells: int) -> None:
        self.theta = np.zeros((arms, features))
        self.P = np.stack([np.eye(features)] * arms)
        self.offset, self.information = np.zeros((arms, cells)), np.zeros((arms, cells))
        self.paid, self.seen = np.array([3.0, 1.0]), np.array([4.0, 4.0])

    def learn(self, x: Floats, cell: int, arm: int, r: float) -> float:
        q = 1 / (self.information[:, cell] + 1)
        reach = self.P @ x
        v = reach @ x + q
        shares = np.exp(self.theta @ x + self.offset[:, cell])
        shares /= shares.sum()
        high, low = self.paid / self.seen
        p = low + (high - low) * shares[arm]
        mine = r * high / p + (1 - r) * (1 - high) / (1 - p)
        responsible = np.array([shares[arm] * mine, 1 - shares[arm] * mine])
        self.paid, self.seen = self.paid + responsible * r, self.seen + responsible
        h = (high - low) * shares[arm] * ((np.arange(len(q)) == arm) - shares)
        s = p * (1 - p) + h * h @ v
        self.theta += reach * (h * (r - p) / s)[:, None]
        self.P -= reach[:, :, None] * reach[:, None, :] * (h * h / s)[:, None, None]
        self.offset[:, cell] += q * h * (r - p) / s
        self.information[:, cell] += h * h / (s - h * h * q)
        return float(p)


def test_learn_follows_the_formulas() -> None:
    arms, features, cells = 3, 4, 8
    rng = np.random.default_rng(1)
    models = np.zeros((arms, 1 + features, features), dtype=np.int64)
    models[:, 1:] = np.eye(features, dtype=np.int64) * ONE_Q40
    tables = np.zeros((arms, cells, 2), dtype=np.int64)
    payments = np.array(champion.START_Q16, dtype=np.int64)
    reach, scores = np.zeros(features, dtype=np.int64), np.zeros((arms, 3), dtype=np.int64)
    reference = Reference(arms, features, cells)
    weights = rng.integers(-8, 9, (arms, features))
    for _ in range(600):
        x = rng.integers(0, 2, features) * 2 - 1
        cell, arm = int(rng.integers(cells)), int(rng.integers(arms))
        odds = 0.8 if arm == (weights @ x).argmax() else 0.2
        paid = int(rng.random() < odds)
        p = champion.learn(
            models, tables, payments, x * 32768, cell, ONE_Q32, arm, paid * ONE_Q16, reach, scores
        )
        assert p / ONE_Q30 == pytest.approx(reference.learn(x * 1.0, cell, arm, paid), abs=1e-3)
    assert models[:, 0] / ONE_Q32 == pytest.approx(reference.theta, abs=5e-3)
    assert models[:, 1:] / ONE_Q40 == pytest.approx(reference.P, abs=1e-3)
    assert tables[..., OFFSET] / ONE_Q32 == pytest.approx(reference.offset, abs=5e-3)
    gathered = tables[..., INFORMATION] / (1 << 24)
    assert gathered == pytest.approx(reference.information, rel=0.01, abs=1e-3)
    assert payments[:, champion.PAID] / ONE_Q16 == pytest.approx(reference.paid, rel=5e-3)


def test_shares_of_scores_that_are_equal_and_far_apart() -> None:
    scores = np.zeros((4, 3), dtype=np.int64)
    champion.share(scores)
    assert set(scores[:, champion.SHARE].tolist()) == {ONE_Q30 // 4}
    scores[2, champion.MEAN] = 1 << 38
    champion.share(scores)
    rest = scores[[0, 1, 3], champion.SHARE]
    assert rest.min() > 0  # so that an arm is never written off
    assert scores[2, champion.SHARE] / ONE_Q30 == pytest.approx(1, abs=1e-6)


def test_what_was_paid_long_ago_is_forgotten() -> None:
    payments = np.array(champion.START_Q16, dtype=np.int64)
    sure = ONE_Q30 - 1
    for reward in (ONE_Q16, 0):
        for _ in range(6000):
            high = champion.pays_q30(payments, 0)
            champion.credit(payments, high, reward, high, sure)
    assert champion.pays_q30(payments, 0) < ONE_Q30 // 10
    assert payments[0, champion.SEEN] < 2048 * ONE_Q16


def champions(n: int, changes: int, seed: int) -> tuple[NDArray[np.int64], Floats]:
    """Contexts of 6 bits, and the odds of 4 arms, of which the best pays 0.8 and others 0.2."""
    rng = np.random.default_rng(seed)
    contexts = rng.integers(0, 2, (n, 6)) * 2 - 1
    scores = [part @ rng.integers(-8, 9, (6, 4)) for part in np.split(contexts, changes + 1)]
    best = np.concatenate(scores).argmax(axis=1)
    return contexts * 32768, np.where(np.arange(4) == best[:, None], 0.8, 0.2)


def run(config: BanditConfig, n: int, changes: int) -> tuple[float, list[int]]:
    """Regret, and where changes were found."""
    contexts, odds = champions(n, changes, config.key)
    paid = np.random.default_rng(config.key + 1).random(odds.shape) < odds
    chosen, found = ContextualBandit(config).run(contexts, paid.astype(np.int64) * ONE_Q16)
    regret = (odds.max(axis=1) - odds[np.arange(n), chosen]).sum()
    return float(regret), np.flatnonzero(found).tolist()


def test_champions_cost_less_than_arms_of_their_own() -> None:
    """With the same cells: a payment says something about the arms that were not chosen."""
    shared = {"n_arms": 4, "n_features": 6, "cell_bits": 6, "cell_prior_q16": ONE_Q16}
    mine = [run(BanditConfig(**shared, champion=True, key=k), 8000, 0) for k in range(6)]
    own = [run(BanditConfig(**shared, optimism_q16=24576, key=k), 8000, 0) for k in range(6)]
    assert sum(r for r, _ in mine) < 0.85 * sum(r for r, _ in own)
    assert not any(found for _, found in mine)


def test_a_change_of_champions_is_found_at_once() -> None:
    config = BanditConfig(4, 6, cell_bits=6, cell_prior_q16=ONE_Q16, champion=True, key=3)
    regret, found = run(config, 6000, 1)
    assert len(found) == 1
    assert 3000 <= found[0] < 3100
    assert regret < 2 * run(config, 6000, 0)[0] + 100


def test_champions_without_cells_and_with_one_arm() -> None:
    bandit = ContextualBandit(BanditConfig(1, 2, champion=True))
    for paid in (0, ONE_Q16, 30000):
        bandit.learn([32768, -32768], bandit.choose([32768, -32768]), paid)
    assert bandit.probabilities_q30([0, 0]).tolist() == [ONE_Q30]
    assert not bandit.models[0, 0].any()  # that the only arm is the champion was known
