"""anf == robdd == gates on all inputs, and expressions mean what Python says."""

from __future__ import annotations

from random import Random

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from bem_kernel.circuits.builder import simplify
from bem_kernel.circuits.expression import compile_expression
from bem_kernel.circuits.random_circuit import random_circuit
from bem_kernel.forms.anf import (
    anf_from_table,
    circuit_from_anf,
    expression_from_anf,
    table_from_anf,
)
from bem_kernel.forms.packed_table import (
    PackedTable,
    pack_table,
    table_from_circuit,
    unpack_table,
)
from bem_kernel.forms.robdd import circuit_from_robdd, robdd_from_table, table_from_robdd
from bem_kernel.forms.truth_table import fill_dont_cares, from_truth_table, truth_table


@st.composite
def tables(draw: st.DrawFn) -> np.ndarray:
    n, m = draw(st.integers(0, 4)), draw(st.integers(1, 3))
    return draw(hnp.arrays(np.uint8, (1 << n, m), elements=st.integers(0, 1)))


@st.composite
def packed_tables(draw: st.DrawFn) -> PackedTable:
    """Tables on both sides of a word, a block of 8 words, and a byte; runs of equal words too."""
    n, m = draw(st.integers(0, 11)), draw(st.integers(0, 3))
    rng = np.random.default_rng(draw(st.integers(0, 1 << 30)))
    alphabet = rng.integers(0, 2**64, draw(st.integers(1, 5)), dtype=np.uint64)
    words = rng.choice(alphabet, (m, max(1, (1 << n) // 64)))
    return PackedTable(n, words & np.uint64((1 << min(64, 1 << n)) - 1))


def plain_robdd(table: np.ndarray) -> tuple[set[tuple[int, int, int]], list[int]]:
    """The textbook construction: every sub-function by its values, in a dictionary."""
    nodes: dict[tuple[int, tuple[int, ...]], int] = {}
    triples: set[tuple[int, int, int]] = set()

    def node(values: tuple[int, ...]) -> int:
        if len(values) == 1:
            return values[0]
        half = len(values) // 2
        if values[:half] == values[half:]:
            return node(values[:half])
        key = (half.bit_length() - 1, values)
        if key not in nodes:
            low, high = node(values[:half]), node(values[half:])
            nodes[key] = len(nodes) + 2
            triples.add((key[0], low, high))
        return nodes[key]

    return triples, [node(tuple(column.tolist())) for column in table.T]


@settings(max_examples=40)
@given(tables())
def test_the_normal_forms_compute_the_table(table: np.ndarray) -> None:
    packed = pack_table(table)
    assert (truth_table(circuit_from_anf(anf_from_table(packed))) == table).all()
    assert (truth_table(circuit_from_robdd(robdd_from_table(packed))) == table).all()
    assert (truth_table(from_truth_table(table)) == table).all()


@given(packed_tables())
def test_every_form_gives_the_table_back(table: PackedTable) -> None:
    assert table_from_anf(anf_from_table(table)) == table
    assert table_from_robdd(robdd_from_table(table)) == table
    assert pack_table(unpack_table(table)) == table


@settings(max_examples=60)
@given(packed_tables())
def test_the_transform_is_numpys_on_plain_tables(table: PackedTable) -> None:
    plain = unpack_table(table)
    for i in range(table.n_inputs):
        halves = plain.reshape(len(plain) >> i + 1, 2, 1 << i, table.n_outputs)
        halves[:, 1] ^= halves[:, 0]
    coefficients = anf_from_table(table)
    assert (unpack_table(PackedTable(table.n_inputs, coefficients.words)) == plain).all()


@settings(max_examples=60)
@given(packed_tables())
def test_the_diagram_has_the_nodes_of_the_textbook(table: PackedTable) -> None:
    diagram = robdd_from_table(table)
    triples, roots = plain_robdd(unpack_table(table))
    assert len(diagram.nodes) == len(triples)
    variables = diagram.nodes[:, 0].tolist()
    assert variables == sorted(variables)
    assert sorted(variables) == sorted(variable for variable, _, _ in triples)
    assert len(set(diagram.roots.tolist())) == len(set(roots))
    assert len({tuple(row) for row in diagram.nodes.tolist()}) == len(diagram.nodes)


@settings(max_examples=40)
@given(st.randoms(use_true_random=False), st.integers(0, 4), st.integers(1, 12))
def test_circuits_survive_both_normal_forms(rng: Random, n: int, gates: int) -> None:
    table = truth_table(random_circuit(rng, n, gates, 2))
    for form in ("anf", "robdd"):
        assert (truth_table(from_truth_table(table, form=form)) == table).all()


@settings(max_examples=60)
@given(st.randoms(use_true_random=False), st.integers(1, 8), st.integers(1, 30))
def test_equal_functions_have_equal_forms(rng: Random, n: int, gates: int) -> None:
    """Canonical: the simplified circuit is another one, its three forms are the same."""
    circuit = random_circuit(rng, n, gates, 2)
    other = simplify(circuit)
    one, two = table_from_circuit(circuit), table_from_circuit(other)
    assert one == two
    assert anf_from_table(one) == anf_from_table(two)
    assert robdd_from_table(one) == robdd_from_table(two)
    for form in (circuit_from_anf(anf_from_table(one)), circuit_from_robdd(robdd_from_table(one))):
        assert table_from_circuit(form) == one
    assert from_truth_table(unpack_table(one)) == from_truth_table(unpack_table(two))


@settings(max_examples=60)
@given(packed_tables(), packed_tables())
def test_different_functions_have_different_forms(one: PackedTable, two: PackedTable) -> None:
    assert (anf_from_table(one) == anf_from_table(two)) == (one == two)
    assert (robdd_from_table(one) == robdd_from_table(two)) == (one == two)


@given(tables())
def test_the_text_of_the_anf_means_the_function(table: np.ndarray) -> None:
    packed = pack_table(table)
    names = list("abcd")[: packed.n_inputs]
    anf = anf_from_table(packed)
    for j in range(packed.n_outputs):
        text = expression_from_anf(anf, j, names)
        assert (truth_table(compile_expression(text, names))[:, 0] == table[:, j]).all()


@settings(max_examples=40)
@given(tables(), st.data())
def test_the_diagram_is_canonical_and_reduced(table: np.ndarray, data: st.DataObject) -> None:
    diagram = robdd_from_table(pack_table(table))
    column = data.draw(st.integers(0, table.shape[1] - 1))
    doubled = np.concatenate([table, table[:, [column]]], axis=1)
    again = robdd_from_table(pack_table(doubled))
    assert (again.nodes == diagram.nodes).all()
    assert again.roots[-1] == diagram.roots[column]


@settings(max_examples=40)
@given(tables(), st.data())
def test_dont_cares_change_only_rows_that_do_not_matter(
    table: np.ndarray, data: st.DataObject
) -> None:
    care = data.draw(hnp.arrays(np.bool_, (len(table),)))
    filled = fill_dont_cares(table, care)
    assert (filled[care] == table[care]).all()
    for column in table.T:
        one = column[:, None]
        before = robdd_from_table(pack_table(one))
        after = robdd_from_table(pack_table(fill_dont_cares(one, care)))
        assert len(after.nodes) <= len(before.nodes)


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
