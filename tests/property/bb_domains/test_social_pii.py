"""Laws of the detector: redaction leaves nothing to find, folding hides nothing, spans fit."""

from __future__ import annotations

import random

from hypothesis import given, settings
from hypothesis import strategies as st

from bb_domains.social.people import MAKERS, make_person
from bb_domains.social.pii.find import find_pii, without_pii
from bb_domains.social.pii.people import Person
from bb_domains.social.texts import CLEAN, PERSONAL, write

ANA = Person("Ana Holm", "5 Mill Lane", "ana@example.org", "+44 7700 900123")
WORDS = (
    "Ana Holm|5 Mill Lane|ana@example.org|(at)| dot |call |030 5550123|@|+49|.|"
    "DE89370400440532013000|4111 1111 1111 1111|192.0.2.1|::|born 1/2/1990|219-09-9999"
    "| |\u200b|７|-|ssn |é|(|\n|passport X1234567"
)
PIECES = st.sampled_from(WORDS.split("|"))
TEXTS = st.one_of(st.text(max_size=80), st.lists(PIECES, max_size=10).map("".join))


@given(TEXTS)
@settings(max_examples=150, deadline=None)
def test_spans_lie_in_the_text_in_order_and_apart(text: str) -> None:
    spans = find_pii(text, (ANA,))
    edges = [edge for span in spans for edge in (span.start, span.end)]
    assert edges == sorted(edges)
    assert all(0 <= span.start < span.end <= len(text) for span in spans)


@given(TEXTS)
@settings(max_examples=150, deadline=None)
def test_redacting_comes_to_an_end_without_personal_data(text: str) -> None:
    clean, kinds = without_pii(text, (ANA,))
    assert find_pii(clean, (ANA,)) == ()
    assert (clean == text) == (not kinds)


@given(st.integers(0, 1 << 32), st.sampled_from(sorted(PERSONAL)), st.booleans())
@settings(max_examples=100, deadline=None)
def test_everything_put_into_a_text_is_found_and_nothing_else(
    seed: int, occasion: str, personal: bool
) -> None:
    rng = random.Random(seed)
    people = tuple(make_person(rng) for _ in range(6))
    written = write(
        occasion, ("the regatta", "the late opening"), people[0] if personal else None, rng
    )
    found = [written.text[s.start : s.end] for s in find_pii(written.text, people)]
    assert all(any(value in piece for piece in found) for value in written.private)
    assert all(any(value in piece for value in written.private) for piece in found)


@given(st.integers(0, 1 << 32), st.sampled_from(sorted({*MAKERS} - {"ip", "birthday", "ssn"})))
@settings(max_examples=100, deadline=None)
def test_separators_and_wide_digits_hide_nothing(seed: int, slot: str) -> None:
    rng = random.Random(seed)
    value = MAKERS[slot](rng)
    wide = value.translate({ord("0") + d: ord("０") + d for d in range(10)})
    for form in (
        value,
        value.replace(" ", ""),
        value.replace(" ", "-"),
        wide,
        "\u200b".join(value),
    ):
        text = f"it is {form} for now"
        (span,) = find_pii(text)
        assert text[span.start : span.end] == form


def test_every_occasion_has_texts_of_both_sorts() -> None:
    assert set(CLEAN) == set(PERSONAL)
