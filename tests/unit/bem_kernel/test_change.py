"""The window that is cut where its mean changes, against a plain reading of its formula."""

from __future__ import annotations

from math import log

import numpy as np
import pytest
from numpy.typing import NDArray

from bem_kernel.errors import ShapeError
from bem_kernel.policy import change
from bem_kernel.policy.change import CUTS, FALL, LEVELS, RISE, SLOTS, SUM, WIDTH, ChangeDetector

ONE = 65536


def coins(odds: list[tuple[float, int]], seed: int) -> list[int]:
    rng = np.random.default_rng(seed)
    return [int(rng.random() < p) * ONE for p, rounds in odds for _ in range(rounds)]


def answers(detector: ChangeDetector, values: list[int]) -> list[tuple[int, int]]:
    given = [(i, detector.push(value)) for i, value in enumerate(values)]
    return [(i, answer) for i, answer in given if answer]


@pytest.mark.parametrize("seed", range(3))
def test_equal_values_are_never_cut(seed: int) -> None:
    detector = ChangeDetector()
    assert answers(detector, coins([(0.3, 8000)], seed)) == []
    assert detector.width == 8000
    assert abs(detector.mean_q16 - 0.3 * ONE) < 0.02 * ONE


@pytest.mark.parametrize(
    ("before", "after", "answer"), [(0.15, 0.5, RISE), (0.9, 0.55, FALL)], ids=["rise", "fall"]
)
@pytest.mark.parametrize("seed", range(3))
def test_a_change_is_found_within_128_values(
    before: float, after: float, answer: int, seed: int
) -> None:
    detector = ChangeDetector()
    found = answers(detector, coins([(before, 3000), (after, 128)], seed))
    assert found, "no answer within 128 values"
    assert all(given == answer and i >= 3000 for i, given in found)
    assert detector.width < 400
    assert abs(detector.mean_q16 - after * ONE) < 0.2 * ONE


def test_a_slow_drift_is_followed() -> None:
    detector = ChangeDetector()
    values = coins([(0.1 + 0.8 * k / 20, 500) for k in range(21)], 5)
    assert {answer for _, answer in answers(detector, values)} == {RISE}
    assert abs(detector.mean_q16 - 0.9 * ONE) < 0.1 * ONE


def reference(values: list[int], sizes: list[int], octaves: int) -> tuple[dict[int, float], float]:
    """The module's formula in floating point over the borders between buckets, newest first.

    Returns:
        The evidence of each border, by the values after it, negative for a fall; and the
        greatest ratio of a difference to what chance allows.
    """
    n, v = len(values), np.var(values) / ONE**2
    allowance = log(2 * len(sizes)) + octaves * log(2)
    found: dict[int, float] = {}
    recent, clearest = 0, 0.0
    for size in sizes:
        recent += size
        if recent < change.MIN_PART or n - recent < change.MIN_PART:
            continue
        m = recent * (n - recent) / n
        gap = (np.mean(values[n - recent :]) - np.mean(values[: n - recent])) / ONE
        ratio = abs(gap) / ((2 * v * allowance / m) ** 0.5 + 2 * allowance / (3 * m))
        clearest = max(clearest, ratio)
        found[recent if gap > 0 else -recent] = abs(gap) * m**0.5
    return found, clearest


def bucket_sizes(detector: ChangeDetector) -> list[int]:
    """Newest first."""
    return [1 << level for level in range(LEVELS) for _ in range(int(detector.tally[level]))]


@pytest.mark.parametrize("octaves", [2, 10, 30])
def test_the_cut_is_that_of_the_formula(octaves: int) -> None:
    rng = np.random.default_rng(octaves)
    cuts = quiet = 0
    for trial in range(60):
        odds, n = rng.uniform(0.0, 1.0, 2), rng.integers(20, 300, 2)
        values = coins([(odds[0], int(n[0])), (odds[1], int(n[1]))], trial)
        detector = ChangeDetector(octaves)
        for value in values:
            change.insert(detector.buckets, detector.tally, value)
        found, clearest = reference(values, bucket_sizes(detector), octaves)
        got = int(change.find_cut(detector.buckets, detector.tally, octaves))
        if clearest > 1.05:  # nearer to 1, rounding decides
            assert found[got] > 0.98 * max(found.values())
            cuts += 1
        elif clearest < 0.95:
            assert got == 0
            quiet += 1
    assert cuts >= 5 and quiet >= 5


def test_the_largest_buckets_are_forgotten_when_all_are_full() -> None:
    detector = ChangeDetector()
    detector.tally[:LEVELS] = SLOTS
    sizes: NDArray[np.int64] = np.array([1 << level for level in range(LEVELS)])
    detector.buckets[:, :, 0] = sizes[:, None] * ONE
    detector.tally[WIDTH] = SLOTS * sizes.sum()
    detector.tally[SUM] = detector.tally[WIDTH] * ONE
    change.insert(detector.buckets, detector.tally, 0)
    assert (detector.tally[:LEVELS] == SLOTS - 1).all()
    # Every size had six and got one; it keeps five, and passes two as one of the next size.
    assert detector.width == (SLOTS - 1) * ((1 << LEVELS) - 1)
    assert detector.tally[SUM] == detector.buckets[:, : SLOTS - 1, 0].sum()


def test_clear_forgets() -> None:
    detector = ChangeDetector()
    for value in coins([(0.9, 500)], 0):
        detector.push(value)
    detector.clear()
    assert detector.width == 0 and detector.mean_q16 == 0
    assert answers(detector, coins([(0.1, 500)], 1)) == []
    assert detector.tally[CUTS] == 0


@pytest.mark.parametrize("octaves", [0, -1, 65])
def test_octaves_are_checked(octaves: int) -> None:
    with pytest.raises(ShapeError, match=rf"ChangeDetector: octaves is {octaves}; use 1 to 64"):
        ChangeDetector(octaves)


@pytest.mark.parametrize("value", [ONE + 1, -ONE - 1, 1 << 70])
def test_values_are_checked_and_nothing_is_lost(value: int) -> None:
    detector = ChangeDetector()
    detector.push(ONE)
    with pytest.raises(ShapeError, match=r"change\.push: value -?\d+ is outside ±65536; scale"):
        detector.push(value)
    assert detector.width == 1
