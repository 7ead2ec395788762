"""Logarithms and roots in integers against Python's big numbers."""

from __future__ import annotations

import math
from decimal import Decimal, localcontext
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from bem_kernel.errors import ShapeError
from bem_kernel.policy.logarithm import (
    ERROR_Q30,
    LN2_HIGH,
    LN2_LOW,
    ln_high,
    ln_low,
    ln_up_q16,
    log2_q30,
)
from bem_kernel.policy.square_root import isqrt

VALUES = st.one_of(st.integers(1, 2**63 - 1), st.integers(1, 4096))


@given(VALUES)
@example(2**63 - 1)
@example(1)
def test_log2_is_within_its_bound(value: int) -> None:
    with localcontext(prec=40):
        true = Decimal(value).ln() / Decimal(2).ln() * 2**30
        assert -ERROR_Q30 <= log2_q30(value) - true <= 1


@given(VALUES)
@example(2**63 - 1)
@example(1)
def test_ln_is_rounded_up_by_less_than_two(value: int) -> None:
    with localcontext(prec=40):
        assert 0 <= ln_up_q16(value) - Decimal(value).ln() * 2**16 < 2


def test_log2_never_decreases_and_is_exact_for_powers() -> None:
    small = np.array([log2_q30(value) for value in range(1, 20_000)])
    assert (np.diff(small) >= 0).all()
    assert [log2_q30(1 << k) for k in range(63)] == [k << 30 for k in range(63)]
    around = [log2_q30((1 << k) + d) for k in range(3, 62) for d in (-1, 0, 1)]
    assert around == sorted(around)
    assert [log2_q30(x) for x in (0, -1, -(1 << 63))] == [-1] * 3
    assert [ln_up_q16(x) for x in (1, 0, -5)] == [0] * 3


@given(st.fractions(min_value=1, max_value=10**12))
def test_proof_logarithms_enclose_the_true_one(value: Fraction) -> None:
    with localcontext(prec=60):
        true = (Decimal(value.numerator) / Decimal(value.denominator)).ln()
        low, high = ln_low(value), ln_high(value)
        assert Decimal(low.numerator) / Decimal(low.denominator) <= true
        assert true <= Decimal(high.numerator) / Decimal(high.denominator)
    assert high - low < Fraction(1 + math.ceil(math.log2(value + 1)), 2**58)


def test_ln_2_is_enclosed_and_values_below_one_are_refused() -> None:
    with localcontext(prec=60):
        true = Decimal(2).ln() * 2**64
        assert int(true) == LN2_LOW * 2**64 == LN2_HIGH * 2**64 - 1
    with pytest.raises(ShapeError, match="logarithm: 1/2 is below 1; take -ln"):
        ln_high(Fraction(1, 2))


@given(st.integers(0, 2**64 - 1))
@example(2**64 - 1)
@example(0)
def test_roots_are_the_floor(value: int) -> None:
    assert isqrt(np.uint64(value)) == math.isqrt(value)


@given(st.integers(0, 2**32 - 1), st.integers(-1, 1))
def test_roots_around_squares(root: int, offset: int) -> None:
    value = max(0, min(root * root + offset, 2**64 - 1))
    assert isqrt(np.uint64(value)) == math.isqrt(value)
