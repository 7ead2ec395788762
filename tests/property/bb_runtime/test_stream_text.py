"""Streamed parts join to the whole text, whatever the tokens and however they arrive."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from bb_runtime.stream_text import StreamText

TEXTS = st.text(st.sampled_from('ab \n{}"é€😀0'), max_size=24)
STOPS = st.lists(st.text("ab{é", min_size=1, max_size=4), max_size=3)


def stream(tokenizer, tokens, cuts, stop):
    told = StreamText(tokenizer, stop)
    parts, start = [], 0
    for end in [*sorted({c % (len(tokens) + 1) for c in cuts}), len(tokens)]:
        parts.append(told.add(tokens[start:end], is_last=end == len(tokens)))
        start = end
    assert "".join(parts) == told.text
    return told, parts


@given(text=TEXTS, cuts=st.lists(st.integers(0, 100), max_size=8))
def test_parts_join_to_the_text(tokenizer, text, cuts):
    tokens = tokenizer(text)["input_ids"]
    told, parts = stream(tokenizer, tokens, cuts, [])
    assert told.text == text
    assert all("�" not in part for part in parts)


@given(text=TEXTS, cuts=st.lists(st.integers(0, 100), max_size=8), stop=STOPS)
def test_the_first_stop_string_to_be_complete_ends_the_text(tokenizer, text, cuts, stop):
    tokens = tokenizer(text)["input_ids"]
    told, _ = stream(tokenizer, tokens, cuts, stop)
    met = [(at + len(word), at) for word in stop if (at := text.find(word)) >= 0]
    assert told.text == (text[: min(met)[1]] if met else text)
    assert told.is_stopped == bool(met)


@given(
    data=st.lists(st.integers(0, 255), max_size=12), cuts=st.lists(st.integers(0, 20), max_size=6)
)
def test_bytes_that_are_no_text_are_decoded_as_a_whole(tokenizer, data, cuts):
    alphabet = {tokenizer.convert_ids_to_tokens(i): i for i in range(len(tokenizer))}
    from transformers.convert_slow_tokenizer import bytes_to_unicode

    tokens = [alphabet[bytes_to_unicode()[byte]] for byte in data]
    told, _ = stream(tokenizer, tokens, cuts, [])
    assert told.text == bytes(data).decode(errors="replace")
