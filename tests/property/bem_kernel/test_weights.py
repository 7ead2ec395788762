"""The exponential table's error bound, and the regret bound of Hedge."""

from __future__ import annotations

from decimal import Decimal, localcontext

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from bem_kernel.policy.exp2 import ONE_Q16, exp2_q16
from bem_kernel.policy.weights import Hedge


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
    st.lists(st.lists(st.integers(-(1 << 40), 1 << 40), min_size=3, max_size=3), max_size=20),
    st.randoms(use_true_random=False),
)
def test_duals_are_the_sums_of_losses_whatever_their_order(
    rounds: list[list[int]], rng: object
) -> None:
    one, two = Hedge(3), Hedge(3)
    shuffled = list(rounds)
    rng.shuffle(shuffled)  # type: ignore[attr-defined]
    for first, second in zip(rounds, shuffled, strict=True):
        one.update(np.array(first, dtype=np.int64))
        two.update(np.array(second, dtype=np.int64))
    totals = np.sum(np.array(rounds, dtype=np.int64).reshape(-1, 3), axis=0)
    assert (one.duals_q16 == totals - totals.min()).all()
    assert (two.duals_q16 == one.duals_q16).all()


@settings(max_examples=25)
@given(st.integers(2, 8), st.integers(0, 2**32))
def test_regret_stays_under_the_bound_of_freund_and_schapire(n: int, seed: int) -> None:
    """Losses in [0, 1], T rounds, eta in nats: regret <= ln(n) / eta + eta * T / 8.

    Losses that punish whoever leads are the adversary here; the bound holds against any.
    """
    rounds, eta_q16 = 200, ONE_Q16 // 4
    eta_nats = 0.25 * float(np.log(2.0))
    rng = np.random.default_rng(seed)
    hedge = Hedge(n, eta_q16)
    ours, totals = 0.0, np.zeros(n)
    for _ in range(rounds):
        weights = hedge.weights_q16().astype(float)
        losses = rng.integers(0, 2, n)
        losses[hedge.best()] = 1
        ours += float(weights @ losses / weights.sum())
        totals += losses
        hedge.update(losses.astype(np.int64) * ONE_Q16)
    bound = float(np.log(n)) / eta_nats + eta_nats * rounds / 8
    rounding = rounds * n * 2.0**-15  # a weight is off by at most 1 of 65536
    assert ours - totals.min() <= bound + rounding
