"""The algebraic normal form of functions whose form is known."""

from __future__ import annotations

import numpy as np
import pytest

from bem_kernel.circuits.expression import compile_expression
from bem_kernel.errors import ShapeError
from bem_kernel.forms.anf import (
    Anf,
    anf_from_table,
    circuit_from_anf,
    expression_from_anf,
    moebius,
    products,
)
from bem_kernel.forms.packed_table import pack_table, table_from_circuit

MAJORITY = pack_table(np.array([[r.bit_count() >= 2] for r in range(8)], dtype=np.uint8))


def anf_of(text: str, names: str) -> Anf:
    return anf_from_table(table_from_circuit(compile_expression(text, list(names))))


def test_majority_is_ab_xor_bc_xor_ca() -> None:
    anf = anf_from_table(MAJORITY)
    assert anf.words.tolist() == [[1 << 0b011 | 1 << 0b101 | 1 << 0b110]]
    assert products(anf, 0) == [0b011, 0b101, 0b110]
    assert expression_from_anf(anf, 0, ["a", "b", "c"]) == "a & b ^ a & c ^ b & c"
    assert len(circuit_from_anf(anf).gates) == 5


@pytest.mark.parametrize(
    ("text", "normal"),
    [
        ("false", "false"),
        ("true", "true"),
        ("!a", "true ^ a"),
        ("a | b", "a ^ b ^ a & b"),
        ("c ^ a ^ b", "a ^ b ^ c"),
        ("a -> b", "true ^ a ^ a & b"),
        ("b & c ^ a & c ^ a & d", "a & c ^ a & d ^ b & c"),
    ],
)
def test_the_text_is_sorted_by_length_then_names(text: str, normal: str) -> None:
    assert expression_from_anf(anf_of(text, "abcd"), 0, list("abcd")) == normal


def test_one_product_above_the_word() -> None:
    """x7 & x12 alone: the table has it in many words, the form in one bit."""
    circuit = compile_expression("h & m", list("abcdefghijklm"))
    anf = anf_from_table(table_from_circuit(circuit))
    assert products(anf, 0) == [1 << 7 | 1 << 12]


def test_each_coefficient_is_the_sum_of_the_rows_below_it() -> None:
    """The definition, by brute force, for 9 inputs: c_r is the XOR of f(s) over subsets s of r."""
    table = np.random.default_rng(1).integers(0, 2, (512, 1), dtype=np.uint8)
    got = anf_from_table(pack_table(table))
    subsets = np.arange(512)
    expected = [r for r in range(512) if table[(subsets & ~r) == 0].sum() & 1]
    assert sorted(products(got, 0)) == expected


def test_the_transform_leaves_its_argument() -> None:
    words = np.array([[2]], dtype=np.uint64)
    assert moebius(words, 1).tolist() == [[2]]
    assert moebius(np.array([[1]], dtype=np.uint64), 1).tolist() == [[3]]
    assert words.tolist() == [[2]]


def test_what_is_no_form_is_refused() -> None:
    with pytest.raises(ShapeError, match=r"anf\.moebius: expected contiguous \(m, 2\) uint64"):
        moebius(np.zeros((1, 3), dtype=np.uint64), 7)
    with pytest.raises(ShapeError, match="anf: bits are set past row 1"):
        Anf(1, np.array([[4]], dtype=np.uint64))
    message = r"anf\.expression_from_anf: 2 names for 3 inputs; give one name per input"
    with pytest.raises(ShapeError, match=message):
        expression_from_anf(anf_from_table(MAJORITY), 0, ["a", "b"])


def test_forms_compare_by_value() -> None:
    assert anf_of("a | b", "ab") == anf_of("!(!b & !a)", "ab")
    assert hash(anf_of("a | b", "ab")) == hash(anf_of("!(!b & !a)", "ab"))
    assert anf_of("a | b", "ab") != anf_of("a & b", "ab")
    assert anf_of("a | b", "ab") != table_from_circuit(compile_expression("a|b", "ab"))
