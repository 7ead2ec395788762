"""Circuits from partial truth tables."""

from __future__ import annotations

from itertools import product
from random import Random

import numpy as np
import pytest

from bem_kernel.engines.engine import evaluate
from bem_kernel.errors import LearningError
from bem_kernel.lanes import pack_bits, unpack_bits
from bem_kernel.learning.partial_table import Explained, Row, explain
from bem_kernel.proofs.check import Accepted, check_proof
from bem_kernel.sat.check import Unsatisfiable, check


def rows_of(n_inputs: int, *functions: object) -> list[Row]:
    return [
        Row(bits, tuple(bool(f(*bits)) for f in functions))  # type: ignore[operator]
        for bits in product((False, True), repeat=n_inputs)
    ]


def agrees(found: Explained) -> bool:
    lanes = np.array([row.inputs for row in found.examples], dtype=np.bool_)
    said = unpack_bits(evaluate(found.circuit, pack_bits(lanes)), len(lanes)).tolist()
    return all(
        known in (None, bit)
        for row, bits in zip(found.examples, said, strict=True)
        for known, bit in zip(row.outputs, bits, strict=True)
    )


@pytest.mark.parametrize(
    ("rows", "n_gates"),
    [
        (rows_of(2, lambda a, b: a), 0),
        (rows_of(2, lambda a, b: not b), 0),
        (rows_of(2, lambda a, b: a != b), 1),
        (rows_of(2, lambda a, b: True), 0),
        (rows_of(3, lambda a, b, c: a ^ b ^ c), 2),
        (rows_of(3, lambda a, b, c: b if a else c), 3),
        (rows_of(3, lambda a, b, c: a + b + c >= 2), 4),
        (rows_of(3, lambda a, b, c: a ^ b ^ c, lambda a, b, c: a + b + c >= 2), 5),
    ],
)
def test_known_functions_have_their_known_size(rows: list[Row], n_gates: int) -> None:
    found = explain(rows)
    assert agrees(found)
    assert found.n_gates == n_gates
    if n_gates:
        assert found.refusal is not None
        verdict = check(found.refusal)
        assert isinstance(verdict, Unsatisfiable)
        assert isinstance(check_proof(found.refusal, verdict.proof), Accepted)


def test_rows_that_are_not_given_are_free() -> None:
    full = rows_of(3, lambda a, b, c: a + b + c >= 2)
    few = [row for row in full if row.inputs[0] != row.inputs[1]]
    found = explain(few)
    assert (found.n_gates, agrees(found)) == (0, True)  # c alone explains these
    random = Random(2)
    for _ in range(10):
        rows = [
            Row(row.inputs, tuple(random.choice((None, False, True)) for _ in range(2)))
            for row in rows_of(3)
        ]
        assert agrees(explain(rows))


def test_what_cannot_be_explained_is_refused() -> None:
    majority = rows_of(3, lambda a, b, c: a + b + c >= 2)
    with pytest.raises(LearningError, match=r"partial table: 3 gates do not explain the rows"):
        explain(majority, max_gates=3)
    with pytest.raises(LearningError, match=r"partial table: no row; give rows"):
        explain([])
    with pytest.raises(LearningError, match=r"row 1 contradicts an earlier one on output 0"):
        explain([Row((True,), (True,)), Row((True,), (False,))])
    with pytest.raises(LearningError, match=r"row 1 has 2 inputs and 1 outputs; give 1 and 1"):
        explain([Row((True,), (True,)), Row((True, True), (False,))])
