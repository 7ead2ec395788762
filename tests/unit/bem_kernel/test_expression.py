"""Expressions: precedence, atoms with arguments, errors with positions."""

from __future__ import annotations

import pytest

from bem_kernel.circuits.expression import atoms, compile_expression, compile_expressions
from bem_kernel.errors import ExpressionError
from bem_kernel.forms.truth_table import truth_table


def table(text: str, names: str = "abc") -> list[int]:
    column: list[int] = truth_table(compile_expression(text, list(names)))[:, 0].tolist()
    return column


@pytest.mark.parametrize(
    ("text", "means"),
    [
        ("!a & b", "(!a) & b"),
        ("a & b ^ c", "(a & b) ^ c"),
        ("a ^ b | c", "(a ^ b) | c"),
        ("a | b & c", "a | (b & c)"),
        ("a | b -> c", "(a | b) -> c"),
        ("a -> b -> c", "a -> (b -> c)"),
        ("a -> b <-> c", "(a -> b) <-> c"),
        ("a <-> b -> c", "a <-> (b -> c)"),
    ],
)
def test_precedence(text: str, means: str) -> None:
    assert table(text) == table(means)


@pytest.mark.parametrize(
    ("text", "column"),
    [
        ("a & b", [0, 0, 0, 1]),
        ("a | b", [0, 1, 1, 1]),
        ("a ^ b", [0, 1, 1, 0]),
        ("!a", [1, 0, 1, 0]),
        ("a -> b", [1, 0, 1, 1]),
        ("a <-> b", [1, 0, 0, 1]),
        ("true", [1, 1, 1, 1]),
        ("false", [0, 0, 0, 0]),
        ("trueish & b", None),
    ],
)
def test_operators(text: str, column: list[int] | None) -> None:
    if column is None:
        assert truth_table(compile_expression(text, ["trueish", "b"]))[:, 0].tolist() == [
            0,
            0,
            0,
            1,
        ]
    else:
        assert table(text, "ab") == column


def test_atoms_carry_arguments_and_lose_spaces() -> None:
    assert atoms("p( x , y ) & !q | p(x,y) & true & s.t") == ("p(x,y)", "q", "s.t")
    circuit = compile_expression("p( x , y )", ["p(x, y)"])
    assert truth_table(circuit)[:, 0].tolist() == [0, 1]


def test_equal_sub_expressions_are_shared() -> None:
    circuit = compile_expressions(["a & b | c", "(b & a) ^ c"], ["a", "b", "c"])
    assert len(circuit.gates) == 3
    assert circuit.n_outputs == 2


def test_depth_of_nesting_is_not_limited_by_recursion() -> None:
    assert table("!" * 20_001 + "a", "a") == [1, 0]
    assert table("(" * 5_000 + "a" + ")" * 5_000, "a") == [0, 1]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a &", "line 1, column 4: the text ends too early; write an atom"),
        ("", "line 1, column 1: the text ends too early"),
        ("a &\n  & b", "line 2, column 3: unexpected '&'; use atoms"),
        ("a $ b", r"line 1, column 3: unexpected character '\$'"),
        ("(a", "line 1, column 3: the text ends too early"),
        ("a b", "line 1, column 3: unexpected 'b'"),
        ("a & zz", "line 1, column 5: unknown atom 'zz' in 'a & zz'; known atoms: a, b"),
    ],
)
def test_errors_name_the_place_and_the_fix(text: str, message: str) -> None:
    with pytest.raises(ExpressionError, match=f"expression: {message}"):
        compile_expression(text, ["a", "b"])


def test_names_may_not_repeat() -> None:
    with pytest.raises(ExpressionError, match="a name appears twice among the inputs"):
        compile_expression("p(x)", ["p(x)", "p( x )"])
