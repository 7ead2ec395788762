"""Mixing in the logistic domain: stretch, hypentropy weights, and learning."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from bem_kernel.errors import ShapeError
from bem_kernel.policy.mixing import Mixer, mix_q30, sinh_weight_q16, stretch_q16

ONE_Q16, ONE_Q30 = 1 << 16, 1 << 30


@given(st.integers(1, ONE_Q30 - 1))
@example(1)
@example(ONE_Q30 - 1)
def test_stretch_is_the_log_odds(probability: int) -> None:
    true = math.log(probability / (ONE_Q30 - probability)) * ONE_Q16
    assert abs(stretch_q16(probability) - true) <= 1
    assert stretch_q16(ONE_Q30 - probability) in (
        -stretch_q16(probability),
        1 - stretch_q16(probability),
        -1 - stretch_q16(probability),
    )


def test_stretch_bounds_certainty() -> None:
    assert stretch_q16(0) == stretch_q16(1) < 0 < stretch_q16(ONE_Q30) == stretch_q16(ONE_Q30 - 1)
    assert stretch_q16(ONE_Q30 // 2) == 0


@given(st.integers(-(16 << 32), 16 << 32), st.integers(1, ONE_Q16))
def test_weights_are_the_hyperbolic_sine_and_odd(theta: int, beta: int) -> None:
    true = beta * math.sinh(theta / 2**32 * math.log(2))
    found = sinh_weight_q16(theta, beta)
    assert abs(found - true) <= 1 + 1e-6 * abs(true)
    assert sinh_weight_q16(-theta, beta) == -found


@given(st.lists(st.integers(-(1 << 20), 1 << 20), min_size=1, max_size=8), st.integers(64, ONE_Q16))
def test_one_weight_of_one_passes_a_prediction_on(inputs: list[int], beta: int) -> None:
    mixer = Mixer(1, ONE_Q16, beta)
    for x in inputs:
        weight = mixer.weights_q16[0, 0] / ONE_Q16
        assert 1 - 1e-4 - 2.0**-15 <= weight <= 1
        true = 1 / (1 + math.exp(-min(max(x / ONE_Q16 * weight, -16), 16)))
        assert abs(mixer.predict(np.array([x])) / ONE_Q30 - true) < 1e-5


def code_length(mixer: Mixer, rows: np.ndarray, bits: np.ndarray) -> float:
    """Bits per symbol that the mixture needs."""
    total = 0.0
    for row, bit in zip(rows, bits, strict=True):
        p = mixer.predict(row) / ONE_Q30
        total -= math.log2(p if bit else 1 - p)
        mixer.update(int(bit))
    return total / len(bits)


def stretched(p: np.ndarray) -> np.ndarray:
    return np.array([[stretch_q16(int(x * ONE_Q30)) for x in row] for row in p])


def test_the_one_good_prediction_among_noise_is_found() -> None:
    rng, rounds, n = np.random.default_rng(0), 4_000, 16
    good = rng.uniform(0.05, 0.95, rounds)
    bits = rng.random(rounds) < good
    rows = rng.uniform(0.05, 0.95, (rounds, n))
    rows[:, 5] = good
    inputs = stretched(rows)
    mixer = Mixer(n, 1 << 11)
    ours = code_length(mixer, inputs, bits)
    best = -np.log2(np.where(bits, good, 1 - good)).mean()
    average = -np.log2(np.where(bits[:, None], rows, 1 - rows).mean(axis=1)).mean()
    assert best < ours < best + 0.25 * (average - best)
    weights = mixer.weights_q16[0] / ONE_Q16
    assert weights.argmax() == 5 and weights[5] > 0.7
    assert np.abs(np.delete(weights, 5)).max() < 0.2


def test_weights_turn_negative_for_predictions_that_are_wrong() -> None:
    rng, rounds = np.random.default_rng(1), 2_000
    p = rng.uniform(0.05, 0.95, rounds)
    bits = rng.random(rounds) < p
    mixer = Mixer(1, 1 << 13)
    ours = code_length(mixer, stretched(1 - p[:, None]), bits)
    assert mixer.weights_q16[0, 0] < -0.7 * ONE_Q16
    assert ours < 0.9


def test_contexts_have_weights_of_their_own() -> None:
    mixer, x = Mixer(1, 1 << 14, contexts=2), np.array([2 * ONE_Q16])
    for _ in range(50):
        mixer.predict(x, context=0)
        mixer.update(1)
        mixer.predict(x, context=1)
        mixer.update(0)
    up, down = mixer.weights_q16[:, 0] / ONE_Q16
    assert up > 1.2 and down < 0


def test_hostile_bits_never_break_the_range() -> None:
    mixer = Mixer(2, 1 << 22, ONE_Q16)
    inputs = np.array([1 << 20, -(1 << 20)])
    for t in range(200):
        assert 1 <= mixer.predict(inputs) <= ONE_Q30 - 1
        mixer.update(int(t % 3 == 0))
    mixer = Mixer(2, 1 << 22, ONE_Q16)
    for bit in (0, 1):
        for _ in range(200):
            mixer.predict(inputs[:: 1 if bit else -1])
            mixer.update(bit)
        largest = int(sinh_weight_q16(16 << 32, ONE_Q16))
        assert mixer.weights_q16.tolist() == [[largest, -largest]]
    thetas = np.full(2048, 16 << 32)
    most = np.full(2048, 1 << 20)
    assert mix_q30(thetas, most, ONE_Q16) > ONE_Q30 * 0.999  # the widest sum fits 64 bits
    assert mix_q30(thetas, -most, ONE_Q16) < ONE_Q30 * 0.001


def test_refusals() -> None:
    for arguments in ((0, 1), (2049, 1), (1, 0), (1, (1 << 22) + 1), (1, 1, 63), (1, 1, 1 << 17)):
        with pytest.raises(ShapeError, match="mixing.Mixer: n is .*; use n of 1 to 2048"):
            Mixer(*arguments)
    with pytest.raises(ShapeError, match="contexts 0"):
        Mixer(1, 1, contexts=0)
    mixer = Mixer(2, 1 << 10)
    with pytest.raises(ShapeError, match=r"inputs are int64 of shape \(3,\); give \(2,\) int64"):
        mixer.predict(np.zeros(3, dtype=np.int64))
    with pytest.raises(ShapeError, match="inputs are float64"):
        mixer.predict(np.zeros(2))  # type: ignore[arg-type]
    with pytest.raises(ShapeError, match="inputs up to 1048577 .* log-odds within"):
        mixer.predict(np.array([0, (1 << 20) + 1]))
    with pytest.raises(ShapeError, match="context 1, .*; give a context of 0 to 0"):
        mixer.predict(np.zeros(2, dtype=np.int64), context=1)
    with pytest.raises(ShapeError, match="bit 1, context -1; call predict first"):
        mixer.update(1)
    mixer.predict(np.zeros(2, dtype=np.int64))
    with pytest.raises(ShapeError, match="bit 2, context 0"):
        mixer.update(2)
