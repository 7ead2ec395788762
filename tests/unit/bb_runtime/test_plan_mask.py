"""PlanMask and batched decoding on a tiny untrained model."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch
from transformers import LogitsProcessorList

from bb_core.errors import BBError, UsageError
from bb_core.plan import parse_plan
from bb_runtime.check import check_plan
from bb_runtime.decode import decode_plans
from bb_runtime.errors import MaskError
from bb_runtime.plan_mask import PlanLanguage, PlanMask

REQUESTS = ["refund order 1042", "a much longer request about something else entirely", "x"] * 4


def allowed_after(language, tokenizer, text: str) -> set[bytes]:
    """The tokens a row allows after it has written `text`, byte by byte."""
    row = language.start()
    for byte in text.encode():
        token = language.token_bytes.index(bytes([byte]))
        assert row.consume(token), f"{chr(byte)!r} is masked"
    words = np.zeros(language.n_words, dtype=np.int32)
    row.fill(words)
    bits = np.unpackbits(words.view(np.uint8), bitorder="little")
    return {language.token_bytes[i] for i in np.flatnonzero(bits)}


@pytest.fixture(scope="module")
def language(tokenizer, shop):
    return PlanLanguage(tokenizer, shop, 600)


LOGIN = '{"plan":[{"id":"a","tool":"login","args":{}}'
ORDER = LOGIN + ',{"id":"b","tool":"get_order","args":{"number":1042}}'


def test_only_admissible_tools_can_be_written(language, tokenizer):
    starts = allowed_after(language, tokenizer, '{"plan":[{"id":"a","tool":"')
    assert {token[:1] for token in starts} == {b"l"}
    starts = allowed_after(language, tokenizer, LOGIN + ',{"id":"b","tool":"')
    assert {token[:1] for token in starts} == {b"g", b"f"}
    starts = allowed_after(language, tokenizer, ORDER + ',{"id":"c","tool":"')
    assert {token[:1] for token in starts} == {b"g", b"f", b"c"}


def test_the_end_is_allowed_only_when_every_handle_is_used(language, tokenizer):
    assert {t[:1] for t in allowed_after(language, tokenizer, LOGIN)} == {b"]", b","}
    assert {t[:1] for t in allowed_after(language, tokenizer, ORDER)} == {b","}


def test_only_the_end_of_sequence_after_the_plan(language, tokenizer):
    assert allowed_after(language, tokenizer, LOGIN + "]}") == {b"<eos>"}


def test_handles_are_those_bound_before(language, tokenizer):
    text = ORDER + ',{"id":"c","tool":"confirm_owner","args":{"order":"$'
    assert {t[:1] for t in allowed_after(language, tokenizer, text)} == {b"b"}


def test_a_key_is_bound_once(language, tokenizer):
    text = ORDER + ',{"id":"c","tool":"get_order","args":{"number":104'
    assert b"2" not in allowed_after(language, tokenizer, text)
    assert b"3" in allowed_after(language, tokenizer, text)


def test_steps_that_no_longer_fit_are_masked(tokenizer, shop):
    tight = PlanLanguage(tokenizer, shop, 60)
    assert {t[:1] for t in allowed_after(tight, tokenizer, LOGIN)} == {b"]"}


@pytest.mark.parametrize("temperature", [0.0, 1.0, 20.0])
@pytest.mark.parametrize("budget", [47, 150, 500])
def test_every_plan_finishes_and_passes_the_checker(model, tokenizer, shop, temperature, budget):
    decoded = decode_plans(
        model, tokenizer, REQUESTS[:6], shop, max_new_tokens=budget, temperature=temperature
    )
    assert len(decoded) == 6
    for answer in decoded:
        assert answer.finished and answer.tokens <= budget
        check_plan(shop, answer.text)


def test_beams_pass_the_checker(model, tokenizer, shop):
    batch = tokenizer(["ask", "ask again"], return_tensors="pt", padding=True, padding_side="left")
    output = model.generate(
        input_ids=batch["input_ids"],
        attention_mask=batch["attention_mask"],
        max_new_tokens=200,
        num_beams=3,
        do_sample=False,
        pad_token_id=tokenizer.pad_token_id,
        logits_processor=LogitsProcessorList([PlanMask(tokenizer, shop, 200)]),
    )
    for row in output[:, batch["input_ids"].shape[1] :]:
        check_plan(shop, tokenizer.decode(row, skip_special_tokens=True))


def test_drafts_give_the_plan_of_plain_greedy(model, tokenizer, shop):
    prompt = tokenizer(
        ['{"plan":[{"id":"a","tool":"login","args":{}}]} again:'], return_tensors="pt"
    )
    texts = []
    for options in ({}, {"prompt_lookup_num_tokens": 4}):
        mask = PlanMask(tokenizer, shop, 200)
        out = model.generate(
            input_ids=prompt["input_ids"],
            attention_mask=prompt["attention_mask"],
            max_new_tokens=200,
            do_sample=False,
            pad_token_id=tokenizer.pad_token_id,
            logits_processor=LogitsProcessorList([mask]),
            **options,
        )
        texts.append(
            tokenizer.decode(out[0, prompt["input_ids"].shape[1] :], skip_special_tokens=True)
        )
    assert texts[0] == texts[1]


def test_greedy_plans_do_not_depend_on_batch_or_order(model, tokenizer, shop):
    together = decode_plans(model, tokenizer, REQUESTS, shop, max_new_tokens=150, batch_size=12)
    alone = decode_plans(model, tokenizer, REQUESTS[2::-1], shop, max_new_tokens=150, batch_size=1)
    assert [a.text for a in together[:3]] == [a.text for a in alone][::-1]
    assert together[0].text == together[3].text


def test_a_seed_makes_samples_repeatable(model, tokenizer, shop):
    def texts(seed: int) -> list[str]:
        options = {"max_new_tokens": 300, "temperature": 1.0, "seed": seed}
        return [a.text for a in decode_plans(model, tokenizer, REQUESTS[:2], shop, **options)]

    assert texts(5) == texts(5) != texts(6)


def test_without_masks_an_unfinished_text_says_so(model, tokenizer):
    (answer,) = decode_plans(model, tokenizer, ["x"], masks=False, max_new_tokens=8)
    assert not answer.finished and answer.tokens == 8 and answer.seconds > 0
    with pytest.raises(json.JSONDecodeError):
        json.loads(answer.text)


def test_progress_counts_every_row(model, tokenizer):
    seen = []
    decode_plans(
        model,
        tokenizer,
        REQUESTS,
        masks=False,
        max_new_tokens=2,
        batch_size=5,
        on_batch=seen.append,
    )
    assert seen == [5, 5, 2]


def test_shares_of_the_wall_time_add_up(model, tokenizer, shop):
    answers = decode_plans(model, tokenizer, REQUESTS, shop, max_new_tokens=100, batch_size=4)
    assert len({a.seconds for a in answers}) == 3, "one share per batch"
    assert all(parse_plan(a.text).steps for a in answers)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({}, "masks need a domain; give one, or masks=False"),
        ({"masks": False, "max_new_tokens": 0}, "max_new_tokens is 0; use 1 or more"),
        ({"masks": False, "batch_size": 0}, "batch_size is 0"),
        ({"masks": False, "temperature": -1.0}, "temperature is -1.0"),
        ({"masks": False, "temperature": float("nan")}, "temperature is nan"),
    ],
)
def test_impossible_options(model, tokenizer, options, message):
    with pytest.raises(UsageError, match=message):
        decode_plans(model, tokenizer, ["x"], **options)


def test_a_budget_below_the_shortest_plan_is_refused(tokenizer, shop):
    with pytest.raises(MaskError, match="budget of 46 tokens may not suffice.*give at least 47"):
        PlanMask(tokenizer, shop, 46)


def test_a_prompt_that_leaves_no_room_is_refused(model, tokenizer):
    with pytest.raises(BBError, match="do not fit in the model's 4096 positions; shorten"):
        decode_plans(model, tokenizer, ["x" * 9000], masks=False, max_new_tokens=8)


def test_evaluation_mode_is_given_back(model, tokenizer):
    model.train()
    decode_plans(model, tokenizer, ["x"], masks=False, max_new_tokens=1)
    assert model.training
    model.eval()


def test_a_token_across_the_boundary_of_a_step_is_allowed(tokenizer, shop):
    """The step grammar reaches to the next choice of a tool, so `}},{"` may be one token."""
    language = PlanLanguage(tokenizer, shop, 600)
    crossing = [t for t in language.token_bytes if t.startswith(b"}") and b"," in t]
    assert crossing, "the tokenizer of the tests has such a token"
    text = LOGIN[:-2]
    assert set(crossing) & allowed_after(language, tokenizer, text)


def test_the_mask_of_a_whole_batch(tokenizer, shop):
    mask = PlanMask(tokenizer, shop, 100)
    scores = mask(torch.zeros(3, 2, dtype=torch.long), torch.zeros(3, len(tokenizer) + 5))
    finite = scores.isfinite()
    assert finite.any(dim=1).all() and not finite[:, len(tokenizer) :].any()
