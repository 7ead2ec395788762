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
from bem_kernel.forms.packed_table import IN_WORD, Table, inputs_of, pack_table
from bem_kernel.forms.robdd import circuit_from_robdd, robdd_from_table
from bem_kernel.lanes import WORD_BITS, Planes, unpack_bits

MAX_INPUTS = 20

NormalForm = Literal["anf", "robdd", "smaller"]
"""Through which normal form a circuit is made; "smaller" takes the one with fewer gates."""


def truth_table(circuit: Circuit, engine: str | None = None) -> Table:
    """Every output for every input.

    Args:
        circuit: at most 20 inputs.
        engine: name of the engine to use; None leaves it to the measured heat.

    Returns:
        (2**n, m) uint8 of 0 and 1.

    Raises:
        ShapeError: too many inputs.
        EngineError: there is no such engine, or it cannot run here.
    """
    n = circuit.n_inputs
    outputs = evaluate(circuit, counting_planes(n), engine)
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
    planes = np.empty((n, max(1, (1 << n) // WORD_BITS)), dtype=np.uint64)
    words = np.arange(planes.shape[1], dtype=np.uint64)
    for i, plane in enumerate(planes):
        if i < len(IN_WORD):
            plane[:] = IN_WORD[i] & (1 << min(WORD_BITS, 1 << n)) - 1
        else:
            plane[:] = -(words >> np.uint64(i - len(IN_WORD)) & np.uint64(1))  # 0 or all ones
    return planes


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
    # Blocks of rows from the highest input down; `block_of` says which block each part has become.
    values, cares = table.T, np.broadcast_to(care, table.T.shape)
    block_of = np.arange(len(values))[:, None]
    while values.shape[1] > 1:
        half = values.shape[1] // 2
        low, high = values[:, :half], values[:, half:]
        low_care, high_care = cares[:, :half], cares[:, half:]
        apart = ((low != high) & low_care & high_care).any(axis=1)
        joined = np.where(low_care | apart[:, None], low, high)
        joined_care = np.where(apart[:, None], low_care, low_care | high_care)
        high_block = np.arange(len(values))
        high_block[apart] = len(values) + np.arange(np.count_nonzero(apart))
        parts = np.stack([block_of, high_block[block_of]], axis=2)
        block_of = parts.reshape(len(parts), 2 * parts.shape[1])
        values = np.concatenate([joined, high[apart]])
        cares = np.concatenate([joined_care, high_care[apart]])
    return np.ascontiguousarray(values[block_of, 0].T)
