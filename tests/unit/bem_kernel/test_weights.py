"""Multiplicative weights in the dual."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest

from bem_kernel.errors import ShapeError
from bem_kernel.policy.exp2 import ONE_Q16, exp2_q16
from bem_kernel.policy.weights import Hedge, add_losses, weigh_totals


def q16(*octaves: int) -> np.ndarray:
    return np.array(octaves, dtype=np.int64) * ONE_Q16


def test_an_octave_halves_a_weight() -> None:
    hedge = Hedge(3)
    hedge.update(q16(0, 1, 3))
    assert hedge.weights_q16().tolist() == [65536, 32768, 8192]
    hedge.update(q16(2, 0, 0))
    assert hedge.weights_q16().tolist() == [32768, 65536, 16384]
    assert hedge.best() == 1


def test_eta_scales_losses() -> None:
    hedge = Hedge(2, eta_q16=ONE_Q16 // 2)
    hedge.update(q16(0, 4))
    assert hedge.weights_q16().tolist() == [65536, 16384]
    assert hedge.duals_q16.tolist() == [0, 2 * ONE_Q16]
    assert hedge.totals_q16.tolist() == [0, 4 * ONE_Q16]


def test_a_new_rate_applies_to_all_past_losses() -> None:
    hedge = Hedge(2)
    hedge.update(q16(0, 4))
    hedge.eta_q32 = 1 << 30
    assert hedge.weights_q16().tolist() == [65536, 32768]


def test_rewards_are_negative_losses() -> None:
    hedge = Hedge(2)
    hedge.update(q16(0, -1))
    assert hedge.best() == 1
    assert hedge.duals_q16.tolist() == [65536, 0]


def test_small_charges_do_not_get_lost() -> None:
    """Rounded to Q16 octaves each round, these would add up to nothing."""
    hedge = Hedge(2, eta_q16=1)
    for _ in range(3000):
        hedge.update(np.array([0, ONE_Q16 - 1], dtype=np.int64))
    assert hedge.duals_q16.tolist() == [0, 3000 * (ONE_Q16 - 1) >> 16]


def test_a_weight_never_vanishes_and_nothing_overflows() -> None:
    hedge = Hedge(2, eta_q16=(1 << 22) - 1)
    for _ in range(20):
        hedge.update(np.array([0, 1 << 36], dtype=np.int64))
    assert hedge.weights_q30().tolist() == [1 << 30, 1]
    assert hedge.weights_q16().tolist() == [65536, 0]
    assert hedge.duals_q16.tolist() == [0, 20 * (1 << 36) * ((1 << 22) - 1) >> 16]
    assert hedge.pick(np.array([0, 1]), (1 << 64) - 1) == 1
    near = Hedge(4)
    near.update(q16(0, 30, 33, 63))
    assert near.weights_q30().tolist() == [1 << 30, 1, 1, 1]


def test_totals_saturate_far_behind_the_leader() -> None:
    totals = np.array([0, (1 << 62) - 5, 1 << 62])
    add_losses(totals, np.array([0, 10, -(1 << 61)]))
    assert totals.tolist() == [0, 1 << 62, 1 << 61]
    add_losses(totals, np.array([-(1 << 61), 1 << 61, 1 << 61]))
    assert totals.tolist() == [0, 1 << 62, 1 << 62]
    weights = np.zeros(3, dtype=np.int64)
    for eta_q32 in (1, 1 << 37):
        assert weigh_totals(totals, eta_q32, weights) == (1 << 30) + 2
        assert weights.tolist() == [1 << 30, 1, 1]


def test_duals_saturate() -> None:
    hedge = Hedge(2, eta_q16=(1 << 22) - 1)
    hedge._totals_q16[1] = 1 << 62  # only 2**26 rounds of the largest losses get here
    assert hedge.duals_q16.tolist() == [0, 1 << 62]


def test_powers_at_the_ends_of_an_octave_are_exact() -> None:
    assert exp2_q16(q16(0, 1, 16, 17, 18, 60)).tolist() == [65536, 32768, 1, 1, 0, 0]


def test_picks_follow_the_weights() -> None:
    hedge = Hedge(3)
    hedge.update(q16(0, 1, 40))
    candidates = np.array([1, 0, 2])
    tickets = [i << 54 for i in range(1024)]
    picks = [hedge.pick(candidates, ticket) for ticket in tickets]
    assert [picks.count(i) for i in range(3)] == [1024 - 342, 342, 0]
    assert hedge.pick(np.array([2]), (1 << 64) - 1) == 2


def test_poor_candidates_are_weighed_among_themselves() -> None:
    hedge = Hedge(3)
    hedge.update(q16(0, 100, 101))
    picks = [hedge.pick(np.array([1, 2]), i << 56) for i in range(256)]
    assert picks.count(1) == 171


def test_the_expected_loss_is_exact() -> None:
    hedge = Hedge(2)
    hedge.update(q16(0, 1))
    assert hedge.expected_loss(q16(0, 1)) == Fraction(1, 3)
    assert hedge.expected_loss(q16(1, 1)) == 1
    assert hedge.duals_q16.tolist() == [0, ONE_Q16]
    with pytest.raises(ShapeError, match=r"losses are int64 of shape \(1,\)"):
        hedge.expected_loss(q16(1))


def test_losses_may_be_a_view_that_kernels_cannot_take() -> None:
    column = np.array([[0, 5], [1, 6]], dtype=np.int64)[:, 0]
    column.setflags(write=False)
    hedge = Hedge(2)
    hedge.update(column)
    assert hedge.totals_q16.tolist() == [0, 1]


def test_refusals() -> None:
    hedge = Hedge(2)
    with pytest.raises(ShapeError, match=r"losses are int64 of shape \(3,\); give \(2,\) int64"):
        hedge.update(q16(0, 1, 2))
    with pytest.raises(ShapeError, match="losses are float64"):
        hedge.update(np.zeros(2))  # type: ignore[arg-type]
    for loss in (1 << 37, -(1 << 37), -(1 << 63)):
        with pytest.raises(ShapeError, match=r"a loss is out of range; keep within 2\*\*36"):
            hedge.update(np.array([0, loss], dtype=np.int64))
    with pytest.raises(ShapeError, match="n is 0"):
        Hedge(0)
    for eta_q16 in (0, -1, 1 << 22):
        with pytest.raises(ShapeError, match="the learning rate is .*; use more than 0"):
            Hedge(2, eta_q16)
    with pytest.raises(ShapeError, match="the learning rate is 0"):
        hedge.eta_q32 = 0
    for candidates in ([], [-1], [0, 2]):
        with pytest.raises(ShapeError, match=r"pick: candidates are .*; give some of 0 to 1"):
            hedge.pick(np.array(candidates, dtype=np.int64), 5)
    for ticket in (-1, 1 << 64):
        with pytest.raises(ShapeError, match=r"pick: the ticket is .*; give 0 to 2\*\*64 - 1"):
            hedge.pick(np.array([0]), ticket)
    assert hedge.totals_q16.tolist() == [0, 0]
