"""JSON decoded under a schema: forced tokens, budgets, repeated items, and what ends a text."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch
from transformers import LogitsProcessorList

from bb_domains.json_schema.compile import compile_schema
from bb_runtime.errors import MaskError
from bb_runtime.json_decode import decode_json
from bb_runtime.masks import GrammarMask, n_mask_words, schema_rows, wrap_tokenizer

CALL = {
    "type": "object",
    "properties": {
        "name": {"const": "get_weather"},
        "arguments": {
            "type": "object",
            "properties": {"city": {"type": "string"}, "days": {"type": "integer"}},
            "required": ["city", "days"],
            "additionalProperties": False,
        },
    },
    "required": ["name", "arguments"],
    "additionalProperties": False,
}


@pytest.mark.parametrize("temperature", [0.0, 3.0])
def test_a_call_ends_within_its_budget_and_validates(model, tokenizer, temperature):
    for seed in range(4):
        answer = decode_json(
            model, tokenizer, "x", CALL, max_new_tokens=80, temperature=temperature, seed=seed
        )
        assert answer.value["name"] == "get_weather" and set(answer.value["arguments"]) == {
            "city",
            "days",
        }
        assert json.loads(answer.text) == answer.value and answer.tokens < 80


def test_forced_tokens_cost_no_call(model, tokenizer):
    answer = decode_json(model, tokenizer, "x", {"const": {"a_long_name": [1, 2, 3]}})
    assert answer.value == {"a_long_name": [1, 2, 3]}
    assert answer.forward_calls <= 1 < answer.tokens


def test_a_budget_that_no_text_fits_is_an_error_before_the_first_token(model, tokenizer):
    schema = {"type": "string", "minLength": 90}
    with pytest.raises(MaskError, match="takes 9[0-9] tokens with its end, the budget is 5") as no:
        schema_rows(tokenizer, schema, 5)()
    least = int(no.value.fix.split()[-1])
    answer = decode_json(model, tokenizer, "x", schema, max_new_tokens=least)
    assert len(answer.value) >= 90 and answer.tokens == least - 1
    with pytest.raises(MaskError, match=f"takes {least} tokens with its end"):
        schema_rows(tokenizer, schema, least - 1)()


@pytest.mark.parametrize(
    ("schema", "least"),
    [
        ({"enum": [123456789, "x"]}, 4),
        ({"enum": ["aaaaaaaaaa", "ab"]}, 5),
        ({"enum": [[[[11111]]], {"a": 1}]}, 7),
        ({"type": "array", "not": {"items": {"type": "integer"}}}, 5),
        ({"anyOf": [{"required": ["aaaaaaaa"]}, {"required": ["b"]}], "type": "object"}, 7),
    ],
)
def test_a_text_is_found_where_the_first_choice_leads_to_longer_ones(tokenizer, schema, least):
    row = schema_rows(tokenizer, schema, least)()
    words = np.zeros(n_mask_words(wrap_tokenizer(tokenizer)), dtype=np.int32)
    for left in range(least, 0, -1):
        assert not row.finished, left
        row.fill(words)
        scores = row.within_budget(
            row.allowed_scores(torch.zeros(wrap_tokenizer(tokenizer).vocab_size), len(words))
        )
        assert row.consume(int(scores.argmax()))
    row.check()


def test_what_cannot_end_in_time_is_not_begun_however_far_the_end_is(tokenizer):
    """Free tokens that begin a string of 300 characters are left out from the first on."""
    schema = {"anyOf": [{"type": "null"}, {"type": "string", "minLength": 300}]}
    wrapped = wrap_tokenizer(tokenizer)
    for budget, may_begin in ((200, False), (400, True)):
        row = schema_rows(tokenizer, schema, budget)()
        free = row.allowed_scores(torch.zeros(wrapped.vocab_size), n_mask_words(wrapped))
        left = (row.within_budget(free) > -torch.inf).nonzero()[:, 0].tolist()
        assert any(wrapped.decode_bytes([t]).startswith(b'"') for t in left) == may_begin
        assert left


def test_a_budget_in_generate(model, tokenizer):
    batch = tokenizer(["x", "a longer one"], return_tensors="pt", padding=True, padding_side="left")
    mask = GrammarMask(tokenizer, json_schema=CALL, max_new_tokens=70)
    torch.manual_seed(1)
    out = model.generate(
        **{k: batch[k] for k in ("input_ids", "attention_mask")},
        logits_processor=LogitsProcessorList([mask]),
        max_new_tokens=70,
        do_sample=True,
        temperature=2.0,
        pad_token_id=tokenizer.pad_token_id,
    )
    for row in out[:, batch["input_ids"].shape[1] :]:
        assert json.loads(tokenizer.decode(row, skip_special_tokens=True))["arguments"]


def masked_after(tokenizer, schema, text):
    """Tokens that may follow a text, as bytes."""
    row, wrapped = schema_rows(tokenizer, schema)(), wrap_tokenizer(tokenizer)
    for token in wrapped.tokenize_str(text):
        assert row.consume(token), text
    words = np.zeros(n_mask_words(wrapped), dtype=np.int32)
    row.fill(words)
    bits = np.unpackbits(words.view(np.uint8), bitorder="little")
    return {wrapped.decode_bytes([int(token)]) for token in bits.nonzero()[0]}


@pytest.mark.parametrize(
    ("schema", "text", "end", "other"),
    [
        ({"type": "array", "uniqueItems": True}, '["ab","ab', b'"', b"c"),
        ({"type": "array", "uniqueItems": True}, "[12,12", b"]", b"3"),
        ({"type": "object"}, '{"a":1,"a', b'"', b"b"),
        (
            {"additionalProperties": {"type": "integer"}, "minProperties": 2},
            '{"a":1,"a',
            b'"',
            b"b",
        ),
    ],
)
def test_nothing_repeats_that_may_not(tokenizer, schema, text, end, other):
    allowed = masked_after(tokenizer, schema, text)
    assert end not in allowed and other in allowed
    row = schema_rows(tokenizer, schema)()
    tokens = wrap_tokenizer(tokenizer).tokenize_str(text)
    assert all(row.consume(token) for token in tokens)
    assert not row.consume(wrap_tokenizer(tokenizer).tokenize_bytes(end)[0])


def test_a_fork_goes_its_own_way(tokenizer):
    row = schema_rows(tokenizer, {"type": "array", "uniqueItems": True})()
    tokenize = wrap_tokenizer(tokenizer).tokenize_str
    assert all(row.consume(token) for token in tokenize("[1,"))
    twin = row.fork()
    assert twin.consume(tokenize("2")[0]) and row.consume(tokenize("3")[0])
    assert (twin.text, row.text) == (b"[1,2", b"[1,3")


def test_the_grammar_is_the_same_each_time():
    schema = {"not": {"properties": {"a": {"pattern": "x"}, "b": {"enum": [1, "y"]}}}}
    assert compile_schema(schema).lark == compile_schema(json.loads(json.dumps(schema))).lark
