"""Tiny random bases of the supported architectures, a byte tokenizer and hand-made lanes."""

from __future__ import annotations

import pytest
import torch
import transformers as hf
from tokenizers import Tokenizer, decoders, models, pre_tokenizers

from bb_nn.lanes import LaneProgram
from bem_kernel.circuits.expression import compile_expression

REQUEST = "### Request\nTrack order 12. Then refund 7 now! Ok.\n### Plan\n"
PLAN = (
    '{"plan":[{"id":"a","tool":"look","args":{"number":12}},'
    '{"id":"b","tool":"track","args":{"order":"$a.id"}},'
    '{"id":"c","tool":"track","args":{"order":"$a.id"}}]}'
)


def byte_tokenizer() -> hf.PreTrainedTokenizerFast:
    """One token a byte, plus an end token."""
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    vocabulary = {ch: i for i, ch in enumerate(alphabet)} | {"<eos>": 256}
    core = Tokenizer(models.BPE(vocab=vocabulary, merges=[]))
    core.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    core.decoder = decoders.ByteLevel()
    return hf.PreTrainedTokenizerFast(
        tokenizer_object=core, eos_token="<eos>", pad_token="<eos>", padding_side="left"
    )


def tiny_config(name: str) -> hf.PretrainedConfig:
    """A three-layer configuration of the named architecture over the byte vocabulary."""
    ids = {"pad_token_id": 256, "eos_token_id": 256, "bos_token_id": 256, "vocab_size": 257}
    common = {"hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 3}
    common |= {"num_attention_heads": 4, **ids}
    grouped = {"num_key_value_heads": 2, "head_dim": 8, **common}
    kinds = ["full_attention", "sliding_attention", "full_attention"]
    experts = {"num_local_experts": 4, "num_experts_per_tok": 2, "layer_types": kinds}
    makers = {
        "llama": lambda: hf.LlamaConfig(**grouped),
        "qwen3": lambda: hf.Qwen3Config(**grouped),
        "mistral": lambda: hf.MistralConfig(**grouped),
        "gemma2": lambda: hf.Gemma2Config(**grouped),
        "gemma3": lambda: hf.Gemma3TextConfig(**grouped),
        "gpt2": lambda: hf.GPT2Config(n_embd=32, n_layer=3, n_head=4, **ids),
        "gpt_neox": lambda: hf.GPTNeoXConfig(**common),
        "gpt_oss": lambda: hf.GptOssConfig(**grouped, **experts),
    }
    return makers[name]()


ARCHITECTURES = ["llama", "qwen3", "mistral", "gemma2", "gemma3", "gpt2", "gpt_neox", "gpt_oss"]


def tiny_base(name: str, seed: int = 0) -> hf.PreTrainedModel:
    """A random model of the named architecture, in evaluation mode."""
    torch.manual_seed(seed)
    return hf.AutoModelForCausalLM.from_config(tiny_config(name)).eval()


def hand_made_lanes() -> LaneProgram:
    """Sentences end at period or exclamation mark plus space or newline; digits mark goals."""
    names = [f"p{i}" for i in range(8)] + [f"c{i}" for i in range(8)]

    def equals(prefix: str, value: int) -> str:
        return "&".join(f"{'' if value >> i & 1 else '!'}{prefix}{i}" for i in range(8))

    ends = " | ".join(
        f"({equals('p', left)} & {equals('c', right)})" for left in b".!" for right in b" \n"
    )
    digits = " | ".join(f"({equals('c', digit)})" for digit in b"0123456789")
    return LaneProgram(
        sentence_end=compile_expression(ends, names),
        goal_mark=compile_expression(digits, names[8:]),
        completes=compile_expression("t1 & !t0", ["t0", "t1"]),
        tools=("look", "track"),
        learned_bits=11,
    )


@pytest.fixture
def tokenizer() -> hf.PreTrainedTokenizerFast:
    return byte_tokenizer()


@pytest.fixture
def lanes() -> LaneProgram:
    return hand_made_lanes()


@pytest.fixture
def text() -> str:
    return REQUEST + PLAN


@pytest.fixture(params=ARCHITECTURES)
def architecture(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def make_base():
    return tiny_base


@pytest.fixture
def make_dual(tokenizer, lanes):
    """A dual rail whose builder rail is random, not silent."""
    from bb_nn.config import DualRailConfig
    from bb_nn.rail import DualRailForCausalLM

    def make(name: str = "llama", **shape):
        config = DualRailConfig(**({"width": 16, "heads": 2, "skills": 3} | shape))
        dual = DualRailForCausalLM.from_base(tiny_base(name), tokenizer, config, lanes).eval()
        torch.nn.init.normal_(dual.rail.outward.weight)
        return dual

    return make
