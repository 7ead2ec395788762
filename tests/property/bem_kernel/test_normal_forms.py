"""anf == robdd == gates on all inputs, and expressions mean what Python says."""

from __future__ import annotations

from random import Random

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from bem_kernel.circuits.expression import compile_expression
from bem_kernel.circuits.random_circuit import random_circuit
from bem_kernel.forms.anf import circuit_from_anf, moebius
from bem_kernel.forms.robdd import circuit_from_robdd, robdd_from_table
from bem_kernel.forms.truth_table import fill_dont_cares, from_truth_table, truth_table


@st.composite
def tables(draw: st.DrawFn) -> np.ndarray:
    n, m = draw(st.integers(0, 4)), draw(st.integers(1, 3))
    return draw(hnp.arrays(np.uint8, (1 << n, m), elements=st.integers(0, 1)))


@settings(max_examples=40)
@given(tables())
def test_the_normal_forms_compute_the_table(table: np.ndarray) -> None:
    assert (truth_table(circuit_from_anf(moebius(table))) == table).all()
    assert (truth_table(circuit_from_robdd(robdd_from_table(table))) == table).all()
    assert (truth_table(from_truth_table(table)) == table).all()


@given(tables())
def test_the_moebius_transform_is_its_own_inverse(table: np.ndarray) -> None:
    assert (moebius(moebius(table)) == table).all()


@settings(max_examples=40)
@given(st.randoms(use_true_random=False), st.integers(0, 4), st.integers(1, 12))
def test_circuits_survive_both_normal_forms(rng: Random, n: int, gates: int) -> None:
    table = truth_table(random_circuit(rng, n, gates, 2))
    for form in ("anf", "robdd"):
        assert (truth_table(from_truth_table(table, form=form)) == table).all()


@settings(max_examples=40)
@given(tables(), st.data())
def test_the_diagram_is_canonical_and_reduced(table: np.ndarray, data: st.DataObject) -> None:
    diagram = robdd_from_table(table)
    assert len(set(diagram.nodes)) == len(diagram.nodes)
    assert all(low != high for _, low, high in diagram.nodes)
    column = data.draw(st.integers(0, table.shape[1] - 1))
    doubled = np.concatenate([table, table[:, [column]]], axis=1)
    assert robdd_from_table(doubled).nodes == diagram.nodes


@settings(max_examples=40)
@given(tables(), st.data())
def test_dont_cares_change_only_rows_that_do_not_matter(
    table: np.ndarray, data: st.DataObject
) -> None:
    care = data.draw(hnp.arrays(np.bool_, (len(table),)))
    filled = fill_dont_cares(table, care)
    assert (filled[care] == table[care]).all()
    before, after = robdd_from_table(table), robdd_from_table(fill_dont_cares(table[:, :1], care))
    assert len(after.nodes) <= len(robdd_from_table(table[:, :1]).nodes)
    assert before.n_inputs == after.n_inputs


EXPRESSIONS = st.recursive(
    st.sampled_from(["a", "b", "c", "true", "false"]),
    lambda inner: st.one_of(
        inner.map(lambda x: f"!({x})"),
        st.tuples(inner, st.sampled_from(["&", "|", "^", "->", "<->"]), inner).map(
            lambda parts: f"({parts[0]}) {parts[1]} ({parts[2]})"
        ),
    ),
    max_leaves=12,
)

PYTHON = (("<->", "=="), ("->", "<="), ("!", "1^"), ("true", "1"), ("false", "0"))


@given(EXPRESSIONS)
def test_expressions_mean_what_python_says(text: str) -> None:
    source = text
    for ours, theirs in PYTHON:
        source = source.replace(ours, theirs)
    column = truth_table(compile_expression(text, ["a", "b", "c"]))[:, 0].tolist()
    for row, value in enumerate(column):
        bits = {name: row >> i & 1 for i, name in enumerate("abc")}
        assert value == int(eval(source, {}, bits))
