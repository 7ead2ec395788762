"""Soft grammar energy: a price for leaving a grammar, per channel, and never for plans."""

from __future__ import annotations

import math
from pathlib import Path

import pytest
import torch
from transformers import LogitsProcessorList

from bb_domains.domain import load_domain, make_domain
from bb_domains.errors import DomainError, ProfileError, SchemaError
from bb_domains.profile.channels import channel, channel_grammar
from bb_domains.schema import load_schema, parse_schema, schema_data
from bb_runtime.channels import channel_processor
from bb_runtime.errors import MaskError
from bb_runtime.masks import GrammarMask, wrap_tokenizer
from bb_runtime.soft import SoftGrammar, grammar_energy

LARK = 'start: "Dear " NAME "." \nNAME: /[A-Z][a-z]{1,5}/'
SHOP = Path(__file__).parent / "shop"


def write(model, tokenizer, processor, n: int = 6, seed: int = 0):
    torch.manual_seed(seed)
    batch = tokenizer(["hello"] * n, return_tensors="pt")
    processors = LogitsProcessorList([processor] if processor else [])
    out = model.generate(
        **{k: v for k, v in batch.items() if k != "token_type_ids"},
        logits_processor=processors,
        do_sample=True,
        max_new_tokens=24,
        pad_token_id=tokenizer.pad_token_id,
    )
    texts = tokenizer.batch_decode(out[:, batch["input_ids"].shape[1] :], skip_special_tokens=True)
    return out, texts


def test_a_dearer_grammar_is_left_less(model, tokenizer) -> None:
    means = []
    for weight in (0.5, 4.0, 30.0):
        soft = SoftGrammar(tokenizer, LARK, weight)
        out, _ = write(model, tokenizer, soft)
        means.append(sum(soft.distances(out)) / 6)
    assert means[0] > means[1] > means[2] == 0.0


def test_a_high_price_is_a_mask_and_the_texts_are_of_the_grammar(model, tokenizer) -> None:
    _, soft = write(model, tokenizer, SoftGrammar(tokenizer, LARK, 100.0))
    _, hard = write(model, tokenizer, GrammarMask(tokenizer, lark=LARK))
    assert soft == hard
    assert all(text.startswith("Dear ") and text.endswith(".") for text in soft)


def test_the_penalty_is_exactly_the_weight_on_what_is_not_allowed(tokenizer) -> None:
    soft = SoftGrammar(tokenizer, 'start: "a"', 3.0)
    scores = torch.zeros(1, len(tokenizer) + 7)
    after = soft(torch.tensor([tokenizer("x")["input_ids"]]), scores)
    allowed = (after == 0.0).nonzero()[:, 1].tolist()
    assert allowed == tokenizer("a")["input_ids"]
    assert set(after.unique().tolist()) == {-3.0, 0.0}


def test_energy_is_the_probability_that_the_grammar_loses(tokenizer) -> None:
    ids = torch.tensor([*tokenizer("a")["input_ids"], tokenizer.eos_token_id])
    n = len(tokenizer) + 7
    logits = torch.zeros(2, n)
    found = grammar_energy(tokenizer, 'start: "a"', logits, ids)
    assert found.nats == pytest.approx(2 * math.log(n), rel=1e-5)
    assert (found.distance, found.tokens) == (0, 2)
    logits = torch.full((2, n), -50.0)
    logits[range(2), ids] = 50.0
    assert grammar_energy(tokenizer, 'start: "a"', logits, ids).nats == pytest.approx(0.0, abs=1e-4)


def test_the_grammar_waits_where_it_was_left(tokenizer) -> None:
    def distance(text: str, end: bool = True) -> int:
        ids = [t for c in text for t in tokenizer(c)["input_ids"]]
        ids += [tokenizer.eos_token_id] if end else []
        logits = torch.zeros(len(ids), len(tokenizer))
        return grammar_energy(tokenizer, 'start: "abc"', logits, torch.tensor(ids)).distance

    assert distance("abc") == 0
    assert distance("abxc") == 1
    assert distance("xaybzc") == 3
    assert distance("ab") == 1
    assert distance("ab", end=False) == 0
    assert distance("abcc") == 1


def test_what_follows_the_end_is_not_judged(tokenizer) -> None:
    eos = tokenizer.eos_token_id
    ids = torch.tensor([*tokenizer("a")["input_ids"], eos, eos, eos])
    found = grammar_energy(tokenizer, 'start: "a"', torch.zeros(4, len(tokenizer)), ids)
    assert (found.distance, found.tokens) == (0, 2)


@pytest.mark.parametrize("weight", [0.0, -1.0, math.inf, math.nan])
def test_a_weight_that_is_no_penalty_is_refused(tokenizer, weight: float) -> None:
    with pytest.raises(MaskError, match="is no penalty"):
        SoftGrammar(tokenizer, LARK, weight)


def test_bad_grammars_and_shapes_are_refused(tokenizer) -> None:
    with pytest.raises(MaskError, match="the Lark grammar is refused"):
        SoftGrammar(tokenizer, "start: nothing", 1.0)
    with pytest.raises(MaskError, match=r"\(3, 5\) logits for \(2,\) tokens"):
        grammar_energy(tokenizer, LARK, torch.zeros(3, 5), torch.zeros(2, dtype=torch.int64))
    wrap_tokenizer(tokenizer)


@pytest.fixture
def chatty(tmp_path: Path):
    (tmp_path / "post.lark").write_text('start: WORD+ "."\nWORD: /[a-z]+/\n%ignore " "\n')
    (tmp_path / "note.peg").write_text('note <- [a-z]+ " " [0-9]+ !.\n')
    channels = {
        "post": {"mode": "soft", "grammar": "post.lark", "weight": 1.5},
        "note": {"mode": "hard", "grammar": "note.peg"},
        "chat": {"mode": "off"},
    }
    data = {**schema_data(load_schema(SHOP / "plan_schema.yaml")), "channels": channels}
    return make_domain(parse_schema(data), tmp_path)


def test_each_channel_has_its_own_strictness(chatty, model, tokenizer) -> None:
    assert isinstance(channel_processor(chatty, "post", tokenizer), SoftGrammar)
    assert channel_processor(chatty, "chat", tokenizer) is None
    hard = channel_processor(chatty, "note", tokenizer)
    _, texts = write(model, tokenizer, hard)
    assert all(text[0].islower() for text in texts)
    plan = channel_processor(chatty, "plan", tokenizer)
    assert isinstance(plan, GrammarMask)
    _, texts = write(model, tokenizer, plan, n=2)
    assert all(text.startswith('{"plan":[') for text in texts)


def test_plans_are_hard_whatever_a_schema_says(chatty) -> None:
    assert channel(chatty, "plan").mode == "hard"
    data = {**schema_data(chatty.schema), "channels": {"plan": {"mode": "off"}}}
    with pytest.raises(SchemaError, match="plans are always hard-masked; remove it"):
        parse_schema(data)
    data["channels"] = {"post": {"mode": "soft"}}
    with pytest.raises(SchemaError, match="a soft channel needs a grammar; name its file"):
        parse_schema(data)


def test_unknown_channels_and_missing_grammars_are_refused(chatty) -> None:
    with pytest.raises(DomainError, match="no channel 'mail'; channels are plan, post, note, chat"):
        channel(chatty, "mail")
    with pytest.raises(ProfileError, match="channels.chat: has no grammar of its own"):
        channel_grammar(chatty, "chat")
    assert load_domain(SHOP).schema.channels == {}
