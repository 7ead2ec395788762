"""Truth tables as bits: 64 rows to a word, so that one word operation handles 64 rows.

Row r is the input word in which bit i of r is input i; it is bit r % 64 of word r // 64. A packed
table is therefore what an engine gives for the planes of all input words.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from bem_kernel.circuits.circuit import Circuit
from bem_kernel.errors import ShapeError
from bem_kernel.lanes import WORD_BITS, Planes, pack_bits, unpack_bits

MAX_PACKED_INPUTS = 24
IN_WORD = tuple(sum(1 << r for r in range(WORD_BITS) if r >> i & 1) for i in range(6))
"""What inputs 0 to 5 look like in a word: row r has bit i of r."""

Table = NDArray[np.uint8]
"""(2**n, m) uint8 of 0 and 1: one row per input word, one column per output bit."""


@dataclass(frozen=True, eq=False)
class PackedTable:
    """m functions of n inputs by their values; the canonical form that costs 2**n bits.

    Attributes:
        n_inputs: n, at most 24.
        words: (m, max(1, 2**n / 64)) uint64, contiguous; bits past row 2**n - 1 are 0.

    Raises:
        ShapeError: `words` is something else.
    """

    n_inputs: int
    words: Planes

    def __post_init__(self) -> None:
        check_words(self.words, self.n_inputs, where="packed_table")

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, PackedTable):
            return NotImplemented
        return self.n_inputs == other.n_inputs and np.array_equal(self.words, other.words)

    def __hash__(self) -> int:
        return hash((self.n_inputs, self.words.tobytes()))

    @property
    def n_outputs(self) -> int:
        """Number of functions m."""
        return len(self.words)


def words_of(n: int) -> int:
    """Number of words that hold the 2**n rows of a function.

    Raises:
        ShapeError: n is below 0 or over 24.
    """
    if not 0 <= n <= MAX_PACKED_INPUTS:
        raise ShapeError(f"{n} inputs", where="packed_table", fix=f"use 0 to {MAX_PACKED_INPUTS}")
    return max(1, (1 << n) // WORD_BITS)


def check_words(words: Planes, n: int, where: str) -> None:
    """Refuse anything that is not the packed rows of functions of n inputs.

    Raises:
        ShapeError: wrong dtype, shape or layout, or a bit past row 2**n - 1 is set.
    """
    shape = (words.ndim == 2 and len(words), words_of(n))
    if words.dtype != np.uint64 or words.shape != shape or not words.flags.c_contiguous:
        raise ShapeError(
            f"expected contiguous (m, {shape[1]}) uint64 for {n} inputs, got {words.dtype} of "
            f"shape {words.shape}",
            where=where,
            fix="pack with packed_table.pack_table",
        )
    if (1 << n) < WORD_BITS and (words >> np.uint64(1 << n)).any():
        raise ShapeError(
            f"bits are set past row {(1 << n) - 1}", where=where, fix="clear the padding"
        )


def pack_table(table: Table) -> PackedTable:
    """Pack a table of one byte per value.

    Raises:
        ShapeError: `table` is not (2**n, m) uint8 of 0 and 1, or n is over 24.
    """
    n = inputs_of(table, where="packed_table.pack_table")
    words_of(n)
    return PackedTable(n, pack_bits(table.astype(np.bool_)))


def unpack_table(table: PackedTable) -> Table:
    """Inverse of `pack_table`: (2**n, m) uint8."""
    return unpack_bits(table.words, 1 << table.n_inputs).view(np.uint8)


def table_from_circuit(circuit: Circuit) -> PackedTable:
    """Every output of a circuit for every input; gates that no output needs cost nothing.

    Raises:
        ShapeError: the circuit has more than 24 inputs.
    """
    from bem_kernel.forms.table_kernel import tabulate

    n = circuit.n_inputs
    words = np.empty((circuit.n_outputs, words_of(n)), dtype=np.uint64)
    tabulate(circuit.packed, n, np.array(circuit.outputs, dtype=np.int64), words.reshape(-1))
    return PackedTable(n, words)


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
