"""The laws of composition, of cofactors and of substitution."""

from __future__ import annotations

from itertools import pairwise
from random import Random

from hypothesis import given
from hypothesis import strategies as st

from bem_kernel.circuits.builder import simplify
from bem_kernel.circuits.circuit import Circuit
from bem_kernel.circuits.composition import cofactor, identity, substitute, support, wiring
from bem_kernel.circuits.random_circuit import random_circuit
from bem_kernel.forms.truth_table import truth_table

WIDTHS = st.integers(0, 4)


@st.composite
def circuits(draw: st.DrawFn, n_inputs: int | None = None, n_outputs: int | None = None) -> Circuit:
    n = draw(WIDTHS) if n_inputs is None else n_inputs
    m = draw(WIDTHS) if n_outputs is None else n_outputs
    gates = draw(st.integers(0 if n or not m else 1, 8))
    return random_circuit(Random(draw(st.integers(0, 1 << 30))), n, gates, m)


@st.composite
def chains(draw: st.DrawFn, length: int) -> list[Circuit]:
    """Circuits each of which takes as many inputs as the one before gives outputs."""
    widths = [draw(WIDTHS) for _ in range(length + 1)]
    return [draw(circuits(n, m)) for n, m in pairwise(widths)]


@given(chains(3))
def test_both_compositions_are_associative_to_the_last_gate(chain: list[Circuit]) -> None:
    f, g, h = chain
    assert (f >> g) >> h == f >> (g >> h)
    assert (f | g) | h == f | (g | h)


@given(circuits())
def test_identities_are_units(f: Circuit) -> None:
    assert identity(f.n_inputs) >> f == f == f >> identity(f.n_outputs)
    assert identity(0) | f == f == f | identity(0)


@given(chains(2), chains(2))
def test_the_compositions_interchange(left: list[Circuit], right: list[Circuit]) -> None:
    (f, g), (h, k) = left, right
    narrow = f.n_inputs + h.n_inputs
    one, other = (f >> g) | (h >> k), (f | h) >> (g | k)
    assert one.n_inputs == other.n_inputs == narrow
    assert (truth_table(one) == truth_table(other)).all()


@given(chains(2))
def test_the_composition_computes_the_composition(chain: list[Circuit]) -> None:
    f, g = chain
    table_f, table_g = truth_table(f), truth_table(g)
    middle = table_f.astype(int) @ [1 << j for j in range(f.n_outputs)] if f.n_outputs else 0
    assert (truth_table(f >> g) == table_g[middle]).all()


@given(circuits(n_inputs=4), st.integers(0, 3))
def test_shannon_expansion_gives_the_function_back(f: Circuit, i: int) -> None:
    low, high = truth_table(cofactor(f, {i: False})), truth_table(cofactor(f, {i: True}))
    for row, values in enumerate(truth_table(f).tolist()):
        expected = (high if row >> i & 1 else low)[row].tolist()
        assert values == expected


@given(circuits(n_inputs=4), st.integers(0, 3), st.booleans(), st.integers(0, 3), st.booleans())
def test_cofactors_ignore_what_they_hold_and_commute(
    f: Circuit, i: int, a: bool, j: int, b: bool
) -> None:
    held = cofactor(f, {i: a})
    assert i not in support(held)
    assert (truth_table(cofactor(held, {i: not a})) == truth_table(held)).all()
    if i != j:
        both = truth_table(cofactor(f, {i: a, j: b}))
        assert (both == truth_table(cofactor(held, {j: b}))).all()
        assert (both == truth_table(cofactor(cofactor(f, {j: b}), {i: a}))).all()


@given(circuits(3), circuits(3, 1), circuits(3, 1))
def test_substitution_is_composition_with_the_replaced_inputs(
    f: Circuit, g: Circuit, h: Circuit
) -> None:
    copies = wiring(3, [0, 1, 2, 0, 1, 2, 1])
    expected = copies >> (g | h | identity(1)) >> wiring(3, [0, 2, 1]) >> f
    assert (truth_table(substitute(f, {0: g, 2: h})) == truth_table(expected)).all()


@given(circuits(3), circuits(3, 1), st.integers(0, 2))
def test_substituting_an_input_for_itself_changes_nothing(f: Circuit, g: Circuit, i: int) -> None:
    assert substitute(f, {i: wiring(3, [i])}) == simplify(f)
    assert (truth_table(substitute(f, {})) == truth_table(f)).all()
    # x_i := g, where g itself mentions x_i, is Shannon's expansion selected by g
    low, high = truth_table(cofactor(f, {i: False})), truth_table(cofactor(f, {i: True}))
    for row, (value,) in enumerate(truth_table(g).tolist()):
        chosen = truth_table(substitute(f, {i: g}))[row].tolist()
        assert chosen == (high if value else low)[row].tolist()
