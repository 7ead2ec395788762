"""The e-process against its definition, and against simulated candidates."""

from __future__ import annotations

import math

import numpy as np
import pytest

from bb_safety.eprocess import (
    Bets,
    EvidenceError,
    crossing,
    observe,
    promoted_by_looks,
    samples_needed,
    start,
    upper_bound,
)

EPSILON = 0.01
DELTA = 0.05
WEIGHTS = (0.6, 0.2, 0.2)


def weighted_events(excess: float, seed: int, shape: tuple[int, int]) -> np.ndarray:
    """Differences of a weighted sum of rare events, 40% of which strike both sides alike."""
    rng = np.random.default_rng(seed)
    total = np.zeros(shape)
    for weight in WEIGHTS:
        old = rng.random(shape) < 0.03
        own = rng.random(shape) < 0.03 + excess / 0.6
        new = np.where(rng.random(shape) < 0.4, old, own)
        total += weight * (new.astype(float) - old)
    return total


def rare_disasters(excess: float, seed: int, shape: tuple[int, int]) -> np.ndarray:
    """Very skewed: the candidate is a little better almost always and fails wholly now and then."""
    rng = np.random.default_rng(seed)
    disaster = rng.random(shape) < 0.02
    return np.where(disaster, 1.0, (excess - 0.02) / 0.98)


def smooth(excess: float, seed: int, shape: tuple[int, int]) -> np.ndarray:
    """Continuous, small differences."""
    rng = np.random.default_rng(seed)
    return rng.uniform(-0.2, 0.2, shape) + excess


def test_one_bet_is_the_product_of_its_definition() -> None:
    differences = np.array([0.5, -0.25, 0.0, 1.0, -1.0])
    bets = Bets(count=1, smallest=0.5, largest=0.5)
    stake = 0.5 / (1 - EPSILON)
    _, path = observe(start(EPSILON, bets), differences)
    expected = np.cumprod(1 + stake * (EPSILON - differences))
    np.testing.assert_allclose(np.exp(path), expected, rtol=1e-12)


def test_the_grid_is_averaged_not_maximised() -> None:
    differences = np.full(30, -0.2)
    bets = Bets(count=3, smallest=0.1, largest=0.9)
    stakes = bets.fractions() / (1 - EPSILON)
    wealth = [(1 + stake * (EPSILON + 0.2)) ** 30 for stake in stakes]
    after, _ = observe(start(EPSILON, bets), differences)
    assert after.log_e == pytest.approx(math.log(np.mean(wealth)), rel=1e-12)


def test_feeding_in_parts_equals_feeding_at_once() -> None:
    differences = smooth(0.0, 3, (1, 300))[0]
    whole, path = observe(start(EPSILON), differences)
    first, head = observe(start(EPSILON), differences[:113])
    second, tail = observe(first, differences[113:])
    np.testing.assert_allclose(np.concatenate([head, tail]), path, atol=1e-12)
    assert second.n == whole.n == 300
    assert second.peak == pytest.approx(whole.peak)


def test_the_worst_possible_sample_never_makes_wealth_negative() -> None:
    after, path = observe(start(EPSILON), np.ones(50))
    assert np.isfinite(path).all()
    bets = Bets()
    smallest_bet = 50 * math.log(1 - bets.smallest)
    assert after.log_e == pytest.approx(smallest_bet - math.log(bets.count), abs=0.01)


@pytest.mark.parametrize("differences", [weighted_events, smooth])
def test_unsafe_candidates_are_promoted_at_most_at_the_level(differences) -> None:
    used = promoted_by_looks(differences(EPSILON, 1, (600, 2000)), EPSILON, DELTA, every=50)
    assert (used > 0).mean() <= DELTA


def test_rare_disasters_of_the_same_mean_are_not_promoted_more_often() -> None:
    used = promoted_by_looks(rare_disasters(EPSILON, 2, (600, 2000)), EPSILON, DELTA, every=50)
    assert (used > 0).mean() <= DELTA


def test_peeking_at_a_t_statistic_does_promote_them() -> None:
    """The same data and looks break the usual test, so the simulation can tell the difference."""
    data = weighted_events(EPSILON, 1, (600, 2000))
    looks = np.arange(50, 2001, 50)
    sums, squares = np.cumsum(data, 1)[:, looks - 1], np.cumsum(data**2, 1)[:, looks - 1]
    mean = sums / looks
    deviation = np.sqrt(np.maximum(squares / looks - mean**2, 1e-12))
    t_statistic = (EPSILON - mean) * np.sqrt(looks) / deviation
    assert (t_statistic >= 1.645).any(axis=1).mean() > 3 * DELTA


def test_a_safer_candidate_is_promoted_and_sooner_than_an_equal_one() -> None:
    equal = promoted_by_looks(weighted_events(0.0, 4, (200, 4000)), EPSILON, DELTA, every=50)
    safer = promoted_by_looks(weighted_events(-0.01, 4, (200, 4000)), EPSILON, DELTA, every=50)
    assert (safer > 0).mean() >= 0.99
    assert np.median(safer[safer > 0]) < np.median(equal[equal > 0])


def test_looking_in_blocks_agrees_with_looking_at_each_sample() -> None:
    data = weighted_events(-0.01, 5, (20, 1000))
    blocked = promoted_by_looks(data, EPSILON, DELTA, every=50)
    for row, used in zip(data, blocked, strict=True):
        _, path = observe(start(EPSILON), row)
        hit = crossing(path[49::50], -math.log(DELTA))
        assert used == (hit * 50 if hit else 0)


def test_the_opposite_test_finds_harm() -> None:
    harmful = weighted_events(0.1, 6, (1, 1000))[0]
    after, _ = observe(start(EPSILON, sign=-1), harmful)
    safe, _ = observe(start(EPSILON, sign=-1), weighted_events(0.0, 6, (1, 1000))[0])
    assert after.peak > math.log(100)
    assert safe.peak < math.log(100)


def test_the_upper_bound_is_the_margin_at_which_the_test_tips() -> None:
    data = smooth(-0.05, 7, (1, 400))[0]
    bound = upper_bound(data, DELTA)
    below, _ = observe(start(bound - 1e-6), data)
    above, _ = observe(start(bound + 1e-6), data)
    assert below.peak < -math.log(DELTA) <= above.peak
    assert -0.05 < bound < 0.0


def test_the_worst_evidence_leaves_the_upper_bound_at_one() -> None:
    assert upper_bound(np.array([1.0]), DELTA) == pytest.approx(1.0)
    # One sample of 0.5 already speaks (Markov) against a mean close to 1.
    assert 0.97 < upper_bound(np.array([0.5]), DELTA) < 1.0


def test_samples_needed_extrapolates_each_bet() -> None:
    seen = np.full(10, -0.1)
    process, _ = observe(start(EPSILON), seen)
    needed = samples_needed(process, seen, math.log(20), limit=1000)
    _, path = observe(process, np.full(1000, -0.1))
    assert needed == crossing(path, math.log(20))
    assert samples_needed(process, seen, math.log(20), limit=needed - 1) is None
    assert samples_needed(process, np.full(10, 0.5), math.log(20), limit=1000) is None


@pytest.mark.parametrize("bad", [1.5, -1.01, float("nan")])
def test_differences_outside_their_range_are_refused(bad: float) -> None:
    with pytest.raises(EvidenceError, match=r"difference 1 is .*; measure risks in \[0, 1\]"):
        observe(start(EPSILON), np.array([0.0, bad]))


def test_unusable_bets_margins_and_looks_are_refused() -> None:
    with pytest.raises(EvidenceError, match=r"use count >= 1 and 0 < smallest <= largest < 1"):
        Bets(count=3, smallest=0.5, largest=1.0)
    with pytest.raises(EvidenceError, match="use a margin strictly between -1 and 1"):
        start(1.0)
    with pytest.raises(EvidenceError, match="120 samples are not a multiple of 50"):
        promoted_by_looks(np.zeros((2, 120)), EPSILON, DELTA, every=50)
