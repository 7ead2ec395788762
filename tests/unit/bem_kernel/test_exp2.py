"""Powers of two: the error bound on every fraction, and the ends of the range."""

from __future__ import annotations

import numpy as np

from bem_kernel.policy.exp2 import (
    ERROR_E10,
    ONE_Q16,
    ONE_Q30,
    TABLE_Q30,
    exp2_fine_q30,
    exp2_q16,
    exp2_q30,
)


def test_the_table_has_257_rounded_entries_of_32_bits() -> None:
    assert TABLE_Q30.dtype == np.int32 and TABLE_Q30.shape == (257,)
    true = np.exp2(-np.arange(257) / 256) * ONE_Q30
    assert np.abs(TABLE_Q30 - true).max() <= 0.5 + 1e-6
    assert (TABLE_Q30[0], TABLE_Q30[256]) == (ONE_Q30, ONE_Q30 // 2)


def test_the_error_bound_holds_for_every_fraction() -> None:
    found = np.array([exp2_q30(x) for x in range(ONE_Q16)])
    true = np.exp2(-np.arange(ONE_Q16) / ONE_Q16) * ONE_Q30
    errors = found / true - 1
    assert np.abs(errors).max() <= ERROR_E10 * 1e-10
    assert errors.max() > 9.1e-7  # the bound is not slack
    assert (np.diff(found) <= 0).all()


def test_fine_exponents_obey_the_bound_where_a_chord_is_worst() -> None:
    """Chords are worst near the middle of a segment: 33 points of each bracket it."""
    segments = np.arange(256, dtype=np.int64) << 24
    offsets = np.linspace(0, (1 << 24) - 1, 33).astype(np.int64)
    exponents = (segments[:, None] + offsets).ravel()
    found = np.array([exp2_fine_q30(x) for x in exponents])
    true = np.exp2(-exponents / 2.0**32) * ONE_Q30
    assert np.abs(found / true - 1).max() <= ERROR_E10 * 1e-10
    assert (np.diff(found) <= 0).all()


def test_whole_octaves_are_exact_down_to_half_a_unit() -> None:
    assert [exp2_q30(k << 16) for k in range(31)] == [1 << (30 - k) for k in range(31)]
    assert [exp2_q30(k << 16) for k in (31, 32, 33, 1000)] == [1, 0, 0, 0]


def test_exponents_outside_the_range_are_bounded() -> None:
    assert [exp2_q30(x) for x in (-1, -(1 << 63))] == [ONE_Q30] * 2
    assert [exp2_q30(x) for x in (1 << 47, 1 << 62, (1 << 63) - 1)] == [0] * 3
    assert exp2_fine_q30(-1) == ONE_Q30
    assert exp2_fine_q30((1 << 63) - 1) == 0


def test_arrays_agree_with_the_kernel() -> None:
    exponents = np.array([0, 1, 255, 256, 65535, 65536, 10**6, 16 << 16, 1 << 62])
    fine = [(int(exp2_q30(x)) + (1 << 13)) >> 14 for x in exponents]
    assert np.abs(exp2_q16(exponents) - fine).max() <= 1
    assert exp2_q16(exponents[:4].reshape(2, 2)).shape == (2, 2)
