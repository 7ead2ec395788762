"""Packed tables: bit order, what is refused, and circuits wider than a block of words."""

from __future__ import annotations

from random import Random

import numpy as np
import pytest

from bem_kernel.circuits import arith
from bem_kernel.circuits.circuit import Circuit, Gate, Op
from bem_kernel.circuits.composition import wiring
from bem_kernel.circuits.random_circuit import random_circuit
from bem_kernel.engines import reference
from bem_kernel.errors import ShapeError
from bem_kernel.forms.packed_table import PackedTable, pack_table, table_from_circuit, unpack_table
from bem_kernel.forms.truth_table import counting_planes


def test_row_r_is_bit_r() -> None:
    table = pack_table(np.array([[0, 1], [1, 1], [1, 0], [0, 0]], dtype=np.uint8))
    assert (table.n_inputs, table.n_outputs) == (2, 2)
    assert table.words.tolist() == [[0b0110], [0b0011]]


@pytest.mark.parametrize("n", [0, 1, 5, 6, 7, 11, 12, 13, 16])
def test_inputs_count_the_rows(n: int) -> None:
    assert (table_from_circuit(wiring(n, range(n))).words == counting_planes(n)).all()


@pytest.mark.parametrize("n", [3, 6, 9, 14])
def test_the_kernel_is_the_reference_engine_on_all_inputs(n: int) -> None:
    for seed in range(5):
        circuit = random_circuit(Random(seed), n, 60, 3)
        rows = reference.evaluate(circuit, counting_planes(n))
        mask = np.uint64((1 << min(64, 1 << n)) - 1)
        assert (table_from_circuit(circuit).words == rows & mask).all()


def test_a_circuit_beyond_the_plain_tables() -> None:
    words = table_from_circuit(arith.parity(22)).words
    assert words.shape == (1, 1 << 16)
    assert int(np.bitwise_count(words).sum()) == 1 << 21
    assert words[0, 0] == 0x6996966996696996


def test_no_outputs_and_no_inputs() -> None:
    assert table_from_circuit(Circuit(9, (), ())).words.shape == (0, 8)
    one = table_from_circuit(Circuit(0, (Gate(Op.CONST1),), (0, 0)))
    assert one.words.tolist() == [[1], [1]]
    assert unpack_table(one).tolist() == [[1, 1]]


def test_equal_tables_are_equal_and_hash_equal() -> None:
    and_, or_ = (table_from_circuit(f(3)) for f in (arith.all_of, arith.any_of))
    again = table_from_circuit(arith.all_of(3))
    assert and_ == again
    assert hash(and_) == hash(again)
    assert and_ != or_
    assert and_ != PackedTable(2, np.array([[8]], dtype=np.uint64))
    assert and_ != 3


@pytest.mark.parametrize(
    ("n", "words", "message"),
    [
        (7, np.zeros((1, 1), np.uint64), r"expected contiguous \(m, 2\) uint64 for 7 inputs, got"),
        (6, np.zeros((1, 1), np.int64), ".* got int64 of shape"),
        (6, np.zeros(1, np.uint64), r".* got uint64 of shape \(1,\); pack with"),
        (7, np.zeros((2, 4), np.uint64)[:, ::2], r"expected contiguous \(m, 2\)"),
        (2, np.full((1, 1), 16, np.uint64), "bits are set past row 3; clear the padding"),
        (25, np.zeros((1, 1), np.uint64), "25 inputs; use 0 to 24"),
        (-1, np.zeros((1, 1), np.uint64), "-1 inputs; use 0 to 24"),
    ],
)
def test_what_is_no_packed_table_is_refused(n: int, words: np.ndarray, message: str) -> None:
    with pytest.raises(ShapeError, match=f"packed_table: {message}"):
        PackedTable(n, words)


def test_too_many_inputs_are_refused() -> None:
    with pytest.raises(ShapeError, match="packed_table: 25 inputs; use 0 to 24"):
        table_from_circuit(Circuit(25, (), ()))
