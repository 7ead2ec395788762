"""Fluents in preconditions and effects."""

from __future__ import annotations

import pytest

from bb_domains.errors import ConditionError
from bb_domains.fluents import Atom, Effect, Vocabulary, expression_atoms, parse_effect

WORDS = Vocabulary({"on": (), "owns": ("customer", "order")}, {"c": "customer", "o": "order"})


def test_atoms_come_in_order_of_appearance() -> None:
    found = expression_atoms("owns( c, o ) & !(on | owns(c,o))", WORDS, "t")
    assert found == (Atom("owns", ("c", "o")), Atom("on"))


def test_effects_set_and_clear() -> None:
    assert parse_effect("owns(c, o)", WORDS, "t") == Effect(Atom("owns", ("c", "o")), True)
    assert parse_effect("! on", WORDS, "t") == Effect(Atom("on"), False)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("of", "t: no fluent 'of'; declared are on, owns"),
        ("owns(c)", r"'owns\(c\)' does not fit fluent 'owns'; it takes \(customer, order\)"),
        ("owns(o, c)", "does not fit fluent 'owns'"),
        ("owns(c, x)", r"speaks of 'x'; known objects are c, o"),
        ("on &", "t: the text ends too early"),
        ("on & & on", "unexpected '&'"),
    ],
)
def test_what_does_not_fit_is_refused(text: str, message: str) -> None:
    with pytest.raises(ConditionError, match=message):
        expression_atoms(text, WORDS, "t")


@pytest.mark.parametrize("text", ["on & on", "!!on", "on | owns(c,o)", "true"])
def test_an_effect_is_one_fluent(text: str) -> None:
    with pytest.raises(ConditionError, match="is no effect"):
        parse_effect(text, WORDS, "t")
