"""Rows that share calls read what they would read alone, however they join, leave and grow."""

from __future__ import annotations

from random import Random

import pytest
import torch
from transformers import (
    AutoModelForCausalLM,
    Gemma2Config,
    GPT2Config,
    LlamaConfig,
    MambaConfig,
    MistralConfig,
    Qwen2Config,
)

from bb_core.errors import BBError
from bb_nn.config import DualRailConfig
from bb_nn.rail import DualRailForCausalLM
from bb_runtime.batching import open_batch
from bb_runtime.batching_padded import PaddedBatch
from bb_runtime.batching_slots import IMPLEMENTATION, SHORT, SlotBatch, is_attention_only

SIZES = {
    "vocab_size": 90, "hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 3,
    "num_attention_heads": 4, "max_position_embeddings": 512, "initializer_range": 0.3,
    "bos_token_id": None, "eos_token_id": 0, "pad_token_id": 1,
}  # fmt: skip
CONFIGS = {
    "llama": LlamaConfig(**SIZES),
    "grouped": LlamaConfig(**SIZES | {"num_key_value_heads": 2}),
    "window": MistralConfig(**SIZES | {"num_key_value_heads": 2, "sliding_window": 5}),
    "layers": Qwen2Config(
        **SIZES, num_key_value_heads=2, use_sliding_window=True, sliding_window=4,
        max_window_layers=1,
    ),
    "gpt2": GPT2Config(
        vocab_size=90, n_embd=32, n_layer=2, n_head=4, n_positions=512, initializer_range=0.3,
        bos_token_id=0, eos_token_id=0,
    ),
    "softcap": Gemma2Config(**SIZES | {"head_dim": 8, "sliding_window": 6}),
}  # fmt: skip


def make(name):
    torch.manual_seed(1)
    return AutoModelForCausalLM.from_config(CONFIGS[name]).eval()


def random_life(model, batch, steps=40, rows=5):
    """Open, fork, feed and close at random; every logit must be that of the text alone."""
    rng = Random(3)
    texts: list[list[int]] = []
    waiting: list[list[int]] = []
    for _ in range(steps):
        while len(texts) < rows and rng.random() < 0.4:
            batch.open()
            texts.append([])
            waiting.append([rng.randrange(2, 90) for _ in range(rng.randint(1, 30))])
        if not texts:
            continue
        fed = batch.feed(waiting)
        for row, take in enumerate(fed.taken):
            assert 1 <= take <= len(waiting[row])
            texts[row] += waiting[row][:take]
            waiting[row] = waiting[row][take:]
        assert batch.lengths == [len(text) for text in texts]
        for row, text in enumerate(texts):
            alone = model(torch.tensor([text])).logits[0, -1].float()
            torch.testing.assert_close(fed.logits[row], alone, atol=2e-4, rtol=1e-4)
        if len(texts) < rows and rng.random() < 0.3:
            row = rng.randrange(len(texts))
            batch.fork(row)
            texts.append(list(texts[row]))
            waiting.append(list(waiting[row]))
        for row in reversed(range(len(texts))):
            if rng.random() < 0.15 or len(texts[row]) > 100:
                batch.close(row)
                for held in (texts, waiting):
                    held[row] = held[-1]
                    held.pop()
        for held in waiting:
            if not held:
                held += [rng.randrange(2, 90) for _ in range(rng.choice([1, 1, 1, 3, SHORT + 4]))]


@pytest.mark.parametrize("name", ["llama", "grouped", "window", "layers", "gpt2"])
def test_packed_rows_read_as_if_alone(name):
    model = make(name)
    assert is_attention_only(model)
    with torch.no_grad():
        random_life(model, SlotBatch(model, 5, 256, 24))


@pytest.mark.parametrize("name", ["grouped", "window", "softcap"])
def test_padded_rows_read_as_if_alone(name):
    model = make(name)
    with torch.no_grad():
        random_life(model, PaddedBatch(model))


def test_rows_of_the_dual_rail_read_as_if_alone(tokenizer):
    torch.manual_seed(2)
    config = LlamaConfig(**SIZES | {"vocab_size": len(tokenizer)})
    base = AutoModelForCausalLM.from_config(config)
    wanted = DualRailConfig(width=16, heads=2, window=7, alpha_start=0.5, alpha_budget=0.9)
    rail = DualRailForCausalLM.from_base(base, tokenizer, wanted).eval()
    with torch.no_grad():
        for parameter in rail.rail.parameters():
            parameter.add_(torch.randn_like(parameter) * 0.1)
        batch = open_batch(rail, 5, 256, 24)
        assert isinstance(batch, PaddedBatch)
        random_life(rail, batch, steps=30)


def test_softcaps_and_state_spaces_are_not_packed():
    assert not is_attention_only(make("softcap"))
    assert isinstance(open_batch(make("softcap"), 2, 64, 8), PaddedBatch)
    config = MambaConfig(vocab_size=90, hidden_size=16, num_hidden_layers=1, state_size=4)
    mamba = AutoModelForCausalLM.from_config(config).eval()
    with pytest.raises(BBError, match="cannot be shared by rows; serve a model with attention"):
        open_batch(mamba, 2, 64, 8)


def test_the_model_attends_as_before_afterwards():
    model = make("llama")
    before = model.config._attn_implementation
    batch = SlotBatch(model, 2, 64, 8)
    batch.open()
    batch.feed([[3, 4]])
    assert model.config._attn_implementation == before != IMPLEMENTATION


def test_slots_grow_to_what_is_used_and_stay():
    model = make("llama")
    batch = SlotBatch(model, 3, 300, 1000)
    sizes = []
    for _ in range(3):
        for _ in range(3):
            batch.open()
        for _ in range(4):
            batch.feed([[5] * 70] * 3)
        sizes.append(batch.size_bytes)
        for row in (2, 0, 0):
            batch.close(row)
    assert sizes[0] == sizes[1] == sizes[2] == 2 * 3 * (3 * 300 * 32) * 4
    batch.open()
    with pytest.raises(BBError, match="1 rows of 301 tokens do not fit 3 of 300; admit less"):
        batch.feed([[5] * 301])
