"""Multiplicative weights in the dual."""

from __future__ import annotations

import numpy as np
import pytest

from bem_kernel.errors import ShapeError
from bem_kernel.policy.exp2 import ONE_Q16, exp2_q16
from bem_kernel.policy.weights import Hedge


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


def test_rewards_are_negative_losses() -> None:
    hedge = Hedge(2)
    hedge.update(q16(0, -1))
    assert hedge.best() == 1
    assert hedge.duals_q16.tolist() == [65536, 0]


def test_a_weight_vanishes_without_overflow() -> None:
    hedge = Hedge(2, eta_q16=(1 << 22) - 1)
    for _ in range(20):
        hedge.update(np.array([0, 1 << 40], dtype=np.int64))
    assert hedge.weights_q16().tolist() == [65536, 0]
    assert (hedge.duals_q16 >= 0).all()


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


def test_refusals() -> None:
    hedge = Hedge(2)
    with pytest.raises(ShapeError, match=r"losses are int64 of shape \(3,\); give \(2,\) int64"):
        hedge.update(q16(0, 1, 2))
    with pytest.raises(ShapeError, match="losses are float64"):
        hedge.update(np.zeros(2))  # type: ignore[arg-type]
    with pytest.raises(ShapeError, match="a loss is out of range; keep within"):
        hedge.update(np.array([0, 1 << 41], dtype=np.int64))
    with pytest.raises(ShapeError, match="n is 0"):
        Hedge(0)
    with pytest.raises(ShapeError, match="0 candidates, ticket 5"):
        hedge.pick(np.array([], dtype=np.int64), 5)
