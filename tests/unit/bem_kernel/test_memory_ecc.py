"""SECDED(72,64): every single and double error of words and their check bytes."""

from __future__ import annotations

from itertools import combinations

import numpy as np
import pytest

from bem_kernel.errors import ShapeError
from bem_kernel.identifiers.secded import DAMAGED, INTACT
from bem_kernel.memory.ecc import check_bytes, correct

RNG = np.random.default_rng(11)
WORDS = RNG.integers(0, 1 << 64, 200, dtype=np.uint64, endpoint=False)
WORDS[:2] = (0, (1 << 64) - 1)


def flip(words: np.ndarray, checks: np.ndarray, bit: int) -> None:
    """Flip a bit of all words, 0 to 63, or of all check bytes, 64 to 71."""
    if bit < 64:
        words ^= np.uint64(1 << bit)
    else:
        checks ^= np.uint8(1 << bit - 64)


def test_undamaged_words_pass() -> None:
    found = correct(WORDS, check_bytes(WORDS))
    assert (found.flipped == INTACT).all()
    assert (found.words == WORDS).all()
    assert check_bytes(np.zeros(1, dtype=np.uint64)).tolist() == [0]


def test_every_single_error_is_corrected() -> None:
    right = check_bytes(WORDS)
    for bit in range(72):
        words, checks = WORDS.copy(), right.copy()
        flip(words, checks, bit)
        found = correct(words, checks)
        assert (found.flipped == bit).all(), bit
        assert (found.words == WORDS).all() and (found.checks == right).all(), bit


def test_every_double_error_is_detected_and_left_alone() -> None:
    right = check_bytes(WORDS)
    for first, second in combinations(range(72), 2):
        words, checks = WORDS.copy(), right.copy()
        flip(words, checks, first)
        flip(words, checks, second)
        found = correct(words, checks)
        assert (found.flipped == DAMAGED).all(), (first, second)
        assert (found.words == words).all() and (found.checks == checks).all()


def test_shapes_are_kept_and_checked() -> None:
    grid = WORDS.reshape(4, 50)
    assert check_bytes(grid).shape == (4, 50)
    assert correct(grid, check_bytes(grid)).words.shape == (4, 50)
    assert check_bytes(WORDS[:0]).shape == (0,)
    with pytest.raises(ShapeError, match="ecc.check_bytes: words are int64; give uint64"):
        check_bytes(WORDS.astype(np.int64))  # type: ignore[arg-type]
    with pytest.raises(ShapeError, match=r"checks are uint8 of shape \(3,\); give uint8 of shape"):
        correct(WORDS, np.zeros(3, dtype=np.uint8))
    with pytest.raises(ShapeError, match="checks are int64"):
        correct(WORDS, np.zeros(200, dtype=np.int64))  # type: ignore[arg-type]
