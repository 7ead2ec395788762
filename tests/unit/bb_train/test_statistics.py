import math

import pytest

from bb_train.statistics import mean_estimate, proportion


def test_wilson_interval_matches_the_published_example():
    # Newcombe, Statistics in Medicine 17 (1998), table I: 81 of 263 gives 0.2553 to 0.3662.
    estimate = proportion(81, 263)
    assert (round(estimate.low, 4), round(estimate.high, 4)) == (0.2553, 0.3662)


@pytest.mark.parametrize(("hits", "low", "high"), [(0, 0.0, 0.3), (8, 0.6, 1.0)])
def test_wilson_interval_at_the_ends_stays_within_zero_and_one(hits, low, high):
    estimate = proportion(hits, 8)
    assert estimate.mean in (estimate.low, estimate.high)
    assert low <= estimate.low < estimate.high <= high + 0.1


def test_t_interval_of_three_seeds():
    estimate = mean_estimate([1.0, 2.0, 3.0])
    assert estimate.mean == 2.0
    assert estimate.high - 2.0 == pytest.approx(4.3027 / math.sqrt(3), abs=1e-4)


def test_one_value_has_no_bounded_interval():
    assert mean_estimate([4.0]).high == math.inf


def test_nothing_has_no_mean():
    with pytest.raises(ValueError, match="no values"):
        mean_estimate([])
    with pytest.raises(ValueError, match="3 successes in 2 trials"):
        proportion(3, 2)
