"""Integer logistic regression against the same formulas in floating point."""

from __future__ import annotations

from math import exp

import numpy as np
import pytest
from numpy.typing import NDArray

from bem_kernel.policy.logistic import (
    MAX_FEATURES,
    OFFSET,
    correct,
    correct_cell,
    looseness_q32,
    predict,
    revise_cells,
    squash_q30,
    step_sizes,
    typical_variance_q32,
)

ONE_Q32, ONE_Q40 = 1 << 32, 1 << 40


def new_model(features: int, prior: float) -> NDArray[np.int64]:
    model = np.zeros((1 + features, features), dtype=np.int64)
    for i in range(features):
        model[1 + i, i] = int(prior * ONE_Q40)
    return model


@pytest.mark.parametrize("z", [-15.9, -3.0, -0.01, 0.0, 1e-6, 0.7, 5.0, 15.9])
def test_squash(z: float) -> None:
    assert squash_q30(int(z * ONE_Q32)) / 2**30 == pytest.approx(
        1 / (1 + exp(-z)), rel=2e-6, abs=2e-9
    )


def test_squash_never_reaches_certainty() -> None:
    for z in (-(1 << 62), -(1 << 40), 1 << 40, 1 << 62):
        assert 0 < squash_q30(z) < 1 << 30
        assert squash_q30(z) + squash_q30(-z) == 1 << 30


class Reference:
    """The formulas of the module, in floating point."""

    def __init__(self, features: int, prior: float, cells: int, cell_prior: float) -> None:
        self.theta, self.P = np.zeros(features), np.eye(features) * prior
        self.offset, self.information = np.zeros(cells), np.zeros(cells)
        self.a = cell_prior

    def learn(self, x: NDArray[np.float64], cell: int, r: float) -> tuple[float, float]:
        q = 1 / (self.information[cell] + 1 / self.a)
        reach = self.P @ x
        v, mean = float(x @ reach), float(self.theta @ x) + float(self.offset[cell])
        p = 1 / (1 + exp(-mean))
        w = max(p * (1 - p), 0.01)
        s = 1 + w * (v + q)
        self.theta += reach * (r - p) / s
        self.P -= np.outer(reach, reach) * w / s
        self.offset[cell] += q * (r - p) / s
        self.information[cell] += w / (1 + w * v)
        return mean, v


@pytest.mark.parametrize(("features", "prior"), [(1, 0.0625), (5, 0.5), (MAX_FEATURES, 4.0)])
def test_learning_follows_the_formulas(features: int, prior: float) -> None:
    rng = np.random.default_rng(features)
    model, reach = new_model(features, prior), np.zeros(features, dtype=np.int64)
    cells = np.zeros((4, 2), dtype=np.int64)
    cell_prior = ONE_Q32 // 8
    reference = Reference(features, prior, 4, 1 / 8)
    truth = rng.normal(size=features)
    for _ in range(3000):
        x = rng.integers(-32768, 32769, features)
        cell = int(rng.integers(4))
        reward = int(rng.random() < 1 / (1 + exp(-float(truth @ x) / 32768)))
        mean, variance = predict(model, x, reach)
        log_odds = mean + cells[cell, OFFSET]
        loose = looseness_q32(cells[cell, 1], cell_prior)
        surprise, certainty, gathered = step_sizes(log_odds, variance, loose, reward << 30)
        correct(model, reach, surprise, certainty)
        correct_cell(cells[cell], loose, surprise, gathered)
        expected, expected_variance = reference.learn(x / 32768, cell, reward)
        assert log_odds / ONE_Q32 == pytest.approx(expected, abs=2e-4)
        assert variance / ONE_Q32 == pytest.approx(expected_variance, rel=2e-3, abs=1e-8)
    assert model[0] / ONE_Q32 == pytest.approx(reference.theta, abs=2e-4)
    assert model[1:] / ONE_Q40 == pytest.approx(reference.P, abs=1e-6)
    assert (model[1:] == model[1:].T).all()
    assert cells[:, OFFSET] / ONE_Q32 == pytest.approx(reference.offset, abs=1e-4)
    assert abs(reference.theta - truth).max() < 1.5  # and the formulas learn


def test_the_widest_numbers_stay_in_range() -> None:
    """All features at the rim, the widest prior, outcomes that contradict one another."""
    model, reach = new_model(MAX_FEATURES, 4.0), np.zeros(MAX_FEATURES, dtype=np.int64)
    x = np.full(MAX_FEATURES, 32768)
    for t in range(4000):
        x[t % MAX_FEATURES] *= -1
        mean, variance = predict(model, x, reach)
        assert 1 <= variance <= 128 * ONE_Q32
        surprise, certainty, _ = step_sizes(mean, variance, 0, (t % 2) << 30)
        assert abs(surprise) <= 1 << 30 and 0 < certainty <= 1 << 28
        correct(model, reach, surprise, certainty)
        assert abs(model[0]).max() <= 32 * ONE_Q32
        assert np.diagonal(model[1:]).min() > 0
        assert abs(model[1:]).max() <= 4 * ONE_Q40


@pytest.mark.parametrize("information", [0.0, 0.5, 1e4])
def test_looseness(information: float) -> None:
    got = looseness_q32(int(information * 2**24), ONE_Q32 // 32)
    assert got / ONE_Q32 == pytest.approx(1 / (information + 32), rel=1e-4)


def test_cells_of_their_own_widen_their_prior_and_idle_ones_narrow_it() -> None:
    rng = np.random.default_rng(0)
    cells = np.zeros((2, 8, 2), dtype=np.int64)
    cells[:, :, 1] = 40 << 24
    offsets = rng.normal(size=(2, 8)) * 0.5
    cells[:, :, OFFSET] = (offsets * ONE_Q32).astype(np.int64)
    prior, q = 1 / 32, 1 / 72
    expected = (offsets**2).mean() + q
    revised = revise_cells(cells, ONE_Q32 // 32)
    assert revised / ONE_Q32 == pytest.approx(expected, rel=1e-3)
    moved = offsets * (40 + 1 / prior) / (40 + 1 / expected)
    assert cells[:, :, OFFSET] / ONE_Q32 == pytest.approx(moved, rel=1e-3)
    cells[:, :, OFFSET] = 0
    for _ in range(200):
        revised = revise_cells(cells, revised)
    assert revised < ONE_Q32 // 200


def test_one_revision_widens_no_more_than_16_times() -> None:
    cells = np.zeros((1, 1, 2), dtype=np.int64)
    cells[0, 0, OFFSET] = 32 * ONE_Q32
    assert revise_cells(cells, 1 << 22) == 16 << 22
    assert abs(cells[0, 0, OFFSET]) <= 32 * ONE_Q32


def test_typical_variance() -> None:
    models = np.stack([new_model(3, 0.5), new_model(3, 0.5)])
    assert typical_variance_q32(models) == ONE_Q32 // 2  # untried arms: the prior itself
    models[0, 0] = 3 * ONE_Q32
    assert typical_variance_q32(models) / ONE_Q32 == pytest.approx(0.5 + 9 / 2 - 1, abs=1.01)
    models[:, 0] = 32 * ONE_Q32
    assert typical_variance_q32(models) == 4 * ONE_Q32
    assert typical_variance_q32(np.zeros_like(models)) == ONE_Q32 // 16
