"""Languages and patterns against Python's `re`, and where dialects differ."""

from __future__ import annotations

import re
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bb_domains.errors import LowerError
from bb_domains.json_schema import regex as rx
from bb_domains.json_schema.clauses import Numbers
from bb_domains.json_schema.ecma import pattern_language
from bb_domains.json_schema.numbers import decimal_text, number_language

TEXTS = st.text(alphabet="ab1-_ \n", max_size=6)
PATTERNS = [
    "^a|b$",
    "a{2,3}",
    "^(?!ab)[ab]+$",
    "^(?!(a|b)$).*$",
    "^(a|ab)(b|1)*$",
    "[^a-b]",
    "(^a)|(b+$)",
    "^(?=.*1)(?=.*a)[ab1]{2,4}$",
    "",
    "^$",
    "(?:a|b-?){2}",
    r"\-|\x61\u0062",
    "^[a-b1_-]+$",
]


@pytest.mark.parametrize("pattern", PATTERNS)
@given(text=TEXTS)
def test_patterns_read_as_python_reads_them(pattern, text):
    if "\n" in text:
        return  # where the two dialects differ; see below
    assert rx.matches(pattern_language(pattern), text) == bool(re.search(pattern, text))


@pytest.mark.parametrize(
    ("pattern", "text"), [("a$", "a\n"), (r"^\d$", "٣"), (r"^\w$", "é"), ("^.$", "\r")]
)
def test_where_dialects_differ_narrow_is_inside_wide(pattern, text):
    assert not rx.matches(pattern_language(pattern), text)
    assert rx.matches(pattern_language(pattern, wide=True), text)


@pytest.mark.parametrize(
    ("pattern", "message"),
    [
        (r"(a)\1", "escape or backreference at character 5"),
        (r"\ba", "a word boundary"),
        ("(?<!a)b", "lookbehind"),
        ("a^b", "an anchor in the middle"),
        ("(a", r"a missing '\)'"),
        ("a)", r"unbalanced '\)'"),
        ("[a", r"a missing '\]'"),
        ("a{3,1}", "these repetitions"),
        ("*a", "nothing to repeat"),
        ("(?i:a)", "this kind of group"),
    ],
)
def test_what_no_language_can_say_is_refused(pattern, message):
    with pytest.raises(LowerError, match=message):
        pattern_language(pattern)


def test_emptiness_and_shortest_texts():
    a, b = pattern_language("^a+$"), pattern_language("^[ab]{3}$")
    both = rx.intersection(a, b)
    assert rx.shortest(both) == "aaa"
    assert rx.is_empty(rx.intersection(both, rx.complement(rx.literal("aaa"))))
    assert not rx.is_empty(rx.complement(both))
    assert rx.finite_texts(b, 10) == frozenset(x + y + z for x in "ab" for y in "ab" for z in "ab")
    assert rx.finite_texts(a, 10) is None


DECIMALS = st.decimals(-30, 30, places=2, allow_nan=False).map(Fraction)


@given(low=DECIMALS, high=DECIMALS, value=DECIMALS, opens=st.tuples(st.booleans(), st.booleans()))
def test_numerals_of_an_interval(low, high, value, opens):
    numbers = Numbers(low, opens[0], high, opens[1])
    above = value > low or (value == low and not opens[0])
    below = value < high or (value == high and not opens[1])
    found = rx.matches(number_language(numbers), decimal_text(value))
    assert found == (above and below)


@given(low=st.integers(-200, 200), size=st.integers(0, 300), value=st.integers(-600, 600))
def test_integers_of_an_interval(low, size, value):
    numbers = Numbers(Fraction(low), False, Fraction(low + size), False, True)
    assert rx.matches(number_language(numbers), str(value)) == (low <= value <= low + size)
