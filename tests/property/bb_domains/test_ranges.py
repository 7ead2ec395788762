"""Number patterns match exactly the canonical texts of their range, greedily too."""

from __future__ import annotations

import json
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bb_domains.numerals import hundredths_text
from bb_domains.ranges import hundredths_pattern, integer_pattern

ends = st.one_of(st.integers(-1200, 1200), st.integers(-(10**7), 10**7))


def around(low: int, high: int) -> st.SearchStrategy[int]:
    near = st.sampled_from([low - 1, low, low + 1, high - 1, high, high + 1])
    return st.one_of(near, st.integers(low, high), ends)


@given(st.data(), ends, ends)
def test_integers(data: st.DataObject, one: int, two: int) -> None:
    low, high = sorted((one, two))
    pattern = re.compile(integer_pattern(low, high))
    number = data.draw(around(low, high))
    assert bool(pattern.fullmatch(str(number))) == (low <= number <= high)
    if low <= number <= high:
        # lark takes the first alternative that matches, so it must be the longest
        found = pattern.match(f"{number}}}")
        assert found is not None and found.group() == str(number)


@given(st.data(), ends, ends)
def test_hundredths(data: st.DataObject, one: int, two: int) -> None:
    low, high = sorted((one, two))
    pattern = re.compile(hundredths_pattern(low, high))
    number = data.draw(around(low, high))
    text = hundredths_text(number)
    assert json.dumps(json.loads(text)) == text
    assert float(text) * 100 == pytest.approx(number)
    assert bool(pattern.fullmatch(text)) == (low <= number <= high)
    if low <= number <= high:
        found = pattern.match(f"{text},")
        assert found is not None and found.group() == text


@given(st.from_regex(r"-?[0-9]{1,4}(\.[0-9]{1,3})?", fullmatch=True))
def test_only_canonical_texts_match(text: str) -> None:
    canonical = json.dumps(json.loads(text)) == text if _is_json(text) else False
    two_places = len(text.partition(".")[2]) <= 2 and not text.endswith(".0")
    matched = bool(re.fullmatch(hundredths_pattern(-(10**8), 10**8), text))
    assert matched == (canonical and two_places and text != "-0")


def _is_json(text: str) -> bool:
    try:
        json.loads(text)
    except ValueError:
        return False
    return True


def test_an_empty_range_is_refused() -> None:
    with pytest.raises(ValueError, match=r"empty range 2\.\.1"):
        integer_pattern(2, 1)
    with pytest.raises(ValueError, match=r"empty range 2\.\.1 hundredths"):
        hundredths_pattern(2, 1)
