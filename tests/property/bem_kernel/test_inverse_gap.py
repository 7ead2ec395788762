"""Inverse-gap sampling: a distribution, close to 1 / (K + gamma * gap), the best arm least hurt."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
from hypothesis import example, given
from hypothesis import strategies as st

from bem_kernel.policy.exp2 import ONE_Q30
from bem_kernel.policy.inverse_gap import (
    MAX_GAMMA_Q16,
    MAX_GAP_Q16,
    inverse_gap,
    sample_inverse_gap,
)

SCORES = st.lists(
    st.one_of(st.integers(-(2**61), 2**61), st.integers(0, 4 << 16)), min_size=1, max_size=12
)
GAMMAS = st.one_of(st.integers(0, MAX_GAMMA_Q16), st.integers(0, 1000 << 16))


@given(SCORES, GAMMAS)
@example([0, MAX_GAP_Q16], MAX_GAMMA_Q16)
def test_probabilities_are_those_of_the_formula(values: list[int], gamma: int) -> None:
    n = len(values)
    probabilities = np.zeros(n, dtype=np.int64)
    best = inverse_gap(np.array(values), n, gamma, probabilities)
    assert best == values.index(max(values))
    assert probabilities.sum() == ONE_Q30 and probabilities.min() >= 1
    assert probabilities[best] * n >= ONE_Q30
    for k in set(range(n)) - {int(best)}:
        gap = min(max(values) - values[k], MAX_GAP_Q16)
        exact = ONE_Q30 / (n + Fraction(gamma * gap, 1 << 32))
        assert exact - 1 < probabilities[k] <= max(exact, 1)


@given(SCORES, GAMMAS, st.integers(0, 2**64 - 1))
def test_an_arm_is_drawn_by_these_probabilities(values: list[int], gamma: int, ticket: int) -> None:
    n = len(values)
    probabilities, again = np.zeros(n, dtype=np.int64), np.zeros(n, dtype=np.int64)
    inverse_gap(np.array(values), n, gamma, probabilities)
    arm = sample_inverse_gap(np.array(values), n, gamma, again, np.uint64(ticket))
    assert (again == probabilities).all()
    before = int(probabilities[:arm].sum())
    assert before <= ticket * ONE_Q30 >> 64 < before + probabilities[arm]


def test_from_no_exploitation_to_almost_nothing_else() -> None:
    scores, probabilities = np.array([0, 65536, 0, 0]), np.zeros(4, dtype=np.int64)
    inverse_gap(scores, 4, 0, probabilities)
    assert probabilities.tolist() == [ONE_Q30 // 4] * 4
    inverse_gap(scores, 4, MAX_GAMMA_Q16, probabilities)
    assert probabilities[1] > ONE_Q30 * 0.9999
