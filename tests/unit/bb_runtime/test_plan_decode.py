"""Decoding with few calls: what is forced is not asked for, and nothing else changes."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import pytest
import torch

from bb_runtime import plan_decode
from bb_runtime.check import check_plan
from bb_runtime.decode import decode_plans
from bb_runtime.plan_decode import decode_rows
from bb_runtime.plan_mask import PlanLanguage

REQUESTS = ["refund order 1042", "a much longer request about something else entirely", "x"]


class Counted(torch.nn.Module):
    """A model that counts its calls."""

    def __init__(self, model):
        super().__init__()
        self.inner, self.calls, self.widths, self.rows = model, 0, [], []

    def forward(self, **inputs):
        self.calls += 1
        self.rows.append(inputs["input_ids"].shape[0])
        self.widths.append(inputs["input_ids"].shape[1])
        return self.inner(**inputs)


def prompts(tokenizer, texts):
    tokenizer.padding_side = "left"
    batch = tokenizer(texts, return_tensors="pt", padding=True)
    return batch["input_ids"], batch["attention_mask"]


def test_one_row_is_asked_for_its_choices_only(model, tokenizer, shop):
    counted = Counted(model)
    (row,) = decode_rows(
        counted, PlanLanguage(tokenizer, shop, 300), *prompts(tokenizer, REQUESTS[:1]), 0.0
    )
    assert counted.calls == row.chosen
    assert row.chosen <= 0.7 * len(row.tokens)
    assert max(counted.widths[1:]) > 5, "what was forced is read together"


def test_rows_of_a_batch_wait_for_each_other(model, tokenizer, shop):
    counted = Counted(model)
    rows = decode_rows(
        counted, PlanLanguage(tokenizer, shop, 300), *prompts(tokenizer, REQUESTS), 0.0
    )
    assert counted.calls < max(len(row.tokens) for row in rows)
    for row in rows:
        assert row.tokens[-1] == tokenizer.eos_token_id
        check_plan(shop, tokenizer.decode(row.tokens[:-1]))


def test_a_row_that_has_ended_leaves_the_batch(model, tokenizer, shop):
    counted, language = Counted(model), PlanLanguage(tokenizer, shop, 300)
    torch.manual_seed(0)
    written = decode_rows(counted, language, *prompts(tokenizer, REQUESTS * 2), 1.0)
    lengths = sorted(len(row.tokens) for row in written)
    assert lengths[0] < lengths[-1]
    read = sum(
        rows * width for rows, width in zip(counted.rows[1:], counted.widths[1:], strict=True)
    )
    assert read <= sum(lengths)
    assert counted.rows[-1] < 6


def test_the_tokens_chosen_are_counted(model, tokenizer, shop):
    (masked,) = decode_plans(model, tokenizer, ["x"], shop, max_new_tokens=200)
    assert 0 < masked.chosen < masked.tokens
    (free,) = decode_plans(model, tokenizer, ["x"], masks=False, max_new_tokens=8)
    assert free.chosen == free.tokens == 8


def one_at_a_time(monkeypatch):
    """Have every call read one token for each row."""
    read = plan_decode._read

    def slowly(model, ids, attention, cache):
        past = attention.shape[1] - ids.shape[1]
        for at in range(ids.shape[1]):
            seen = attention[:, : past + at + 1]
            scores, cache = read(model, ids[:, at : at + 1], seen, cache)
        return scores, cache

    monkeypatch.setattr(plan_decode, "_read", slowly)


def dual_rail():
    """A dual rail with random weights and its byte tokenizer, from the rails' own tests."""
    place = Path(__file__).parent.parent / "bb_nn" / "conftest.py"
    spec = importlib.util.spec_from_file_location("rail_parts", place)
    parts = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(parts)
    from bb_nn.config import DualRailConfig
    from bb_nn.rail import DualRailForCausalLM

    tokenizer = parts.byte_tokenizer()
    config = DualRailConfig(width=16, heads=2, skills=3)
    base = parts.tiny_base("llama")
    torch.manual_seed(1)
    dual = DualRailForCausalLM.from_base(base, tokenizer, config, parts.hand_made_lanes())
    torch.nn.init.normal_(dual.rail.outward.weight)
    return dual.eval(), tokenizer


@pytest.mark.parametrize("rails", [1, 2])
@pytest.mark.parametrize("count", [1, 3])
def test_reading_together_changes_nothing(monkeypatch, model, tokenizer, shop, rails, count):
    if rails == 2:
        model, tokenizer = dual_rail()
    language = PlanLanguage(tokenizer, shop, 250)
    ids, attention = prompts(tokenizer, REQUESTS[:count])
    together = decode_rows(model, language, ids, attention, 0.0)
    one_at_a_time(monkeypatch)
    assert decode_rows(model, language, ids, attention, 0.0) == together
