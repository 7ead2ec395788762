"""Regret bounds that hold for the integer algorithms as they run, as exact rational numbers.

Regret is the loss of the algorithm less that of the best fixed expert in hindsight, in units of
loss; losses are Q16 integers that stand for numbers in [0, 1], chosen by any adversary.

**How far the integer weights are from the exact ones.** Scale the exact weights to
``w_i = 2**30 * 2**-(eta * (S_i - S_min))``, so that W = sum(w) >= 2**30. The totals S are exact
integers. The integer weight v_i is read from the table with a relative error of at most
e = 9.2e-7 (module `exp2`; the exponent, cut to Q32, is included), shifted with half a unit of
rounding and raised to 1: |v_i - w_i| <= e * w_i + 1. With V = sum(v), p = w / W and q = v / V,

    sum|q_i - p_i| <= sum|v_i - w_i| / W + V * |1/V - 1/W| <= 2 * sum|v_i - w_i| / W
                   <= 2 * (e + n / 2**30).

A draw by a 64-bit ticket gives each expert q_i within 2**-64, which is n / 2**64 in sum. So the
distribution P that is drawn from has sum|P_i - p_i| <= 2d with **d = e + n / 2**29**, no coordinate
is off by more than d, and no loss in [0, 1] changes its mean by more than d.

**Hedge.** For exact weights and rates eta'_1 >= eta'_2 >= … in nats (eta' = eta * ln 2), each
applied to all past losses, Hoeffding's lemma gives ln(n) / eta'_T + sum(eta'_t) / 8 (Freund and
Schapire 1997; Cesa-Bianchi and Lugosi 2006, theorem 2.2; falling rates: Bubeck 2011, theorem 2.4).
The totals are those of the exact algorithm on the same losses, so a round adds at most d:

    regret <= ln(n) / eta'_T + sum(eta'_t) / 8 + T * d,

where the algorithm's loss in a round is its mean over the draw; the losses of a round may depend
on everything but its draw. Totals saturate 2**62 behind the leader, after 2**46 rounds at least.

**Exp3-IX** (Neu, "Explore no more", 2015, theorem 1, whose proof this follows). Arm I is drawn from
P, loses l and is charged x_I = l / (P'_I + gamma_t), rounded down to Q16, where P'_I is q_I rounded
up to Q30; the other x_i are 0. As q_I <= P'_I < q_I + 2**-30, with g_t = gamma_t - 2**-64 and
h_t = gamma_t + 2**-29, l / (P_I + h_t) - 2**-16 < x_I <= l / (P_I + g_t). Rates never grow; gamma_t
is eta'_t / 2 rounded up to Q30, so that c_t = eta'_t / 2 + h_t is at most 2 gamma_t + 2**-29 and at
most eta'_t + 2**-28; r = (gamma_T + 2**-30) / g_T is at least every c_t / (2 g_t); and d <= g_T.
Each of three events fails with probability at most delta / 3.

1. Neu's lemma 1 asks of estimates only that they are at most l / (P_I + g_t). With its factors
   2 g_T, for all arms j at once: sum_t x_tj <= sum_t l_tj + ln(3n / delta) / (2 g_T).
2. With its factors c_t / r: sum_t c_t sum_i x_ti <= n * sum_t c_t + r * ln(3 / delta).
3. The losses drawn are l_t < (x_I + 2**-16) * (P_I + h_t), so they sum to at most
   sum_t (sum_i P_ti x_ti + h_t * sum_i x_ti) + sum_t (1 + h_t) / 2**16.
4. Exact exponential weights p on charges x >= 0 have sum_t sum_i p_ti x_ti <=
   sum_t x_tj + ln(n) / eta'_T + sum_t (eta'_t / 2) sum_i p_ti x_ti**2, and p_ti x_ti <=
   (P_ti + d) / (P_ti + g_t) <= 1.
5. Drawing from P instead of p costs at most Y_t = |P_I - p_I| / (P_I + g_t) <= 1 in a round, whose
   mean is at most sum|P_i - p_i| <= 2d. As E exp(Y) <= exp((e - 1) E Y) on [0, 1], all rounds
   together cost at most (e - 1) * 2dT + ln(3 / delta) <= 4dT + ln(3 / delta).

Chained, with probability at least 1 - delta and for every arm j,

    regret <= ln(n) / eta'_T + ln(3n / delta) / (2 g_T) + n * sum(c_t) + r * ln(3 / delta)
              + ln(3 / delta) + 4dT + sum(1 + h_t) / 2**16.

At eta' = sqrt(2 ln(n) / (nT)) this is Neu's 2 * sqrt(2nT ln n) + …, plus the rounding.
"""

from __future__ import annotations

from collections.abc import Iterable
from fractions import Fraction

from bem_kernel.errors import ShapeError
from bem_kernel.policy.exp2 import ERROR_E10
from bem_kernel.policy.logarithm import LN2_HIGH, LN2_LOW, ln_high
from bem_kernel.policy.rates import ix_gamma_q30

_SATURATION = 1 << 62


def drawing_error(n: int) -> Fraction:
    """The d of the proofs: what rounding the weights of n experts can add to a loss in [0, 1]."""
    return Fraction(ERROR_E10, 10**10) + Fraction(n, 1 << 29)


def hedge_bound(n: int, etas_q32: Iterable[int]) -> Fraction:
    """Upper bound on the regret of `Hedge` for losses in [0, 1].

    Args:
        n: number of experts.
        etas_q32: the learning rate of each round, Q32 octaves per unit of loss, never growing;
            `itertools.repeat(eta_q32, rounds)` for a fixed rate.

    Returns:
        Units of loss, as proved above, with logarithms rounded up by less than 2**-50.

    Raises:
        ShapeError: there is no round, a rate grows or is not positive, or totals could saturate.
    """
    rounds, total, last = _falling(etas_q32)
    _check_saturation(rounds, 1 << 16)
    learning = Fraction(ln_high(n), Fraction(last, 1 << 32) * LN2_LOW)
    return learning + Fraction(total, 1 << 35) * LN2_HIGH + rounds * drawing_error(n)


def ix_bound(n: int, etas_q32: Iterable[int], delta: Fraction) -> Fraction:
    """Upper bound on the regret of `Exp3` with the IX estimator, for losses in [0, 1].

    Args:
        n: number of arms.
        etas_q32: the learning rate of each round, Q32 octaves per unit of loss, never growing;
            `itertools.repeat(eta_q32, rounds)` for a fixed rate.
        delta: probability with which the regret may be larger, over 0 and at most 1.

    Returns:
        Units of loss, for the losses that were drawn, not only for their mean.

    Raises:
        ShapeError: there is no round, a rate grows or is not positive, the last is so small that
            the drawing error exceeds gamma, delta is out of range, or totals could saturate.
    """
    rounds, total, last = _falling(etas_q32)
    gamma_q30 = ix_gamma_q30(last)
    low = Fraction(gamma_q30, 1 << 30) - Fraction(1, 1 << 64)
    drawing = drawing_error(n)
    if not 0 < delta <= 1 or drawing > low:
        raise ShapeError(
            f"delta is {delta}, the last rate {last}",
            where="bounds",
            fix=f"use 0 < delta <= 1 and rates whose gamma is above {drawing}",
        )
    _check_saturation(rounds, (1 << 46) // gamma_q30)
    nats = Fraction(total, 1 << 32) * LN2_HIGH
    spread = nats + rounds * Fraction(1, 1 << 28)
    ratio = Fraction(Fraction(gamma_q30 + 1, 1 << 30), low)
    learning = Fraction(ln_high(n), Fraction(last, 1 << 32) * LN2_LOW)
    comparing = Fraction(ln_high(Fraction(3 * n, delta)), 2 * low)
    rounding = 4 * drawing * rounds + Fraction(rounds + spread, 1 << 16)
    return learning + comparing + n * spread + (ratio + 1) * ln_high(Fraction(3, delta)) + rounding


def _falling(rates: Iterable[int]) -> tuple[int, int, int]:
    """Number, sum and last of rates that never grow."""
    rounds, total, last = 0, 0, 1 << 62
    for rate in rates:
        if not 0 < rate <= last:
            raise ShapeError(
                f"the rate of round {rounds} is {rate} after {last}",
                where="bounds",
                fix="use positive rates that never grow",
            )
        rounds, total, last = rounds + 1, total + rate, rate
    if rounds == 0:
        raise ShapeError("there is no round", where="bounds", fix="give at least one rate")
    return rounds, total, last


def _check_saturation(rounds: int, largest_charge_q16: int) -> None:
    if rounds * largest_charge_q16 > _SATURATION:
        raise ShapeError(
            f"{rounds} rounds could saturate a total",
            where="bounds",
            fix=f"use at most {_SATURATION // largest_charge_q16} rounds",
        )
