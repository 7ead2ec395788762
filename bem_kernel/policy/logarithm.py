"""Logarithms in integers: a table with linear interpolation, and exact bounds for proofs.

The table holds log2(1 + k / 256) for k = 0 .. 256 in Q30, rounded. The logarithm is concave, so a
chord lies below it, by at most (1 / 256)**2 / (8 ln 2) = 2.752e-6, which is 2955 units of Q30.
"""

from __future__ import annotations

from fractions import Fraction

import numpy as np
from numpy.typing import NDArray

from bem_kernel.compiled import kernel
from bem_kernel.errors import ShapeError

ERROR_Q30 = 2957
"""`log2_q30` is at most this much below the logarithm, and at most 1 above."""

LN2_LOW = Fraction(0xB17217F7D1CF79AB, 1 << 64)
LN2_HIGH = Fraction(0xB17217F7D1CF79AC, 1 << 64)
_LN2_UP_Q24 = np.int64(11629080)  # ln 2 rounded up
_PROOF_BITS = 64
_PROOF_PRECISION = 192


def log2_digits(numerator: int, denominator: int, bits: int) -> int:
    """floor(2**bits * log2(numerator / denominator)), or one less, by repeated squaring.

    Args:
        numerator: at least `denominator`.
        denominator: 1 or more.
        bits: binary digits after the point, at most 64.
    """
    whole = numerator.bit_length() - denominator.bit_length()
    if numerator < denominator << whole:
        whole -= 1
    one = 1 << _PROOF_PRECISION
    mantissa = (numerator << _PROOF_PRECISION) // (denominator << whole)  # in [1, 2)
    digits = whole
    for _ in range(bits):
        mantissa = mantissa * mantissa >> _PROOF_PRECISION
        digits <<= 1
        if mantissa >= 2 * one:
            mantissa >>= 1
            digits += 1
    return digits


def ln_low(value: Fraction | int) -> Fraction:
    """A rational number at most ln(value), and less than 2**-60 * (1 + log2(value)) below it.

    Raises:
        ShapeError: the value is below 1.
    """
    return LN2_LOW * Fraction(_proof_digits(value), 1 << _PROOF_BITS)


def ln_high(value: Fraction | int) -> Fraction:
    """A rational number at least ln(value), and less than 2**-60 * (1 + log2(value)) above it.

    Raises:
        ShapeError: the value is below 1.
    """
    return LN2_HIGH * Fraction(_proof_digits(value) + 2, 1 << _PROOF_BITS)


def _proof_digits(value: Fraction | int) -> int:
    exact = Fraction(value)
    if exact < 1:
        raise ShapeError(
            f"{exact} is below 1", where="logarithm", fix="take -ln of the reciprocal instead"
        )
    return log2_digits(exact.numerator, exact.denominator, _PROOF_BITS)


def _log2_table() -> NDArray[np.int32]:
    rounded = [(log2_digits(256 + k, 256, 40) + (1 << 9)) >> 10 for k in range(257)]
    return np.array(rounded, dtype=np.int32)


_LOG2_Q30 = _log2_table()
_LOG2_Q30.setflags(write=False)


@kernel("int64(int64)")
def log2_q30(value: np.int64) -> np.int64:
    """log2(value) in Q30, for 1 <= value < 2**63; -1 for 0 and less.

    Never decreases with the value; exact for powers of two; otherwise 0 to 2957 units too small
    (up to 1 too large).
    """
    if value <= 0:
        return np.int64(-1)
    x = np.int64(value)
    whole = np.int64(62)
    step = np.int64(32)
    while step > 0:  # shift the leading one to bit 62
        if x >> (np.int64(63) - step) == 0:
            x <<= step
            whole -= step
        step >>= np.int64(1)
    index = (x >> 54) & 255
    rest = (x >> 30) & 0xFFFFFF
    left = np.int64(_LOG2_Q30[index])
    right = np.int64(_LOG2_Q30[index + 1])
    digits: np.int64 = (whole << 30) + left + ((right - left) * rest >> 24)
    return digits


@kernel("int64(int64)")
def ln_up_q16(value: np.int64) -> np.int64:
    """ln(value) in Q16, rounded up: at least the logarithm and less than 2 units above it.

    Args:
        value: 1 or more; less counts as 1.
    """
    if value <= 1:
        return np.int64(0)
    octaves_q30 = log2_q30(value) + np.int64(ERROR_Q30)
    nats: np.int64 = (octaves_q30 * _LN2_UP_Q24 >> np.int64(38)) + np.int64(1)
    return nats
