"""The language of a terminal, under the longest match, is the match that Python's `re` takes."""

from __future__ import annotations

import re

import pytest
from hypothesis import HealthCheck, given, reject, settings
from hypothesis import strategies as st

from bb_domains.errors import ProfileError
from bb_domains.json_schema import regex as rx
from bb_domains.profile.pattern import parse_pattern
from bb_domains.profile.preference import chosen
from bb_domains.profile.python_pattern import python_pattern

_leaf = st.sampled_from(["a", "b", "[ab]", "[^a]", ".", "ab", "(?<!a)", "(?<=b)", "\\n"])


def _grow(inner: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    many = st.lists(inner, min_size=1, max_size=3)
    times = st.sampled_from(["*", "+", "?", "*?", "+?", "??", "{1,2}", "{2}?", "{0,2}?"])
    return st.one_of(
        many.map("".join),
        many.map(lambda items: "(?:" + "|".join(items) + ")"),
        st.tuples(inner, times).map(lambda pair: f"(?:{pair[0]}){pair[1]}"),
    )


patterns = st.recursive(_leaf, _grow, max_leaves=8)


def longest(language: rx.Language, text: str) -> str | None:
    found = "" if rx.is_nullable(language) else None
    for i, char in enumerate(text):
        language = rx.derive(language, ord(char))
        if rx.is_nullable(language):
            found = text[: i + 1]
    return found


def language_of(pattern: str) -> rx.Language:
    try:
        return chosen(parse_pattern(pattern, "here"), "here")[0]
    except ProfileError as error:
        if "at the beginning looks at the text before" not in error.what:
            raise
        reject()


@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.filter_too_much])
@given(pattern=patterns, texts=st.lists(st.text("ab\nc", max_size=7), min_size=8, max_size=8))
def test_the_longest_match_is_pythons(pattern: str, texts: list[str]) -> None:
    language = language_of(pattern)
    for text in texts:
        match = re.match(pattern, text)
        assert longest(language, text) == (match[0] if match else None), (pattern, text)


@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.filter_too_much])
@given(pattern=patterns, text=st.text("ab\nc-]\\^/é", max_size=6))
def test_a_language_written_for_python_is_the_same(pattern: str, text: str) -> None:
    language = language_of(pattern)
    if language != rx.NONE:
        assert bool(re.fullmatch(python_pattern(language), text)) == rx.matches(language, text)


@pytest.mark.parametrize(
    ("pattern", "text"),
    [
        ("(?i:k)", "\u212a"),
        ("(?i:s)", "\u017f"),
        ("(?i:[^k])", "\u212a"),
        (r"\s", "\x1c"),
        (r"(?a:\s)", "\x1c"),
        (r"\d", "\u0663"),
        (r"(?a:\w)", "é"),
        (r"[^\W\d_]", "ß"),
        (r"(?i:ß)", "ẞ"),
    ],
)
def test_characters_are_held_for_what_python_holds_them(pattern: str, text: str) -> None:
    language, _ = chosen(parse_pattern(pattern, "here"), "here")
    assert rx.matches(language, text) == bool(re.fullmatch(pattern, text))
