"""A soft row judges a text as lark's parser does, however the text is cut into tokens."""

from __future__ import annotations

import random

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from lark.exceptions import LarkError

from bb_domains.profile.lowering import lower, mask_grammar
from bb_domains.profile.source import offline_parser, parse_grammar
from bb_runtime.soft import soft_rows

SOURCE = parse_grammar('start: NAME (", " NAME)* "."?\nNAME: /(10|_order|[get]){1,3}/\n')
LARK = mask_grammar(lower(SOURCE))
PARSER = offline_parser(SOURCE)


TEXTS = st.lists(
    st.sampled_from(["get", "_order", "10", "g", "t", "_", ", ", ".", "x"]), max_size=7
)
"""The first three are tokens too, where a cut leaves them whole."""


def is_sentence(text: str) -> bool:
    try:
        PARSER.parse(text)
    except LarkError:
        return False
    return True


def cut(tokenizer, text: str, seed: int) -> list[int]:
    """Tokens of a text, cut at random places."""
    rng, tokens, start = random.Random(seed), [], 0
    while start < len(text):
        end = rng.randint(start + 1, min(len(text), start + 4))
        tokens += tokenizer(text[start:end])["input_ids"]
        start = end
    return tokens


@given(TEXTS.map("".join), st.integers(0, 9))
def test_no_distance_and_a_whole_text_are_a_sentence(tokenizer, text: str, seed: int) -> None:
    row = soft_rows(tokenizer, LARK, 1.0)()
    for token in cut(tokenizer, text, seed):
        assert row.consume(token)
    before = row.energy()
    assert before.in_grammar == is_sentence(text)
    assert (before.distance == 0) or not is_sentence(text)
    twin = row.fork()
    twin.consume(tokenizer.eos_token_id)
    after = twin.energy()
    assert twin.finished and after.in_grammar == before.in_grammar
    assert after.distance == before.distance + (not row.complete)


@given(TEXTS.map("".join), st.integers(0, 9))
def test_what_the_mask_allows_costs_no_distance(tokenizer, text: str, seed: int) -> None:
    row = soft_rows(tokenizer, LARK, 1.0)()
    words = np.zeros((len(tokenizer) + 31) // 32, dtype=np.int32)
    for token in [*cut(tokenizer, text, seed), tokenizer.eos_token_id]:
        row.fill(words)
        is_allowed = bool(words[token // 32] >> token % 32 & 1)
        before = row.distance
        row.consume(token)
        assert (row.distance == before) == is_allowed
