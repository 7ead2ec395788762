"""Words of a request as the plan would write them."""

from __future__ import annotations

import pytest

from bb_nn.reader import literal_key
from bb_nn.token_bytes import token_bytes
from bb_nn.words import KINDS, entries_of, plan_encoder, words_of


@pytest.mark.parametrize(
    ("text", "kind", "spelled"),
    [
        ("to ada.brun@example.com.", "address", "ada.brun@example.com"),
        ("order #1042, please", "integer", "1042"),
        ("pay $86.70!", "decimal", "86.7"),
        ("pay 13.00 now", "decimal", "13"),
        ("in Mount Ashmouth.", "phrase", "Mount Ashmouth"),
        ("make it express", "lower", "express"),
    ],
)
def test_a_word_is_found_and_spelled_as_in_a_plan(text, kind, spelled):
    assert (kind, spelled) in [(KINDS[k], word) for _, _, k, word in words_of(text.encode())]


def test_entries_spell_the_word_token_by_token(tokenizer):
    table = token_bytes(tokenizer)
    prompt = "### Request\nPay 86.70 to bo.\n### Plan\n"
    pieces = [table[i] for i in tokenizer(prompt)["input_ids"]]
    found = entries_of([pieces], plan_encoder(tokenizer, table), table)
    assert found.valid.all()
    by_prefix = dict(zip(found.prefix[0].tolist(), found.ids[0].tolist(), strict=True))
    assert table[by_prefix[literal_key(b"86")]] == b"."
    assert table[by_prefix[literal_key(b"b")]] == b"o"
    start = prompt.index("86.70")
    first = found.ids[0].tolist().index(tokenizer.convert_tokens_to_ids("8"))
    assert (found.first[0, first], found.last[0, first]) == (start, start + 4)


def test_nothing_can_be_copied_before_the_plan_begins(tokenizer):
    table = token_bytes(tokenizer)
    pieces = [table[i] for i in tokenizer("### Request\nPay 86.70 to bo.")["input_ids"]]
    assert not entries_of([pieces], plan_encoder(tokenizer, table), table).valid.any()
