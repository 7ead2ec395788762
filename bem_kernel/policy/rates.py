"""Learning rates in integers: for a known number of rounds, and for any number.

Rates are Q32 octaves per unit of loss; a rate of eta' nats is eta' / ln 2 octaves. Whatever rate is
used, `bounds` gives the regret that it guarantees; these are the rates that make it least.

Sources: Cesa-Bianchi and Lugosi 2006, section 2.2; Bubeck 2011, theorem 2.4; Neu 2015, theorem 1.
"""

from __future__ import annotations

from fractions import Fraction
from math import isqrt

from bem_kernel.errors import ShapeError
from bem_kernel.policy.logarithm import LN2_HIGH, LN2_LOW, ln_high

_MAX_RATE_Q32 = (1 << 38) - 1


def hedge_rate_q32(n: int, rounds: int) -> int:
    """The rate sqrt(8 ln(n) / T) nats of Hedge with n experts over T rounds, in Q32 octaves."""
    return _rate_q32(8 * _logarithm(n, rounds), rounds)


def hedge_anytime_rate_q32(n: int, round_: int) -> int:
    """The rate 2 sqrt(ln(n) / t) nats of round t = 1, 2, …, in Q32 octaves; it never grows.

    With it the regret of n experts is at most sqrt(T ln n) plus rounding after every number T of
    rounds.
    """
    return _rate_q32(4 * _logarithm(n, round_), round_)


def ix_rate_q32(n: int, rounds: int) -> int:
    """The rate sqrt(2 ln(n) / (n T)) nats of Exp3-IX with n arms over T rounds, in Q32 octaves."""
    return _rate_q32(2 * _logarithm(n, rounds), n * rounds)


def ix_anytime_rate_q32(n: int, round_: int) -> int:
    """The rate sqrt(ln(n) / (n t)) nats of Exp3-IX in round t, in Q32 octaves; it never grows."""
    return _rate_q32(_logarithm(n, round_), n * round_)


def ix_gamma_q30(eta_q32: int) -> int:
    """Implicit exploration gamma = eta / 2 of Exp3-IX in Q30, eta in nats, rounded up.

    Args:
        eta_q32: learning rate, Q32 octaves per unit of loss, 1 or more.
    """
    exact = Fraction(eta_q32, 8) * LN2_HIGH
    return -(-exact.numerator // exact.denominator)


def _logarithm(n: int, rounds: int) -> Fraction:
    if n < 1 or rounds < 1:
        raise ShapeError(
            f"n is {n}, rounds are {rounds}", where="rates", fix="use at least 1 of each"
        )
    return ln_high(n)


def _rate_q32(numerator: Fraction, denominator: int) -> int:
    """sqrt(numerator / denominator) / ln 2 in Q32, rounded down, from 1 up to 2**38 - 1."""
    square = Fraction(numerator * (1 << 64), denominator * LN2_LOW * LN2_LOW)
    return max(1, min(isqrt(square.numerator // square.denominator), _MAX_RATE_Q32))
