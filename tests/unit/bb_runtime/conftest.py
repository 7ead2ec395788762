"""A byte-complete tokenizer, a tiny untrained model, and a small shop with its service."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

from bb_domains.domain import Domain, load_domain

TEXT = [
    '{"plan":[{"id":"a","tool":"login","args":{}},{"id":"b","tool":"get_order","args":{"number":1042}},'
    '{"id":"c","tool":"refund_order","args":{"order":"$b.id","amount":12.50}}]}',
    "### Request\nPlease refund 25.50 for order 1042, it arrived damaged.\n### Plan\n",
] * 8


@pytest.fixture(scope="session")
def tokenizer() -> PreTrainedTokenizerFast:
    backend = Tokenizer(models.BPE())
    backend.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    backend.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=400,
        special_tokens=["<eos>", "<pad>"],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    backend.train_from_iterator(TEXT, trainer)
    return PreTrainedTokenizerFast(tokenizer_object=backend, eos_token="<eos>", pad_token="<pad>")


@pytest.fixture(scope="session")
def model(tokenizer: PreTrainedTokenizerFast) -> LlamaForCausalLM:
    """An untrained Llama whose logits are wider than the tokenizer's vocabulary."""
    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=len(tokenizer) + 7,
        hidden_size=32,
        intermediate_size=48,
        num_hidden_layers=2,
        num_attention_heads=4,
        max_position_embeddings=4096,
        initializer_range=0.3,
        bos_token_id=None,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
    )
    return LlamaForCausalLM(config).eval()


@pytest.fixture(scope="session")
def shop() -> Domain:
    return load_domain(Path(__file__).parent / "shop")


class ShopService:
    """What stands behind the tools of the shop: answers, failures by tool, and a list of calls."""

    def __init__(self) -> None:
        self.calls: list[tuple[str, dict[str, Any], str | None]] = []
        self.failures: dict[str, BaseException] = {}
        self.total = 100.0

    def call(
        self, tool: str, args: Mapping[str, Any], idempotency_key: str | None = None
    ) -> dict[str, Any]:
        self.calls.append((tool, dict(args), idempotency_key))
        if tool in self.failures:
            raise self.failures[tool]
        if tool == "get_order":
            number = args["number"]
            return {"id": f"o{number}", "total": self.total, "email": "ana@example.com"}
        if tool == "find_customer":
            return {"id": "c1", "email": args["email"]}
        return {"ok": True}

    @property
    def tools(self) -> list[str]:
        return [tool for tool, _, _ in self.calls]


@pytest.fixture
def service() -> ShopService:
    return ShopService()


PLAN = (
    '{"plan":[{"id":"a","tool":"login","args":{}},'
    '{"id":"b","tool":"get_order","args":{"number":1042}},'
    '{"id":"c","tool":"confirm_owner","args":{"order":"$b.id","email":"ana@example.com"}},'
    '{"id":"d","tool":"refund_order","args":{"order":"$b.id","amount":12.07,"reason":"late"}}]}'
)


@pytest.fixture(scope="session")
def plan_json() -> str:
    """A plan that the shop admits."""
    return PLAN
