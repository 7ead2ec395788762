"""Laws of the e-process."""

from __future__ import annotations

import itertools

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from bb_safety.eprocess import observe, start

differences = arrays(np.float64, st.integers(1, 60), elements=st.floats(-1, 1))
margins = st.floats(-0.9, 0.9)


@given(margins, st.sampled_from([0.25, 0.5, 1.0]))
@settings(max_examples=30)
def test_expected_wealth_at_the_boundary_is_one(margin: float, spread: float) -> None:
    """Exact expectation over all paths of a two-point law with mean equal to the margin."""
    high, low = margin + spread * (1 - margin), margin - spread * (1 + margin)
    chance_high = (margin - low) / (high - low)
    expected = 0.0
    for path in itertools.product((high, low), repeat=4):
        chance = np.prod([chance_high if x == high else 1 - chance_high for x in path])
        expected += chance * np.exp(observe(start(margin), np.clip(path, -1, 1))[0].log_e)
    np.testing.assert_allclose(expected, 1.0, rtol=1e-9)


@given(differences, margins, margins)
def test_wealth_grows_with_the_margin(data: np.ndarray, first: float, second: float) -> None:
    low, high = sorted((first, second))
    assert observe(start(low), data)[0].log_e <= observe(start(high), data)[0].log_e + 1e-9


@given(differences, margins)
def test_wealth_forgets_the_order(data: np.ndarray, margin: float) -> None:
    """Factors commute: the value at the end (not the path) is the same in any order."""
    forward, backward = observe(start(margin), data)[0], observe(start(margin), data[::-1])[0]
    np.testing.assert_allclose(forward.log_e, backward.log_e, atol=1e-9)


@given(differences, margins)
def test_mirrored_data_exchange_the_two_tests(data: np.ndarray, margin: float) -> None:
    up, down = observe(start(margin), data)[0], observe(start(-margin, sign=-1), -data)[0]
    np.testing.assert_allclose(up.log_e, down.log_e, atol=1e-9)


@given(differences, margins, st.integers(0, 60))
def test_observing_in_two_parts_is_observing_once(
    data: np.ndarray, margin: float, cut: int
) -> None:
    first, _ = observe(start(margin), data[:cut])
    both, _ = observe(first, data[cut:])
    whole, _ = observe(start(margin), data)
    np.testing.assert_allclose(both.log_wealth, whole.log_wealth, atol=1e-9)
    assert both.n == whole.n
