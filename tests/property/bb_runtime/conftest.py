"""Another architecture than the unit tests': a tiny untrained GPT-2 over plain bytes."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers
from transformers import GPT2Config, GPT2LMHeadModel, PreTrainedTokenizerFast

from bb_domains.domain import Domain, load_domain

SHOP = Path(__file__).parents[2] / "unit" / "bb_runtime" / "shop"
# Besides the bytes: tokens that end in the middle of words, and tokens that span fixed text.
MERGED = ['"}},{"', '":"', '{"', '","', "get", "_order", "login", '"args":{', "}}]}", "$b", "10"]


@pytest.fixture(scope="session")
def tokenizer() -> PreTrainedTokenizerFast:
    """Greedy longest match over bytes and a few long tokens; its padding is its end."""
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    vocabulary = {token: i for i, token in enumerate(["<end>", *alphabet, *MERGED])}
    backend = Tokenizer(
        models.WordPiece(vocabulary, unk_token="<end>", continuing_subword_prefix="")
    )
    backend.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    backend.decoder = decoders.ByteLevel()
    return PreTrainedTokenizerFast(tokenizer_object=backend, eos_token="<end>", pad_token="<end>")


@pytest.fixture(scope="session")
def model(tokenizer: PreTrainedTokenizerFast) -> GPT2LMHeadModel:
    torch.manual_seed(0)
    config = GPT2Config(
        vocab_size=len(tokenizer),
        n_embd=16,
        n_layer=1,
        n_head=2,
        n_positions=2048,
        initializer_range=0.5,
        bos_token_id=None,
        eos_token_id=tokenizer.eos_token_id,
    )
    return GPT2LMHeadModel(config).eval()


@pytest.fixture(scope="session")
def shop() -> Domain:
    return load_domain(SHOP)
