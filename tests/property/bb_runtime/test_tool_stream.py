"""Calls read from a stream are the same however the text is cut."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bb_runtime.http.tool_row import TAG
from bb_runtime.http.tool_stream import CallBegun, CallGoesOn, CallReader, Said

VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(alphabet='ab"\\{}[],: é<>☃', max_size=8),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(["a", "name", "arguments", '"', "{"]), inner, max_size=3)
    ),
    max_leaves=6,
)
CALLS = st.lists(
    st.tuples(st.sampled_from(["f", "get_order", "x.y-z"]),
              st.dictionaries(st.text(max_size=3), VALUES, max_size=3)),
    min_size=1, max_size=3,
)  # fmt: skip


def read(form, pieces, name=""):
    """What all events together say: the text, and name and arguments of each call."""
    reader, said, calls = CallReader(form, name), "", []
    for number, piece in enumerate(pieces):
        for event in reader.add(piece, is_last=number == len(pieces) - 1):
            match event:
                case Said(text):
                    assert not calls
                    said += text
                case CallBegun(index, called):
                    assert index == len(calls)
                    calls.append([called, ""])
                case CallGoesOn(index, arguments):
                    assert index == len(calls) - 1
                    calls[index][1] += arguments
    assert reader.n_calls == len(calls)
    return said, [(called, arguments) for called, arguments in calls]


def cut(text, places):
    ends = sorted({min(place, len(text)) for place in places} | {len(text)})
    return [text[a:b] for a, b in zip([0, *ends], ends, strict=False)]


def written(calls, compact):
    separators = (",", ":") if compact else (", ", " : ")
    found = [{"name": name, "arguments": arguments} for name, arguments in calls]
    return json.dumps(found, separators=separators, ensure_ascii=False)


@given(CALLS, st.booleans(), st.lists(st.integers(0, 200), max_size=12))
def test_a_list_of_calls_is_read_the_same_for_every_cut(calls, compact, places):
    said, found = read("list", cut(written(calls, compact), places))
    assert said == ""
    assert [(name, json.loads(text)) for name, text in found] == calls


@given(st.text(alphabet="<tool_call> ab", max_size=20), CALLS,
       st.lists(st.integers(0, 200), max_size=12))  # fmt: skip
def test_text_before_the_tag_is_said_and_the_tag_is_not(before, calls, places):
    before = before.replace(TAG, "")
    text = before + TAG + written(calls, True)
    at = text.index(TAG)  # the text before may end with part of a tag, and so begin one earlier
    said, found = read("tagged", cut(text, places))
    assert said == text[:at]
    if at == len(before):
        assert [(name, json.loads(arguments)) for name, arguments in found] == calls


@given(st.text(alphabet="<tool_call> ab", max_size=30), st.lists(st.integers(0, 30), max_size=8))
def test_text_without_a_tag_is_said_whole(text, places):
    if TAG not in text:
        assert read("tagged", cut(text, places)) == (text, [])


@given(st.dictionaries(st.text(max_size=3), VALUES, max_size=3),
       st.lists(st.integers(0, 99), max_size=8))  # fmt: skip
def test_the_arguments_of_a_named_call_are_handed_on(arguments, places):
    text = json.dumps(arguments)
    assert read("arguments", cut(text, places), "f") == ("", [("f", text)])


def test_every_character_may_be_a_chunk_of_its_own():
    text = (
        f'Sure.{TAG}[{{"name":"f","arguments":{{"a":"}}]\\""}}}},{{"name":"g","arguments":{{}}}}]'
    )
    expected = ("Sure.", [("f", '{"a":"}]\\""}'), ("g", "{}")])
    assert read("tagged", list(text)) == read("tagged", [text]) == expected


@pytest.mark.parametrize("end", range(1, 40))
def test_an_answer_that_was_cut_off_loses_nothing_it_said(end):
    text = f'ab{TAG}[{{"name":"f","arguments":{{"a":1}}}}]'
    said, calls = read("tagged", list(text[:end]))
    whole = read("tagged", [text[:end]])
    assert (said, calls) == whole
    if end < 2 + len(TAG):
        assert said == text[:end]
