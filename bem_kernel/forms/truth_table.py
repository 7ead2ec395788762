"""Truth tables one byte a value: of circuits, with don't-cares, and circuits from them.

Row r is the input word in which bit i of r is input i. Tables as bits are in `packed_table`.
"""

from __future__ import annotations

from typing import Literal

import numpy as np
from numpy.typing import NDArray

from bem_kernel.circuits.circuit import Circuit
from bem_kernel.engines.engine import evaluate
from bem_kernel.errors import ShapeError
from bem_kernel.forms.anf import anf_from_table, circuit_from_anf
from bem_kernel.forms.packed_table import Table, inputs_of, pack_table
from bem_kernel.forms.robdd import circuit_from_robdd, robdd_from_table
from bem_kernel.lanes import Planes, pack_lanes, unpack_bits

MAX_INPUTS = 20

NormalForm = Literal["anf", "robdd", "smaller"]
"""Through which normal form a circuit is made; "smaller" takes the one with fewer gates."""


def truth_table(circuit: Circuit) -> Table:
    """Every output for every input.

    Args:
        circuit: at most 20 inputs.

    Returns:
        (2**n, m) uint8 of 0 and 1.

    Raises:
        ShapeError: too many inputs.
    """
    n = circuit.n_inputs
    outputs = evaluate(circuit, counting_planes(n))
    return unpack_bits(outputs, 1 << n).astype(np.uint8)


def counting_planes(n: int) -> Planes:
    """All 2**n input words, lane r holding r.

    Returns:
        (n, max(1, 2**n / 64)) uint64.

    Raises:
        ShapeError: n is over 20.
    """
    if n > MAX_INPUTS:
        raise ShapeError(
            f"{n} inputs have too many rows", where="truth_table", fix=f"use at most {MAX_INPUTS}"
        )
    return pack_lanes(np.arange(1 << n, dtype=np.uint64), n)


def from_truth_table(
    table: Table, care: NDArray[np.bool_] | None = None, form: NormalForm = "smaller"
) -> Circuit:
    """A circuit that computes a truth table.

    Args:
        table: (2**n, m) uint8 of 0 and 1.
        care: (2**n,) bool, the rows that matter; the circuit may do anything on the others. None:
            all rows.
        form: the normal form the circuit is made through.

    Returns:
        A circuit of n inputs and m outputs.

    Raises:
        ShapeError: `table` or `care` has another shape, or n is over 20.
    """
    n = inputs_of(table, where="truth_table.from_truth_table")
    if n > MAX_INPUTS:
        raise ShapeError(f"{n} inputs", where="truth_table", fix=f"use at most {MAX_INPUTS}")
    completed = table if care is None else fill_dont_cares(table, care)
    packed = pack_table(completed)
    candidates = []
    if form != "robdd":
        candidates.append(circuit_from_anf(anf_from_table(packed)))
    if form != "anf":
        candidates.append(circuit_from_robdd(robdd_from_table(packed)))
    return min(candidates, key=lambda circuit: len(circuit.gates))


def fill_dont_cares(table: Table, care: NDArray[np.bool_]) -> Table:
    """Choose the rows that do not matter so that a decision diagram gets smaller.

    Two halves that agree wherever both matter become one: sibling substitution, the heuristic of
    Coudert and Madre's `restrict` and Shiple's matching of two-sided don't-cares.

    Args:
        table: (2**n, m) uint8 of 0 and 1.
        care: (2**n,) bool.

    Returns:
        (2**n, m) uint8, equal to `table` wherever `care` is true.

    Raises:
        ShapeError: `table` or `care` has another shape.
    """
    inputs_of(table, where="truth_table.fill_dont_cares")
    if care.shape != (len(table),) or care.dtype != np.bool_:
        raise ShapeError(
            f"care is {care.dtype} of shape {care.shape}",
            where="truth_table.fill_dont_cares",
            fix=f"give ({len(table)},) bool",
        )
    columns = [_fill(column, care) for column in table.T]
    return np.stack(columns, axis=1) if columns else table.copy()


def _fill(values: NDArray[np.uint8], care: NDArray[np.bool_]) -> NDArray[np.uint8]:
    if len(values) == 1 or care.all():
        return values
    half = len(values) // 2
    low, high = values[:half], values[half:]
    low_care, high_care = care[:half], care[half:]
    if ((low != high) & low_care & high_care).any():
        return np.concatenate([_fill(low, low_care), _fill(high, high_care)])
    joined = _fill(np.where(low_care, low, high), low_care | high_care)
    return np.concatenate([joined, joined])
