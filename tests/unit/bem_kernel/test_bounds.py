"""The bounds as numbers: the published formulas plus little, and refusals."""

from __future__ import annotations

from fractions import Fraction
from itertools import repeat

import numpy as np
import pytest

from bem_kernel.errors import ShapeError
from bem_kernel.policy.bounds import drawing_error, hedge_bound, ix_bound
from bem_kernel.policy.rates import (
    hedge_anytime_rate_q32,
    hedge_rate_q32,
    ix_anytime_rate_q32,
    ix_gamma_q30,
    ix_rate_q32,
)


@pytest.mark.parametrize(("n", "rounds"), [(2, 100), (16, 10**5), (256, 10**5)])
def test_hedge_is_the_published_bound_plus_a_thousandth(n: int, rounds: int) -> None:
    bound = float(hedge_bound(n, repeat(hedge_rate_q32(n, rounds), rounds)))
    published = (rounds * np.log(n) / 2) ** 0.5
    assert published <= bound <= published * 1.001


def test_the_textbook_formula_at_any_rate() -> None:
    """The bound is ln n / eta + eta T / 8 + T d, at one octave per unit."""
    eta, n, rounds = np.log(2), 10, 1000
    expected = np.log(n) / eta + eta * rounds / 8 + rounds * float(drawing_error(n))
    found = hedge_bound(n, repeat(1 << 32, rounds))
    assert isinstance(found, Fraction)
    assert float(found) == pytest.approx(expected, rel=1e-12)


def test_falling_rates_use_the_last_for_learning_and_the_sum_for_the_rest() -> None:
    rates = [1 << 33, 1 << 32, 1 << 31]
    eta = np.log(2) * np.array([2, 1, 0.5])
    expected = np.log(5) / eta[-1] + eta.sum() / 8 + 3 * float(drawing_error(5))
    assert float(hedge_bound(5, rates)) == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize(("n", "rounds"), [(2, 10**4), (16, 10**5)])
def test_ix_is_neus_bound_with_a_third_event_and_little_more(n: int, rounds: int) -> None:
    """Neu 2015, theorem 1: 2 sqrt(2KT ln K) + (sqrt(2KT / ln K) + 1) ln(2 / delta)."""
    delta = 0.01
    found = float(ix_bound(n, repeat(ix_rate_q32(n, rounds), rounds), Fraction(1, 100)))
    log = np.log(n)
    published = 2 * (2 * n * rounds * log) ** 0.5
    published += ((2 * n * rounds / log) ** 0.5 + 1) * np.log(3 / delta)
    assert found <= published * 1.001
    assert found >= 2 * (2 * n * rounds * log) ** 0.5


def test_the_formula_for_ix_at_falling_rates() -> None:
    """The last line of the derivation, term by term, in floating point."""
    n, delta = 3, 0.1
    rates = [(1 << 33) // t for t in range(1, 41)]
    eta = np.log(2) * np.array(rates) / 2.0**32
    g = ix_gamma_q30(rates[-1]) / 2.0**30
    c = eta.sum() + len(rates) * 2.0**-28
    d = 9.2e-7 + n * 2.0**-29
    r = (g + 2.0**-30) / g
    terms = [
        np.log(n) / eta[-1],
        np.log(3 * n / delta) / (2 * g),
        n * c,
        (r + 1) * np.log(3 / delta),
        4 * d * len(rates),
        (len(rates) + c) / 2.0**16,
    ]
    found = float(ix_bound(n, rates, Fraction(1, 10)))
    assert found == pytest.approx(sum(terms), rel=1e-12)


def test_rates_are_the_published_ones() -> None:
    ln2 = np.log(2)
    n, t = 12, 5000
    pairs = [
        (hedge_rate_q32(n, t), (8 * np.log(n) / t) ** 0.5),
        (hedge_anytime_rate_q32(n, t), 2 * (np.log(n) / t) ** 0.5),
        (ix_rate_q32(n, t), (2 * np.log(n) / (n * t)) ** 0.5),
        (ix_anytime_rate_q32(n, t), (np.log(n) / (n * t)) ** 0.5),
    ]
    for found, nats in pairs:
        assert 0 <= nats / ln2 * 2**32 - found < 1.01
    assert 0 <= ix_gamma_q30(1 << 32) - ln2 / 2 * 2**30 < 1
    assert ix_gamma_q30(1) == 1


def test_rates_stay_in_range_at_the_ends() -> None:
    assert hedge_rate_q32(1, 10) == 1  # one expert: nothing to learn
    assert hedge_rate_q32(2, 10**40) == 1
    assert hedge_rate_q32(2**32, 1) < 1 << 38
    with pytest.raises(ShapeError, match="rates: n is 0, rounds are 5; use at least 1"):
        hedge_rate_q32(0, 5)
    with pytest.raises(ShapeError, match="n is 2, rounds are 0"):
        ix_anytime_rate_q32(2, 0)


def test_refusals() -> None:
    with pytest.raises(ShapeError, match="there is no round; give at least one rate"):
        hedge_bound(2, [])
    with pytest.raises(ShapeError, match="rate of round 1 is 6 after 5; use positive rates that"):
        hedge_bound(2, [5, 6])
    with pytest.raises(ShapeError, match="rate of round 0 is 0"):
        hedge_bound(2, [0])
    for delta in (0, 2):
        with pytest.raises(ShapeError, match=f"delta is {delta}, .*; use 0 < delta <= 1"):
            ix_bound(2, [1 << 30], Fraction(delta))
    with pytest.raises(ShapeError, match="the last rate 9; .* rates whose gamma is above"):
        ix_bound(2, [9], Fraction(1, 2))
