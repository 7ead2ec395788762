"""Soft rows in the engine: priced, judged, and beside rows that are masked, free, or soft too."""

from __future__ import annotations

import math

import pytest
import torch
from transformers import LogitsProcessorList

from bb_runtime.constrain_logits import constrain_logits
from bb_runtime.constraints import keep_to_lark, keep_to_plans, keep_to_regex
from bb_runtime.engine import Engine, EngineLimits, Sampling
from bb_runtime.generation import Generation
from bb_runtime.job import Job, Soft
from bb_runtime.masks import n_mask_words, wrap_tokenizer
from bb_runtime.soft import SoftGrammar, grammar_energy, soft_rows
from bb_runtime.text_row import open_row

LARK = 'start: "Dear " NAME "." \nNAME: /[A-Z][a-z]{1,5}/'
DIGITS = "start: /[0-9]{2,40}/"
PROMPT = "### Request\nrefund order 7\n### Plan\n"


@pytest.fixture
def engine(model, tokenizer):
    made = Engine(model, tokenizer, "tiny")
    yield made
    assert made.close(20)


def logits_of(model, tokenizer, prompt, tokens):
    """(tokens, vocabulary) logits from which each token was drawn."""
    before = tokenizer(prompt)["input_ids"]
    with torch.no_grad():
        found = model(torch.tensor([[*before, *tokens]])).logits[0].float()
    return found[len(before) - 1 : -1]


def priced(row, logits, n_words):
    """The logits of one row, its mask filled."""
    import numpy as np

    row.words = np.zeros(n_words, dtype=np.int32)
    row.state.fill(row.words)
    return constrain_logits([row], logits.clone())


def a_row(tokenizer, constraint, sampling=None):
    job = Job([1], sampling or Sampling(8), constraint, Generation(1, 1, None))
    return open_row(job, 0, tokenizer)


@pytest.mark.parametrize("temperature", [0.0, 1.3], ids=["greedy", "sampled"])
@pytest.mark.parametrize("packed", [True, False], ids=["packed", "padded"])
def test_rows_of_all_kinds_share_a_batch(model, tokenizer, temperature, packed) -> None:
    kinds = {
        "soft": soft_rows(tokenizer, LARK, 3.0),
        "other soft": soft_rows(tokenizer, DIGITS, 8.0),
        "hard": keep_to_regex(tokenizer, "[a-f]{3,30}"),
        "free": None,
    }
    how = Sampling(24, temperature=temperature, top_p=0.9, seed=5)
    engine = Engine(model, tokenizer, "tiny", EngineLimits(packed=packed))
    alone = {name: engine.complete(PROMPT, how, kind)[0] for name, kind in kinds.items()}
    asked = {name: engine.submit(PROMPT, how, kind) for name, kind in kinds.items()}
    for name, generation in asked.items():
        (made,) = generation.result(30)
        assert made.tokens == alone[name].tokens
        if name in ("hard", "free"):
            assert made.energy is None
        else:
            assert made.energy is not None and made.energy.tokens == len(made.tokens)
            assert made.energy.nats == pytest.approx(alone[name].energy.nats, rel=1e-3)
    assert len({made.text for made in alone.values()}) == 4
    assert engine.close(20)


@pytest.mark.parametrize("weight", [1.0, 6.0])
def test_greedy_texts_are_those_of_generate(model, tokenizer, engine, weight) -> None:
    made = engine.complete(PROMPT, Sampling(20), soft_rows(tokenizer, LARK, weight))[0]
    prompt = tokenizer(PROMPT, return_tensors="pt")["input_ids"]
    soft = SoftGrammar(tokenizer, LARK, weight)
    out = model.generate(
        input_ids=prompt, attention_mask=torch.ones_like(prompt), do_sample=False,
        max_new_tokens=20, logits_processor=LogitsProcessorList([soft]),
        pad_token_id=tokenizer.pad_token_id,
    )  # fmt: skip
    assert list(made.tokens) == out[0, prompt.shape[1] :].tolist()
    assert soft.distances(out) == [made.energy.distance]


def test_the_energy_is_that_of_the_text(model, tokenizer, engine) -> None:
    how = Sampling(30, temperature=1.0, seed=3, n=4)
    energies = []
    for made in engine.complete(PROMPT, how, soft_rows(tokenizer, LARK, 2.5)):
        logits = logits_of(model, tokenizer, PROMPT, made.tokens)
        expected = grammar_energy(tokenizer, LARK, logits, torch.tensor(made.tokens))
        assert made.energy.nats == pytest.approx(expected.nats, rel=1e-4)
        assert (made.energy.distance, made.energy.tokens, made.energy.in_grammar) == (
            expected.distance, expected.tokens, expected.in_grammar,
        )  # fmt: skip
        energies.append(made.energy.nats)
    assert len(set(energies)) == 4 and min(energies) > 1.0


def test_a_dearer_grammar_is_left_less(tokenizer, engine) -> None:
    found = []
    for weight in (0.5, 4.0, 60.0):
        how = Sampling(24, temperature=1.0, seed=1, n=8)
        made = engine.complete(PROMPT, how, soft_rows(tokenizer, LARK, weight))
        found.append(sum(one.energy.distance for one in made))
    assert found[0] > found[1] > found[2] == 0
    assert all(one.energy.in_grammar and one.text.startswith("Dear ") for one in made)


def test_the_price_is_taken_before_the_temperature_and_told_in_the_logprobs(
    model, tokenizer, engine
) -> None:
    weight = 2.0
    how = Sampling(6, temperature=0.7, seed=2, logprobs=3)
    made = engine.complete(PROMPT, how, soft_rows(tokenizer, LARK, weight))[0]
    logits = logits_of(model, tokenizer, PROMPT, made.tokens)
    row = a_row(tokenizer, soft_rows(tokenizer, LARK, weight))
    n_words = n_mask_words(wrap_tokenizer(tokenizer))
    for scores, told, token in zip(logits, made.logprobs, made.tokens, strict=True):
        after = priced(row, scores[None], n_words)[0]
        assert told.logprob == pytest.approx(float(after.log_softmax(0)[token]), abs=1e-4)
        change = (scores - after).round(decimals=3)
        assert set(change.unique().tolist()) == {0.0, weight}
        row.state.consume(token)


def test_a_token_outside_is_chosen_where_it_is_likelier_by_more_than_the_price(tokenizer) -> None:
    inside, outside = (tokenizer(c)["input_ids"][0] for c in "ax")
    n_words = n_mask_words(wrap_tokenizer(tokenizer))
    for lead, expected in ((2.9, inside), (3.1, outside)):
        logits = torch.full((1, len(tokenizer) + 7), -20.0)
        logits[0, inside], logits[0, outside] = 1.0, 1.0 + lead
        row = a_row(tokenizer, soft_rows(tokenizer, 'start: "a"', 3.0))
        assert int(priced(row, logits, n_words).argmax()) == expected
        assert row.energy.nats == pytest.approx(math.log1p(math.exp(lead)), rel=1e-4)


def test_nothing_is_forced_in_a_soft_row(tokenizer, engine) -> None:
    only = 'start: "always the same words"'
    hard = engine.complete(PROMPT, Sampling(40), keep_to_lark(tokenizer, only))[0]
    forced = engine.stats().forced_tokens
    assert hard.text == "always the same words" and forced == len(hard.tokens)
    soft = engine.complete(PROMPT, Sampling(40), soft_rows(tokenizer, only, 90.0))[0]
    assert soft.text == hard.text and soft.energy.in_grammar
    assert engine.stats().forced_tokens == forced and soft.energy.nats > 10


def test_a_text_that_is_cut_is_not_one_of_the_grammar(tokenizer, engine) -> None:
    soft = soft_rows(tokenizer, LARK, 90.0)
    cut = engine.complete(PROMPT, Sampling(2), soft)[0]
    whole = engine.complete(PROMPT, Sampling(40), soft)[0]
    assert (cut.reason, cut.energy.distance, cut.energy.in_grammar) == ("length", 0, False)
    assert (whole.reason, whole.energy.distance, whole.energy.in_grammar) == ("stop", 0, True)
    late = engine.submit(PROMPT, Sampling(8), soft, deadline_s=0.0).result(20)[0]
    assert late.reason == "deadline"


def test_tokens_that_only_the_model_has_are_outside_and_its_ends_are_ends(tokenizer) -> None:
    beyond, end = len(tokenizer) + 3, tokenizer.pad_token_id
    row = soft_rows(tokenizer, 'start: "a" "b"?', 1.0, [end, beyond + 1])()
    n_words = n_mask_words(wrap_tokenizer(tokenizer))
    words = torch.zeros(n_words, dtype=torch.int32).numpy()
    row.fill(words)
    assert not words[end // 32] >> end % 32 & 1
    assert row.consume(beyond) and row.distance == 1
    assert row.consume(tokenizer("a")["input_ids"][0]) and row.distance == 1
    row.fill(words)
    assert words[end // 32] >> end % 32 & 1
    twin = row.fork()
    twin.consume(end)
    assert twin.finished and not row.finished and twin.distance == 1
    assert row.consume(beyond + 1) and row.finished and row.distance == 1


def test_masks_and_plans_are_no_soft_rows(tokenizer, shop) -> None:
    assert isinstance(soft_rows(tokenizer, LARK, 1.0)(), Soft)
    for hard in (keep_to_lark(tokenizer, LARK), keep_to_plans(tokenizer, shop, 400)):
        assert not isinstance(hard(), Soft)
