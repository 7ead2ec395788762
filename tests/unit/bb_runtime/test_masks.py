"""GrammarMask on a tiny untrained model: greedy, sampled, beams, drafts, bad constraints."""

from __future__ import annotations

import json
import re

import jsonschema
import numpy as np
import pytest
import torch
from transformers import LogitsProcessorList

from bb_runtime.errors import MaskError
from bb_runtime.masks import GrammarMask, apply_masks, unpack_on_device, wrap_tokenizer

LARK = 'start: "go " ROAD ("," ROAD)*\nROAD: /[A-Z][0-9]{1,3}/ & ~/A1/'
PATTERN = re.compile(r"go (?!A1(,|$))[A-Z][0-9]{1,3}(,(?!A1(,|$))[A-Z][0-9]{1,3})*")
SCHEMA = {
    "type": "object",
    "properties": {
        "city": {"type": "string", "minLength": 1, "maxLength": 6},
        "level": {"enum": ["low", "high"]},
    },
    "required": ["city", "level"],
    "additionalProperties": False,
}
BOUNDED = 'start: "go " /[A-Z]/ ("," /[0-9]{3}/){1,3}'


def texts(model, tokenizer, mask, prompts, **options):
    batch = tokenizer(prompts, return_tensors="pt", padding=True, padding_side="left")
    options = {
        "max_new_tokens": 60,
        "pad_token_id": tokenizer.pad_token_id,
        "do_sample": False,
    } | options
    out = model.generate(
        input_ids=batch["input_ids"].to(model.device),
        attention_mask=batch["attention_mask"].to(model.device),
        logits_processor=LogitsProcessorList([mask]),
        **options,
    )
    generated = out[:, batch["input_ids"].shape[1] :]
    return [tokenizer.decode(row, skip_special_tokens=True) for row in generated], generated


@pytest.mark.parametrize("temperature", [0.5, 1.0, 5.0])
def test_sampling_stays_in_the_grammar(model, tokenizer, temperature):
    torch.manual_seed(1)
    mask = GrammarMask(tokenizer, lark=BOUNDED)
    found, rows = texts(
        model, tokenizer, mask, ["x", "a longer one"] * 8, do_sample=True, temperature=temperature
    )
    assert all(re.fullmatch(r"go [A-Z](,[0-9]{3}){1,3}", text) for text in found)
    assert all(tokenizer.eos_token_id in row for row in rows)
    assert len(set(found)) > 4


def test_unfinished_text_is_a_prefix_of_the_grammar(model, tokenizer):
    found, _ = texts(model, tokenizer, GrammarMask(tokenizer, lark=LARK), ["x"], max_new_tokens=9)
    assert PATTERN.match(found[0] + "Z9" if found[0].endswith(",") else found[0])


def test_json_schema_output_validates(model, tokenizer):
    torch.manual_seed(2)
    mask = GrammarMask(tokenizer, json_schema=SCHEMA)
    found, _ = texts(model, tokenizer, mask, ["a", "bb", "ccc"], do_sample=True, max_new_tokens=120)
    assert len(found) == 3
    for text in found:
        jsonschema.validate(json.loads(text), SCHEMA)


def test_without_the_mask_the_model_babbles(model, tokenizer):
    batch = tokenizer(["x"], return_tensors="pt")
    out = model.generate(**batch, max_new_tokens=20, do_sample=False)
    assert not tokenizer.decode(out[0, 1:]).startswith("go ")


@pytest.mark.parametrize("beams", [2, 5])
def test_beams_stay_in_the_grammar(model, tokenizer, beams):
    mask = GrammarMask(tokenizer, lark=BOUNDED)
    found, _ = texts(
        model,
        tokenizer,
        mask,
        ["x", "another"],
        num_beams=beams,
        num_return_sequences=2,
        length_penalty=0.0,
    )
    assert len(found) == 4
    assert all(re.fullmatch(r"go [A-Z](,[0-9]{3}){1,3}", text) for text in found)


def test_more_beams_than_the_grammar_has_tokens(model, tokenizer):
    mask = GrammarMask(tokenizer, lark='start: "one" | "two"')
    found, _ = texts(model, tokenizer, mask, ["x"], num_beams=6)
    assert found[0] in {"one", "two"}


def test_drafts_give_the_same_text_as_plain_greedy(model, tokenizer):
    plain, _ = texts(model, tokenizer, GrammarMask(tokenizer, lark=BOUNDED), ["x go R,111,222"])
    drafted, _ = texts(
        model,
        tokenizer,
        GrammarMask(tokenizer, lark=BOUNDED),
        ["x go R,111,222"],
        prompt_lookup_num_tokens=4,
    )
    assert drafted == plain


def test_one_mask_serves_several_generate_calls(model, tokenizer):
    mask = GrammarMask(tokenizer, lark=BOUNDED)
    first = texts(model, tokenizer, mask, ["x", "yy"])[0]
    assert texts(model, tokenizer, mask, ["x", "yy"])[0] == first
    assert texts(model, tokenizer, mask, ["x" + first[0] + " again"])[0][0].startswith("go ")


def test_rows_do_not_depend_on_their_batch(model, tokenizer):
    prompts = ["x", "a longer prompt", "zz"]
    together = texts(model, tokenizer, GrammarMask(tokenizer, lark=BOUNDED), prompts)[0]
    alone = [
        texts(model, tokenizer, GrammarMask(tokenizer, lark=BOUNDED), [prompt])[0][0]
        for prompt in prompts
    ]
    assert together == alone


def test_tokens_beyond_the_tokenizers_vocabulary_are_masked(tokenizer):
    mask = GrammarMask(tokenizer, lark='start: "a"')
    scores = torch.zeros(1, 600)
    masked = mask(torch.zeros(1, 1, dtype=torch.long), scores)
    assert masked.isfinite().nonzero()[:, 1].tolist() == [tokenizer.convert_tokens_to_ids("a")]
    assert scores.isfinite().all(), "the caller's logits are left alone"


def test_fewer_logits_than_tokens_in_the_mask(tokenizer):
    mask = GrammarMask(tokenizer, lark='start: "!"')
    masked = mask(torch.zeros(1, 1, dtype=torch.long), torch.zeros(1, 40))
    assert masked.shape == (1, 40) and masked.isfinite().sum() == 1


def test_only_the_end_after_a_complete_text(tokenizer):
    mask = GrammarMask(tokenizer, lark='start: "a"')
    a, end = tokenizer.convert_tokens_to_ids("a"), tokenizer.eos_token_id
    ids = torch.tensor([[5]])
    mask(ids, torch.zeros(1, 400))
    masked = mask(torch.tensor([[5, a]]), torch.zeros(1, 400))
    assert masked.isfinite().nonzero()[:, 1].tolist() == [end]
    masked = mask(torch.tensor([[5, a, end]]), torch.zeros(1, 400))
    assert masked.isfinite().nonzero()[:, 1].tolist() == sorted([end, tokenizer.pad_token_id])


def test_a_mask_that_allows_nothing_is_an_error():
    with pytest.raises(MaskError, match="row 1 has no token left to choose"):
        apply_masks(torch.zeros(2, 32), np.array([[4], [0]], dtype=np.int32))


def test_other_processors_may_not_take_the_last_token(model, tokenizer):
    with pytest.raises(MaskError, match="no token left to choose; remove other processors"):
        texts(model, tokenizer, GrammarMask(tokenizer, lark='start: "a"'), ["x"], min_new_tokens=9)


def test_a_forbidden_token_in_a_row_is_an_error(tokenizer):
    mask = GrammarMask(tokenizer, lark='start: "a"')
    mask(torch.tensor([[5]]), torch.zeros(1, 400))
    with pytest.raises(MaskError, match="row 0 holds token 9, which its mask forbids"):
        mask(torch.tensor([[5, 9]]), torch.zeros(1, 400))


@pytest.mark.parametrize(
    ("constraint", "message"),
    [
        ({}, "exactly one constraint is needed"),
        ({"lark": 'start: "a"', "json_schema": {}}, "exactly one constraint is needed"),
        ({"lark": 'start: "a'}, "the Lark grammar is refused: .*lexer error"),
        ({"lark": "start: foo"}, 'the Lark grammar is refused: .*unknown name: "foo"'),
        ({"lark": "start: X\nX: /a/ & /b/"}, "the Lark grammar allows no text at all"),
        ({"json_schema": True}, "must be an object here, not True"),
        ({"json_schema": {"type": "strng"}}, "not valid at /type"),
        ({"json_schema": {"type": "string", "maxLenght": 3}}, "unknown keyword 'maxLenght' at /,"),
        (
            {"json_schema": {"properties": {"a": {"minimun": 3}}}},
            "unknown keyword 'minimun' at /properties/a",
        ),
        (
            {"json_schema": {"not": {"uniqueItems": True}}},
            "refused at /not/uniqueItems: 'uniqueItems' cannot be negated",
        ),
        ({"json_schema": {"type": "integer", "minimum": 5, "maximum": 3}}, "allows no value"),
    ],
)
def test_bad_constraints_are_errors(tokenizer, constraint, message):
    with pytest.raises(MaskError, match=message):
        GrammarMask(tokenizer, **constraint)


def test_a_tokenizer_without_an_end_is_refused(tokenizer):
    endless = type(tokenizer)(tokenizer_object=tokenizer.backend_tokenizer)
    with pytest.raises(MaskError, match="no end-of-sequence token"):
        wrap_tokenizer(endless)


def test_both_ways_of_unpacking_agree():
    octets = np.random.default_rng(0).integers(0, 256, (3, 40), dtype=np.uint8)
    expected = np.unpackbits(octets, axis=1, bitorder="little").astype(bool)
    assert (unpack_on_device(torch.from_numpy(octets)).numpy() == expected).all()


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
def test_masks_on_a_gpu(model, tokenizer):
    from copy import deepcopy

    mask = GrammarMask(tokenizer, lark=BOUNDED)
    found, _ = texts(deepcopy(model).cuda(), tokenizer, mask, ["x", "longer"])
    assert all(re.fullmatch(r"go [A-Z](,[0-9]{3}){1,3}", text) for text in found)
