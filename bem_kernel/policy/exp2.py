"""Powers of two with negative exponents, in integers: a table and linear interpolation.

The table holds 2**-(k / 256) for k = 0 .. 256 in Q30, rounded to nearest (257 int32 entries). With
x = 256 times the fraction of the exponent, a chord of the table is off by at most
(ln 2 / 256)**2 / 8 = 9.165e-7 of the value, an entry by 2**-31 of at least 2**-1, and the product
is rounded by less than 2**-30 of at least 2**-1. Together: at most 9.2e-7 of the value before the
shift by whole octaves, which rounds by half a unit of the result.
"""

from __future__ import annotations

from math import isqrt

import numpy as np
from numpy.typing import NDArray

from bem_kernel.compiled import kernel

ONE_Q16 = 1 << 16
ONE_Q30 = 1 << 30
ERROR_E10 = 9200
"""Largest relative error of the interpolation, in units of 1e-10."""

_TABLE_BITS = 8
_TABLE_Q = 30
_LARGEST_Q16 = 1 << 40  # octaves beyond this are far below half a unit; keeps the shift in range


def _exp2_table() -> NDArray[np.int32]:
    """2**-(k / 256) for k = 0 .. 256 in Q30, rounded, by integer square roots."""
    precision = 120
    one = 1 << precision
    roots = []  # 2**-(1/2), 2**-(1/4), … 2**-(1/256)
    power = one >> 1
    for _ in range(_TABLE_BITS):
        power = isqrt(power << precision)
        roots.append(power)
    table = []
    for k in range((1 << _TABLE_BITS) + 1):
        value = one if k <= (1 << _TABLE_BITS) - 1 else one >> 1
        for j, root in enumerate(roots):
            if k >> (_TABLE_BITS - 1 - j) & 1:
                value = value * root >> precision
        table.append((value + (1 << (precision - _TABLE_Q - 1))) >> (precision - _TABLE_Q))
    return np.array(table, dtype=np.int32)


TABLE_Q30 = _exp2_table()
TABLE_Q30.setflags(write=False)


@kernel("int64(int64)")
def exp2_fine_q30(exponent_q32: np.int64) -> np.int64:
    """2**-(x / 2**32) in Q30; an exponent below 0 counts as 0.

    Returns:
        0 to 2**30: within 9.2e-7 of the value plus half a unit. Never increases with x.
    """
    x = max(np.int64(exponent_q32), np.int64(0))
    whole = x >> 32
    if whole > 31:
        return np.int64(0)
    index = (x >> 24) & 255
    rest = x & 0xFFFFFF
    left = np.int64(TABLE_Q30[index])
    right = np.int64(TABLE_Q30[index + 1])
    mantissa = left - ((left - right) * rest >> 24)
    return (mantissa + ((np.int64(1) << whole) >> 1)) >> whole


@kernel("int64(int64)")
def exp2_q30(exponent_q16: np.int64) -> np.int64:
    """2**-(x / 65536) in Q30, by `exp2_fine_q30`; an exponent below 0 counts as 0."""
    bounded = min(np.int64(exponent_q16), np.int64(_LARGEST_Q16))
    return exp2_fine_q30(bounded << 16)  # type: ignore[no-any-return]


def exp2_q16(exponents_q16: NDArray[np.int64]) -> NDArray[np.int64]:
    """2**-(x / 65536) in Q16, for arrays.

    Args:
        exponents_q16: int64, 0 or more, any shape.

    Returns:
        int64 of the same shape, 0 to 65536, within 1 of the true value.
    """
    whole = exponents_q16 >> 16
    fraction = exponents_q16 & (ONE_Q16 - 1)
    index = fraction >> 8
    rest = fraction & 255
    left = TABLE_Q30[index].astype(np.int64)
    right = TABLE_Q30[index + 1].astype(np.int64)
    mantissa = left - ((left - right) * rest >> 8)
    shift = np.minimum(whole + (_TABLE_Q - 16), 62)
    rounded: NDArray[np.int64] = (mantissa + (np.int64(1) << (shift - 1))) >> shift
    return rounded
