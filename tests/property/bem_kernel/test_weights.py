"""Laws of Hedge: totals, the error of its weights, and its regret against adversaries."""

from __future__ import annotations

from decimal import Decimal, localcontext
from fractions import Fraction
from itertools import repeat

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bem_kernel.policy.bounds import drawing_error, hedge_bound
from bem_kernel.policy.exp2 import ONE_Q16, exp2_q16
from bem_kernel.policy.rates import hedge_anytime_rate_q32, hedge_rate_q32
from bem_kernel.policy.weights import Hedge, add_losses, weigh_totals


@given(st.integers(0, 20 * ONE_Q16))
def test_powers_are_within_one_of_the_true_value(exponent: int) -> None:
    with localcontext(prec=40):
        true = Decimal(2) ** (-Decimal(exponent) / ONE_Q16) * ONE_Q16
        found = int(exp2_q16(np.array([exponent], dtype=np.int64))[0])
        assert abs(found - true) <= 1


@given(st.integers(0, 1 << 62), st.integers(0, 1 << 62))
def test_powers_never_increase(a: int, b: int) -> None:
    low, high = exp2_q16(np.array(sorted((a, b)), dtype=np.int64)).tolist()
    assert ONE_Q16 >= low >= high >= 0


@given(
    st.lists(st.lists(st.integers(-(1 << 36), 1 << 36), min_size=3, max_size=3), max_size=20),
    st.randoms(use_true_random=False),
)
def test_totals_are_the_sums_of_losses_whatever_their_order(
    rounds: list[list[int]], rng: object
) -> None:
    one, two = Hedge(3), Hedge(3)
    shuffled = list(rounds)
    rng.shuffle(shuffled)  # type: ignore[attr-defined]
    for first, second in zip(rounds, shuffled, strict=True):
        one.update(np.array(first, dtype=np.int64))
        two.update(np.array(second, dtype=np.int64))
    totals = np.sum(np.array(rounds, dtype=np.int64).reshape(-1, 3), axis=0)
    assert (one.totals_q16 == totals - totals.min()).all()
    assert (one.duals_q16 == one.totals_q16).all()
    assert (two.totals_q16 == one.totals_q16).all()


@given(
    st.lists(st.one_of(st.integers(0, 1 << 62), st.integers(0, 1 << 30)), min_size=1, max_size=12),
    st.one_of(st.integers(1, (1 << 38) - 1), st.integers(1, 1 << 24)),
)
def test_the_distribution_is_as_near_to_the_exact_one_as_the_bound_assumes(
    behind: list[int], eta_q32: int
) -> None:
    """The d of `bounds`: sum |q - p| <= 2d, each coordinate within d."""
    totals = np.array(behind) - min(behind)
    weights = np.zeros(len(behind), dtype=np.int64)
    total = int(weigh_totals(totals, eta_q32, weights))
    with localcontext(prec=60):
        octaves = [Decimal(int(s)) * eta_q32 / Decimal(2**48) for s in totals]
        exact = [Decimal(2) ** -x if x < 10**6 else Decimal(0) for x in octaves]
        p = [w / sum(exact) for w in exact]
        q = [Decimal(int(w)) / total for w in weights]
        d = drawing_error(len(behind))
        allowed = Decimal(d.numerator) / Decimal(d.denominator)
        assert sum(abs(a - b) for a, b in zip(p, q, strict=True)) <= 2 * allowed
        assert max(abs(a - b) for a, b in zip(p, q, strict=True)) <= allowed


def losses_of(adversary: str, rng: np.random.Generator, t: int, weights: np.ndarray) -> np.ndarray:
    """(n,) losses in Q16 of an adversary that sees the weights of the round."""
    n = len(weights)
    if adversary == "coins":
        return rng.integers(0, 2, n) * ONE_Q16
    if adversary == "leader":
        losses = rng.integers(0, 2, n) * ONE_Q16
        losses[weights.argmax()] = ONE_Q16
        return losses
    if adversary == "heavy half":
        return (weights >= np.sort(weights)[(n - 1) // 2]) * np.int64(ONE_Q16)
    if adversary == "half the mass":
        losses, order = np.zeros(n, dtype=np.int64), np.roll(np.arange(n), t)
        for i in order[np.argsort(-weights[order], kind="stable")]:
            if 2 * (weights @ (losses > 0) + weights[i]) <= weights.sum():
                losses[i] = ONE_Q16
        return losses
    if adversary == "switching":
        return np.where(np.arange(n) == t // 40 % n, 0, ONE_Q16)
    return rng.integers(0, ONE_Q16 + 1, n)


ADVERSARIES = ("coins", "leader", "heavy half", "half the mass", "switching", "fractions")


def play(hedge: Hedge, rates: list[int], adversary: str, seed: int) -> Fraction:
    """Exact regret of the mean loss after one round per rate."""
    rng = np.random.default_rng(seed)
    n = len(hedge.totals_q16)
    ours, totals = Fraction(0), np.zeros(n, dtype=np.int64)
    for t, rate in enumerate(rates):
        hedge.eta_q32 = rate
        losses = losses_of(adversary, rng, t, hedge.weights_q30()).astype(np.int64)
        charged = int((hedge.weights_q30() * losses).sum())
        ours += Fraction(charged, int(hedge.weights_q30().sum()) << 16)
        totals += losses
        hedge.update(losses)
    return ours - Fraction(int(totals.min()), ONE_Q16)


@pytest.mark.parametrize("adversary", ADVERSARIES)
@settings(max_examples=6, deadline=None)
@given(st.integers(2, 40), st.integers(0, 2**32), st.sampled_from([0, 3, -3]))
def test_regret_stays_under_the_proved_bound(
    adversary: str, n: int, seed: int, detuned: int
) -> None:
    rounds = 150
    best = hedge_rate_q32(n, rounds)
    rate = best << detuned if detuned >= 0 else best >> -detuned
    regret = play(Hedge(n), [rate] * rounds, adversary, seed)
    assert regret <= hedge_bound(n, repeat(rate, rounds))


@pytest.mark.parametrize("adversary", ADVERSARIES)
@settings(max_examples=4, deadline=None)
@given(st.integers(2, 40), st.integers(0, 2**32))
def test_regret_stays_under_the_bound_of_falling_rates_at_every_round(
    adversary: str, n: int, seed: int
) -> None:
    rates = [hedge_anytime_rate_q32(n, t) for t in range(1, 121)]
    assert rates == sorted(rates, reverse=True)
    for rounds in (1, 10, 120):
        regret = play(Hedge(n), rates[:rounds], adversary, seed)
        bound = hedge_bound(n, rates[:rounds])
        assert regret <= bound <= 1.0001 * (rounds * np.log(n)) ** 0.5 + 1e-3


def test_the_bound_is_not_slack_against_coins() -> None:
    """Independent fair coins are close to the worst adversary, so a wrong rate would show."""
    n, rounds = 16, 4000
    rate = hedge_rate_q32(n, rounds)
    regrets = [play(Hedge(n), [rate] * rounds, "coins", seed) for seed in range(3)]
    assert 0.5 < sum(regrets) / 3 / hedge_bound(n, repeat(rate, rounds)) < 1


def test_the_bound_is_almost_reached() -> None:
    """Half of the mass is charged in each round, at last all but the leader: 0.97 of the bound."""
    n, rounds = 16, 20_000
    rate = hedge_rate_q32(n, rounds)
    totals, weights = np.zeros(n, dtype=np.int64), np.zeros(n, dtype=np.int64)
    ours, charged = 0.0, np.zeros(n, dtype=np.int64)
    for t in range(rounds):
        total = weigh_totals(totals, rate, weights)
        losses = (np.arange(n) + t) % 2 * np.int64(ONE_Q16)
        if t > rounds - rounds // 10:
            losses = np.full(n, ONE_Q16)
            losses[weights.argmax()] = 0
        ours += weights @ losses / int(total) / ONE_Q16
        charged += losses
        add_losses(totals, losses)
    share = (ours - charged.min() / ONE_Q16) / hedge_bound(n, repeat(rate, rounds))
    assert 0.9 < share <= 1


def test_integers_lose_no_more_than_floating_point() -> None:
    """The same losses played by the textbook in float64: within a thousandth of the bound."""
    n, rounds = 16, 3000
    rate = hedge_rate_q32(n, rounds)
    rng, hedge = np.random.default_rng(7), Hedge(n)
    hedge.eta_q32 = rate
    ours, textbook, totals = 0.0, 0.0, np.zeros(n)
    for t in range(rounds):
        weights = hedge.weights_q30()
        losses = losses_of(ADVERSARIES[t % len(ADVERSARIES)], rng, t, weights).astype(np.int64)
        exact = np.exp2(-(totals - totals.min()) * rate / 2.0**32)
        ours += weights @ losses / weights.sum() / ONE_Q16
        textbook += exact @ losses / exact.sum() / ONE_Q16
        totals += losses / ONE_Q16
        hedge.update(losses)
    assert abs(ours - textbook) <= hedge_bound(n, repeat(rate, rounds)) / 1000
