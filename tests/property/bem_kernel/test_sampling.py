"""Sampling from duals: exact odds, a floor under every weight, no overflow."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from bem_kernel.policy.exp2 import ONE_Q30, exp2_q30
from bem_kernel.policy.sampling import below, draw, probability_q30, sample, share_q30, weigh

TICKETS = st.integers(0, 2**64 - 1)
DUALS = st.lists(
    st.one_of(st.integers(-(2**62), 2**62), st.integers(0, 40 << 16)), min_size=1, max_size=9
)


@given(TICKETS, st.integers(1, 2**63 - 1))
def test_below_is_the_high_half_of_the_product(ticket: int, total: int) -> None:
    assert below(np.uint64(ticket), total) == ticket * total >> 64


@given(DUALS, TICKETS, st.randoms(use_true_random=False))
def test_a_draw_is_where_the_cumulative_weights_pass_the_ticket(
    values: list[int], ticket: int, rng: object
) -> None:
    order = list(range(len(values)))
    rng.shuffle(order)  # type: ignore[attr-defined]
    duals, candidates = np.array(values), np.array(order)
    expected = [max(int(exp2_q30(values[i] - min(values))), 1) for i in order]
    weights = np.zeros(len(values), dtype=np.int64)
    total = weigh(duals, candidates, len(order), weights)
    assert weights.tolist() == expected and total == sum(expected)
    assert weights.max() == ONE_Q30 and weights.min() >= 1
    threshold = ticket * sum(expected) >> 64
    position = next(k for k in range(len(order)) if sum(expected[: k + 1]) > threshold)
    assert sample(duals, candidates, len(order), np.uint64(ticket)) == position
    assert draw(weights, len(order), total, np.uint64(ticket)) == position


@given(DUALS)
def test_probabilities_are_the_shares_rounded_up(values: list[int]) -> None:
    duals, candidates = np.array(values), np.arange(len(values))
    weights = np.zeros(len(values), dtype=np.int64)
    total = int(weigh(duals, candidates, len(values), weights))
    for k, weight in enumerate(weights.tolist()):
        exact = Fraction(weight << 30, total)
        found = int(probability_q30(duals, candidates, len(values), k))
        assert exact <= found < exact + 1 and 1 <= found <= ONE_Q30
        assert found == share_q30(weight, total)


@given(st.lists(st.integers(0, 8 << 16), min_size=2, max_size=6))
def test_evenly_spread_tickets_are_shared_out_by_weight(values: list[int]) -> None:
    tickets = 4096
    duals, candidates = np.array(values), np.arange(len(values))
    weights = np.zeros(len(values), dtype=np.int64)
    total = int(weigh(duals, candidates, len(values), weights))
    counts = np.zeros(len(values))
    for t in range(tickets):
        ticket = np.uint64(((2 * t + 1) << 64) // (2 * tickets))
        counts[sample(duals, candidates, len(values), ticket)] += 1
    assert np.abs(counts - tickets * weights / total).max() <= 1


def test_the_worst_candidate_is_chosen_by_the_last_ticket_whatever_its_dual() -> None:
    duals = np.array([-(2**62), 2**62, 0])
    last = np.uint64(2**64 - 1)
    assert sample(duals, np.array([0, 1]), 2, last) == 1
    assert sample(duals, np.array([1, 0]), 2, np.uint64(0)) == 0
    assert probability_q30(duals, np.array([0, 1]), 2, 1) == 1


def test_only_the_first_candidates_count() -> None:
    duals = np.array([5 << 16, 0])
    candidates = np.array([0, 1])
    assert sample(duals, candidates, 1, np.uint64(2**64 - 1)) == 0
    assert sample(duals, candidates, 0, np.uint64(5)) == -1
    assert sample(duals, candidates, -3, np.uint64(5)) == -1
    assert probability_q30(duals, candidates, 1, 0) == ONE_Q30
