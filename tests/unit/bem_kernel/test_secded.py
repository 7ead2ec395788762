"""SECDED over identifiers: every single and every double error of a thousand of them."""

from __future__ import annotations

from itertools import combinations

import numpy as np
import pytest

from bem_kernel.errors import IdentifierError
from bem_kernel.identifiers import kernels
from bem_kernel.identifiers.ident import encode_words
from bem_kernel.identifiers.secded import (
    BIT_AT,
    DAMAGED,
    INTACT,
    correct,
    correct_words,
    protect_words,
)

COUNT = 1024
PAIRS = list(combinations(range(32), 2))


def identifiers(seed: int) -> np.ndarray:
    """1,024 different code words of all classes and shards."""
    rng = np.random.default_rng(seed)
    words = [
        encode_words(class_, rng.integers(0, 64, 16), rng.choice(1 << 14, 16, replace=False))
        for class_ in range(64)
    ]
    assert len(np.unique(words)) == COUNT
    return np.concatenate(words)


def test_every_single_error_is_corrected() -> None:
    words = identifiers(1)
    assert (correct_words(words).flipped == INTACT).all()
    bits = np.arange(32, dtype=np.uint32)
    damaged = words[:, None] ^ (np.uint32(1) << bits)
    found = correct_words(damaged)
    assert found.words.shape == (COUNT, 32)
    assert (found.words == words[:, None]).all()
    assert (found.flipped == bits).all()


def test_every_double_error_is_detected_and_left_alone() -> None:
    words = identifiers(2)
    errors = np.array([1 << a | 1 << b for a, b in PAIRS], dtype=np.uint32)
    assert len(errors) == 496
    damaged = words[:, None] ^ errors
    found = correct_words(damaged)
    assert (found.flipped == DAMAGED).all()
    assert (found.words == damaged).all()


def test_scalar_array_and_kernel_agree_on_any_word() -> None:
    words = np.random.default_rng(3).integers(0, 1 << 32, 500, dtype=np.uint32)
    found = correct_words(words)
    expected = list(zip(found.words.tolist(), found.flipped.tolist(), strict=True))
    assert {INTACT, DAMAGED} < set(found.flipped.tolist())  # all three cases are met
    assert [correct(word) for word in words.tolist()] == expected
    assert [kernels.correct_word(word) for word in words] == expected


def test_the_kernel_makes_the_same_code_words_and_cuts_fields() -> None:
    rng = np.random.default_rng(4)
    for _ in range(50):
        class_, shard, local = (int(rng.integers(0, size)) for size in (64, 64, 1 << 14))
        (word,) = encode_words(class_, np.array([shard]), np.array([local]))
        assert kernels.encode_word(class_, shard, local) == word
        assert kernels.encode_word(class_ + 64, shard - 64, local + (5 << 14)) == word


def test_each_bit_has_its_own_position() -> None:
    assert sorted(BIT_AT) == list(range(32))


def test_what_cannot_be_protected_is_refused() -> None:
    with pytest.raises(IdentifierError, match="an ecc field is not 0; clear bits 20 to 25"):
        protect_words(np.array([0, 1 << 25], dtype=np.uint32))
    with pytest.raises(IdentifierError, match="words are int64; give uint32"):
        correct_words(np.array([1]))  # type: ignore[arg-type]
