"""A tokenizer and a random model of our own, small enough to make in each test session."""

from pathlib import Path

import pytest

from bb_domains.domain import make_domain
from bb_domains.schema import load_schema


@pytest.fixture(scope="session")
def domain():
    """A small domain: log in, look orders up, track and cancel them."""
    return make_domain(load_schema(Path(__file__).with_name("tracking.yaml")))


@pytest.fixture(scope="session")
def tokenizer():
    """A byte-level BPE of 300 tokens."""
    from tokenizers import ByteLevelBPETokenizer
    from transformers import PreTrainedTokenizerFast

    bpe = ByteLevelBPETokenizer()
    plan = '{"plan":[{"id":"a","tool":"login","args":{}}]}'
    text = [f"### Request\nTrack order 1042.\n### Plan\n{plan}"] * 4
    bpe.train_from_iterator(text, vocab_size=300, special_tokens=["<eos>", "<pad>"])
    return PreTrainedTokenizerFast(
        tokenizer_object=bpe._tokenizer, eos_token="<eos>", pad_token="<pad>"
    )


@pytest.fixture
def tiny_model(tokenizer):
    """A Llama of two layers and width 16 with random weights."""
    import torch
    from transformers import LlamaConfig, LlamaForCausalLM

    torch.manual_seed(0)
    return LlamaForCausalLM(
        LlamaConfig(
            vocab_size=len(tokenizer),
            hidden_size=16,
            intermediate_size=24,
            num_hidden_layers=2,
            num_attention_heads=2,
            num_key_value_heads=1,
            eos_token_id=tokenizer.eos_token_id,
            pad_token_id=tokenizer.pad_token_id,
        )
    )
