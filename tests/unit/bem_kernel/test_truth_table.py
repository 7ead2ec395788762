"""Truth tables, normal forms and don't-cares on functions whose forms are known."""

from __future__ import annotations

import numpy as np
import pytest

from bem_kernel.circuits.circuit import Circuit
from bem_kernel.errors import ShapeError
from bem_kernel.forms.packed_table import pack_table
from bem_kernel.forms.truth_table import fill_dont_cares, from_truth_table, truth_table

MAJORITY = np.array([[r.bit_count() >= 2] for r in range(8)], dtype=np.uint8)
PARITY = np.array([[r.bit_count() & 1] for r in range(16)], dtype=np.uint8)


def test_the_smaller_form_is_taken() -> None:
    anf = from_truth_table(PARITY, form="anf")
    robdd = from_truth_table(PARITY, form="robdd")
    assert len(from_truth_table(PARITY).gates) == min(len(anf.gates), len(robdd.gates)) == 3


def test_rows_that_do_not_matter_make_it_smaller() -> None:
    care = np.array([r & 1 == 0 for r in range(8)])
    circuit = from_truth_table(MAJORITY, care)
    assert (truth_table(circuit)[care] == MAJORITY[care]).all()
    assert len(circuit.gates) == 1  # b & c where a is 0


def test_nothing_matters() -> None:
    care = np.zeros(8, dtype=np.bool_)
    assert len(from_truth_table(MAJORITY, care).gates) <= 1


def test_no_inputs_and_no_outputs() -> None:
    assert truth_table(from_truth_table(np.array([[1, 0]], dtype=np.uint8))).tolist() == [[1, 0]]
    empty = np.zeros((4, 0), dtype=np.uint8)
    assert from_truth_table(empty, np.ones(4, dtype=np.bool_)).outputs == ()


@pytest.mark.parametrize(
    "table",
    [
        np.zeros((3, 1), dtype=np.uint8),
        np.zeros((0, 1), dtype=np.uint8),
        np.zeros(4, dtype=np.uint8),
        np.full((4, 1), 2, dtype=np.uint8),
        np.zeros((4, 1), dtype=np.int64),
    ],
)
def test_what_is_no_table_is_refused(table: np.ndarray) -> None:
    with pytest.raises(ShapeError, match=r"expected \(2\*\*n, m\) uint8 of 0 and 1"):
        from_truth_table(table)
    with pytest.raises(ShapeError, match=r"packed_table\.pack_table: expected"):
        pack_table(table)


def test_too_many_inputs_are_refused() -> None:
    with pytest.raises(ShapeError, match="21 inputs have too many rows; use at most 20"):
        truth_table(Circuit(21, (), ()))


def test_the_care_set_has_one_entry_per_row() -> None:
    with pytest.raises(ShapeError, match=r"care is bool of shape \(4,\); give \(8,\) bool"):
        fill_dont_cares(MAJORITY, np.ones(4, dtype=np.bool_))
