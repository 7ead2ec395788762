"""Algebraic normal form: every function as an XOR of products of inputs, by the Möbius transform.

Row r of a truth table is the input in which bit i of r is input i; coefficient r of the normal
form belongs to the product of the inputs whose bits are set in r.

Source: BEM core spec 5.2; Zhegalkin 1927.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from bem_kernel.circuits.builder import CircuitBuilder
from bem_kernel.circuits.circuit import Circuit
from bem_kernel.errors import ShapeError

Table = NDArray[np.uint8]
"""(2**n, m) uint8 of 0 and 1: one row per input word, one column per output bit."""


def moebius(table: Table) -> Table:
    """Turn truth tables into normal-form coefficients, or back: the transform is its own inverse.

    Args:
        table: (2**n, m) uint8 of 0 and 1.

    Returns:
        (2**n, m) uint8, a new array.

    Raises:
        ShapeError: `table` is no truth table.
    """
    n = inputs_of(table, where="anf.moebius")
    rows, columns = table.shape
    result = table.copy()
    for i in range(n):
        halves = result.reshape(rows >> i + 1, 2, 1 << i, columns)  # axis 1 is bit i of the row
        halves[:, 1] ^= halves[:, 0]
    return result


def circuit_from_anf(coefficients: Table) -> Circuit:
    """The circuit that XORs the products, sharing common products.

    Args:
        coefficients: (2**n, m) uint8 of 0 and 1.

    Returns:
        A circuit of n inputs and m outputs.

    Raises:
        ShapeError: `coefficients` has no such shape.
    """
    n = inputs_of(coefficients, where="anf.circuit_from_anf")
    builder = CircuitBuilder(n)
    outputs = []
    for column in coefficients.T:
        total = builder.const(False)
        for product in np.flatnonzero(column).tolist():
            total = builder.xor(total, _product(builder, product))
        outputs.append(total)
    return builder.build(outputs)


def _product(builder: CircuitBuilder, inputs: int) -> int:
    """AND of the inputs in the set, lowest first, so that products share their beginnings."""
    slot = builder.const(True)
    for i in range(inputs.bit_length()):
        if inputs >> i & 1:
            slot = builder.and_(slot, i)
    return slot


def inputs_of(table: Table, where: str) -> int:
    """Number of inputs n of a (2**n, m) table.

    Raises:
        ShapeError: the array is not (2**n, m) uint8 of 0 and 1.
    """
    shaped = table.ndim == 2 and table.dtype == np.uint8
    rows = table.shape[0] if shaped else 0
    if rows < 1 or rows & (rows - 1) or (table > 1).any():
        raise ShapeError(
            f"expected (2**n, m) uint8 of 0 and 1, got {table.dtype} of shape {table.shape}",
            where=where,
            fix="give one row per input word, one column per output",
        )
    return rows.bit_length() - 1
