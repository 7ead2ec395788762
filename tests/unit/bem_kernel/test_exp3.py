"""Exp3-IX learns from bandit feedback; the literal estimator of [core 7.1] does not.

The experiment of docs/decisions/0007-ix-estimator.md is here, so that its figures can be had again.
"""

from __future__ import annotations

from fractions import Fraction
from itertools import repeat

import numpy as np
import pytest

from bem_kernel.errors import ShapeError
from bem_kernel.policy.bounds import ix_bound
from bem_kernel.policy.counter import ticket
from bem_kernel.policy.estimators import ix_loss_q16, literal_losses
from bem_kernel.policy.exp3 import Estimator, Exp3
from bem_kernel.policy.rates import ix_anytime_rate_q32, ix_gamma_q30, ix_rate_q32
from bem_kernel.policy.weights import Hedge

ONE_Q16 = 1 << 16


def regret(losses_q16: list[int], rounds: int, estimator: Estimator, key: int) -> float:
    """Regret against the best arm, each arm losing the same every round."""
    bandit = Exp3(len(losses_q16), ix_rate_q32(len(losses_q16), rounds), estimator)
    lost = 0
    for t in range(rounds):
        arm = bandit.pick(int(ticket(key, t)))
        bandit.update(losses_q16[arm])
        lost += losses_q16[arm]
    return (lost - rounds * min(losses_q16)) / ONE_Q16


def test_the_literal_estimator_has_linear_regret_where_ix_has_not() -> None:
    """Losses 0.4 and 0.6: the literal rule settles at odds of 0.6 to 0.4, losing 0.08 a round."""
    losses = [int(0.4 * ONE_Q16), int(0.6 * ONE_Q16)]
    literal = {rounds: regret(losses, rounds, "literal", 1) for rounds in (5_000, 20_000)}
    for rounds, lost in literal.items():
        assert lost == pytest.approx(0.08 * rounds, rel=0.1)
    ours = regret(losses, 20_000, "ix", 1)
    rate = ix_rate_q32(2, 20_000)
    assert ours <= ix_bound(2, repeat(rate, 20_000), Fraction(1, 100))
    assert ours < literal[20_000] / 5
    assert ours < 3 * regret(losses, 5_000, "ix", 1)  # grows like a root, not fourfold


def test_the_literal_odds_are_inverse_to_the_losses() -> None:
    losses = [ONE_Q16 // 4, ONE_Q16 // 2, ONE_Q16]
    bandit, share = Exp3(3, 1 << 28, "literal"), np.zeros(3)
    for t in range(6_000):
        arm = bandit.pick(int(ticket(3, t)))
        bandit.update(losses[arm])
        share[arm] += t >= 1_000
    assert share / share.sum() == pytest.approx([4 / 7, 2 / 7, 1 / 7], rel=0.1)


@pytest.mark.parametrize(("length", "rate_per_round"), [(4, 0.0475), (16, 0.0132)])
def test_averaging_over_longer_episodes_is_linear_too(length: int, rate_per_round: float) -> None:
    """An arm is charged once for each episode it occurs in, however often it was chosen there.

    The odds settle where (1 - (1 - p)**length) * loss is the same for both arms.
    """
    losses = np.array([int(0.4 * ONE_Q16), int(0.6 * ONE_Q16)])
    hedge, arms, episodes, warm = Hedge(2, eta_q16=1 << 13), np.arange(2), 1_500, 300
    worse = 0
    for e in range(episodes):
        draws = [int(ticket(11, e * length + t)) for t in range(length)]
        chosen = np.array([hedge.pick(arms, draw) for draw in draws])
        counts, estimates = np.zeros(2, dtype=np.int64), np.zeros(2, dtype=np.int64)
        literal_losses(chosen, losses[chosen], length, counts, estimates)
        hedge.update(estimates)
        worse += int(counts[1]) if e >= warm else 0
    assert 0.2 * worse / ((episodes - warm) * length) == pytest.approx(rate_per_round, rel=0.15)


def test_ix_follows_an_adversary_that_changes_sides() -> None:
    """The best arm in hindsight loses in the first third; the bound covers that too."""
    rounds, n = 6_000, 4
    rate = ix_rate_q32(n, rounds)
    bandit, lost, totals = Exp3(n, rate), 0, np.zeros(n)
    for t in range(rounds):
        losses = np.full(n, ONE_Q16)
        losses[0 if t < rounds // 3 else 1] = 0
        arm = bandit.pick(int(ticket(5, t)))
        bandit.update(int(losses[arm]))
        lost += int(losses[arm])
        totals += losses
    regret = (lost - totals.min()) / ONE_Q16
    assert regret <= ix_bound(n, repeat(rate, rounds), Fraction(1, 100))
    assert bandit.probabilities_q30().argmax() == 1


def test_falling_rates_need_no_horizon() -> None:
    rates = [ix_anytime_rate_q32(2, t) for t in range(1, 4_001)]
    bandit, lost = Exp3(2, rates[0]), 0
    for t, rate in enumerate(rates):
        bandit.eta_q32 = rate
        arm = bandit.pick(int(ticket(9, t)))
        bandit.update(arm * ONE_Q16)
        lost += arm
    assert lost <= ix_bound(2, rates, Fraction(1, 100))
    assert lost < 200


def test_a_charge_uses_the_probability_of_the_draw() -> None:
    bandit = Exp3(2, 1 << 32)
    for _ in range(2):  # the second time at odds that are no longer even
        probabilities = bandit.probabilities_q30()
        before = bandit.totals_q16
        arm = bandit.pick((1 << 64) - 1)
        assert arm == 1
        bandit.update(ONE_Q16)
        charge = ix_loss_q16(ONE_Q16, probabilities[1], ix_gamma_q30(1 << 32))
        assert bandit.totals_q16[1] == before[1] + charge
    assert bandit.probabilities_q30().tolist() != [1 << 29, 1 << 29]
    bandit = Exp3(2, 1 << 32)
    arm = bandit.pick(0)
    bandit.eta_q32 = 1 << 20  # too late for this draw
    bandit.update(ONE_Q16)
    charge = ix_loss_q16(ONE_Q16, 1 << 29, ix_gamma_q30(1 << 32))
    assert bandit.totals_q16[arm] == charge


def test_refusals() -> None:
    with pytest.raises(ShapeError, match="n is 0, the estimator 'ix'; use 1 to"):
        Exp3(0, 1 << 30)
    with pytest.raises(ShapeError, match="the estimator 'mean'; use .* 'ix' or 'literal'"):
        Exp3(2, 1 << 30, "mean")  # type: ignore[arg-type]
    with pytest.raises(ShapeError, match="the learning rate is 0"):
        Exp3(2, 0)
    bandit = Exp3(2, 1 << 30)
    with pytest.raises(ShapeError, match="no arm was picked; call pick first"):
        bandit.update(5)
    with pytest.raises(ShapeError, match="the ticket is -1"):
        bandit.pick(-1)
    bandit.pick(0)
    for loss in (-1, ONE_Q16 + 1):
        with pytest.raises(ShapeError, match=f"the loss is {loss}; give 0 to 65536"):
            bandit.update(loss)
    bandit.update(ONE_Q16)
    with pytest.raises(ShapeError, match="no arm was picked"):
        bandit.update(5)
