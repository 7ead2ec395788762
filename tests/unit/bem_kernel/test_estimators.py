"""What the chosen expert is charged: IX, the literal average, and rounding without bias."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bem_kernel.policy.estimators import MAX_DUAL_Q16, charge_dual, ix_loss_q16, literal_losses


@given(st.integers(0, 1 << 32), st.integers(1, 1 << 30), st.integers(0, 1 << 34))
def test_ix_is_the_loss_over_probability_plus_gamma_rounded_down(
    loss: int, probability: int, gamma: int
) -> None:
    exact = Fraction(loss << 30, probability + gamma)
    assert exact - 1 < ix_loss_q16(loss, probability, gamma) <= exact


def test_ix_by_hand() -> None:
    half, quarter = 1 << 29, 1 << 28
    assert ix_loss_q16(65536, half, 0) == 2 * 65536
    assert ix_loss_q16(65536, quarter, quarter) == 2 * 65536
    assert ix_loss_q16(0, 1, 0) == 0


def test_the_literal_estimate_is_the_average_over_the_chosen_steps() -> None:
    chosen = np.array([2, 0, 2, 2, 0, 9])
    losses = np.array([65536, 7, 0, 32768, 8, -1])
    counts, estimates = np.full(4, -7), np.full(4, -7)
    literal_losses(chosen, losses, 5, counts, estimates)
    assert counts.tolist() == [2, -7, 3, -7]  # experts not chosen are left alone
    assert estimates.tolist() == [7, -7, 32768, -7]
    literal_losses(chosen, losses, 5, counts, estimates)
    assert (counts[0], estimates[0]) == (2, 7)  # nothing is carried over
    literal_losses(chosen, losses, 0, counts, estimates)
    assert estimates.tolist() == [7, -7, 32768, -7]


@given(st.integers(-(1 << 40), 1 << 40), st.integers(0, 1 << 22))
def test_a_charge_is_rounded_to_one_of_its_neighbours(loss: int, eta: int) -> None:
    exact = Fraction(loss * eta, 1 << 16)
    ends = []
    for ticket in (0, 2**64 - 1):
        duals = np.array([5, 5])
        charge_dual(duals, 1, loss, eta, np.uint64(ticket))
        assert duals[0] == 5
        ends.append(int(duals[1]) - 5)
    assert ends[0] == exact.numerator // exact.denominator
    assert ends[1] == -(-exact.numerator // exact.denominator)


@pytest.mark.parametrize("loss", [3, -3, 65536 + 9])
def test_over_all_tickets_a_charge_is_exact(loss: int) -> None:
    eta, step = 5461, 8
    duals = np.zeros(1, dtype=np.int64)
    for ticket in range(0, 1 << 16, step):
        charge_dual(duals, 0, loss, eta, np.uint64(ticket + (ticket % 7 << 40)))
    mean = Fraction(int(duals[0]) * step, 1 << 16)
    assert abs(mean - Fraction(loss * eta, 1 << 16)) <= Fraction(step, 1 << 16)


def test_duals_saturate_and_hostile_losses_are_bounded() -> None:
    duals = np.array([MAX_DUAL_Q16 - 1, 1 - MAX_DUAL_Q16, 0, 0])
    for slot, loss in enumerate(((1 << 63) - 1, -(1 << 63), (1 << 63) - 1, -(1 << 63))):
        charge_dual(duals, slot, loss, 1 << 22, np.uint64(0))
    assert duals.tolist() == [MAX_DUAL_Q16, -MAX_DUAL_Q16, 1 << 46, -(1 << 46)]
