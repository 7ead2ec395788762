"""Regret counters."""

from __future__ import annotations

import numpy as np
import pytest

from bem_kernel.errors import ShapeError
from bem_kernel.policy.regret import RegretCounter


def test_regret_is_what_was_lost_less_what_the_best_lost() -> None:
    counter = RegretCounter(3)
    counter.add(10, np.array([5, 0, 9]))
    counter.add(10, np.array([0, 8, 9]))
    assert (counter.rounds, counter.own_q16, counter.regret_q16) == (2, 20, 15)
    assert counter.totals_q16.tolist() == [5, 8, 18]
    counter.add(-40, np.array([0, 0, 0]))
    assert counter.regret_q16 == -25


def test_charges_stand_for_the_losses_that_were_not_seen() -> None:
    counter = RegretCounter(2)
    counter.add_charge(10, 0, 40)
    counter.add_charge(10, 1, 12)
    assert (counter.rounds, counter.regret_q16) == (2, 8)
    assert counter.totals_q16.tolist() == [40, 12]


def test_refusals() -> None:
    with pytest.raises(ShapeError, match="n is 0; use n >= 1"):
        RegretCounter(0)
    counter = RegretCounter(2)
    with pytest.raises(ShapeError, match=r"losses are int64 of shape \(3,\); give \(2,\) int64"):
        counter.add(0, np.zeros(3, dtype=np.int64))
    with pytest.raises(ShapeError, match="losses are float64"):
        counter.add(0, np.zeros(2))  # type: ignore[arg-type]
    for expert in (-1, 2):
        with pytest.raises(ShapeError, match=f"there is no expert {expert}; give 0 to 1"):
            counter.add_charge(0, expert, 1)
    counter.add_charge(0, 0, 1 << 62)
    with pytest.raises(ShapeError, match=r"might pass 2\*\*62 after 1 rounds; start a new"):
        counter.add_charge(0, 0, 1)
    with pytest.raises(ShapeError, match="might pass"):
        counter.add(0, np.array([0, -(1 << 63)]))
    assert counter.rounds == 1
