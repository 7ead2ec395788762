"""Which ANF coefficients to flip: the search against plain enumeration."""

from __future__ import annotations

from itertools import combinations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from bem_kernel.lanes import Bits
from bem_kernel.patches.flips import NONE, Flips, Limits, best_flips, inverted_by

FREE = Limits(products=2, degree=2, significance=0)


def cube(n: int) -> Bits:
    """All inputs of n bits."""
    return (np.arange(1 << n)[:, None] >> np.arange(n) & 1).astype(np.bool_)


def worth(flips: Flips, inputs: Bits, gains: NDArray[np.int64]) -> int:
    return int(gains[inverted_by(flips.products, inputs)].sum())


def enumerated(inputs: Bits, gains: NDArray[np.int64]) -> int:
    """The most that up to two products of up to two inputs gain."""
    n = inputs.shape[1]
    products = [p for size in range(3) for p in combinations(range(n), size)]
    sets = [(p,) for p in products] + list(combinations(products, 2))
    return max(0, *(worth(Flips(chosen), inputs, gains) for chosen in sets))


@settings(deadline=None, max_examples=60)
@given(st.lists(st.integers(-9, 9), min_size=16, max_size=16))
def test_sets_of_two_are_the_best(values: list[int]) -> None:
    inputs, gains = cube(4), np.array(values, dtype=np.int64)
    found = best_flips(inputs, gains, FREE)
    assert found.gain == worth(found, inputs, gains)
    price = 1 + int(gains[gains > 0].sum()) // 32
    assert found.gain >= enumerated(inputs, gains) - price


@pytest.mark.parametrize(
    "products", [((),), ((0,),), ((0, 1),), ((), (2,)), ((0,), (1, 2)), ((0,), (1,), (2, 3))]
)
def test_what_would_be_right_is_found(products: tuple[tuple[int, ...], ...]) -> None:
    inputs = np.tile(cube(5), (2, 1))
    gains = np.full(len(inputs), -3)
    odd = np.zeros(len(inputs), dtype=np.bool_)
    for product in products:
        odd ^= inputs[:, list(product)].all(axis=1)
    gains[odd] = 3
    found = best_flips(inputs, gains, Limits())
    assert set(found.products) == set(products) and found.gain == 3 * int(odd.sum())


def test_sat_finds_what_pairs_do_not_lead_to() -> None:
    """No product alone nor a pair of them gains, as three of them are needed at once."""
    inputs = np.tile(cube(6), (2, 1))
    odd = inputs[:, 0] ^ inputs[:, 1] ^ inputs[:, 2]
    gains = np.where(odd, 1, -1).astype(np.int64)
    found = best_flips(inputs, gains, Limits())
    assert sorted(found.products) == [(0,), (1,), (2,)] and found.gain == int(odd.sum())
    assert best_flips(inputs, gains, Limits(products=2)).gain < found.gain


def test_a_case_of_its_own_is_one_product_in_the_right_polarity() -> None:
    """Five inputs, all of them 0: all 32 coefficients in the plain form."""
    inputs = np.tile(cube(5), (16, 1))
    gains = np.where(inputs.any(axis=1), -1, 1).astype(np.int64)
    limits = Limits(degree=5)
    assert best_flips(inputs, gains, limits) == Flips(((~0, ~1, ~2, ~3, ~4),), 16)


def test_what_is_inverted() -> None:
    inputs = cube(2)
    assert inverted_by([], inputs).tolist() == [False] * 4
    assert inverted_by([()], inputs).tolist() == [True] * 4
    assert inverted_by([(0,), (0, ~1)], inputs).tolist() == [False, False, False, True]


def test_what_may_be_chance_is_left_alone() -> None:
    rng = np.random.default_rng(3)
    inputs = rng.integers(0, 2, (64, 6)).astype(np.bool_)
    coins = 2 * rng.integers(0, 2, 64) - 1
    assert best_flips(inputs, coins, FREE).gain > 4
    assert best_flips(inputs, coins, Limits()) == NONE
    few = np.where(inputs[:, 0] & inputs[:, 1] & inputs[:, 2], 1, 0)
    assert few.sum() < 12 and best_flips(inputs, few, Limits()) == NONE


def test_nothing_to_gain() -> None:
    inputs = cube(3)
    assert best_flips(inputs, np.zeros(8, dtype=np.int64), FREE) == NONE
    assert best_flips(inputs, np.full(8, -5), FREE) == NONE
    assert best_flips(inputs[:0], np.zeros(0, dtype=np.int64), FREE) == NONE
    no_inputs = np.zeros((20, 0), dtype=np.bool_)
    assert best_flips(no_inputs, np.ones(20, dtype=np.int64), Limits()) == Flips(((),), 20)
