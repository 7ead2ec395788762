"""A tiny random base on disk, and traces of api_json made without a service."""

import random
import shutil
from pathlib import Path

import pytest

from bb_core.trace import Trace, TraceStep, save_traces, trace_plan

SCHEMA = Path(__file__).parents[2] / "unit" / "bb_train" / "tracking.yaml"


@pytest.fixture(scope="session")
def traces():
    """Forty single-goal workflows; the results are not needed for training."""
    from bb_domains.api_json.skins import skins
    from bb_domains.api_json.workflows import plan_for
    from bb_domains.wordings import Goal, render

    rng = random.Random(0)
    made = []
    for i in range(40):
        goals = (Goal("track", {"number": rng.randint(1000, 9999)}),)
        skin = skins().draw("train", rng)
        steps = tuple(TraceStep(s.tool, dict(s.args), {}, True, 0.0) for s in plan_for(goals).steps)
        made.append(Trace(f"train-{i:05d}", "api_json", skin.name, render(skin, goals, rng), steps))
    return made


@pytest.fixture(scope="session")
def tiny_base(tmp_path_factory, traces):
    """Folder of a two-layer Llama of width 32 with a byte-level BPE trained on the traces."""
    import torch
    from tokenizers import ByteLevelBPETokenizer
    from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

    from bb_core.plan import plan_text

    bpe = ByteLevelBPETokenizer()
    texts = [trace.request + plan_text(trace_plan(trace)) for trace in traces]
    bpe.train_from_iterator(texts, vocab_size=400, special_tokens=["<eos>", "<pad>"])
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=bpe._tokenizer, eos_token="<eos>", pad_token="<pad>"
    )
    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=len(tokenizer),
        hidden_size=32,
        intermediate_size=64,
        num_hidden_layers=2,
        num_attention_heads=2,
        num_key_value_heads=2,
        max_position_embeddings=1024,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
    )
    folder = tmp_path_factory.mktemp("base")
    LlamaForCausalLM(config).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


@pytest.fixture(scope="session")
def domain_folder(tmp_path_factory):
    """The part of api_json that the traces use."""
    folder = tmp_path_factory.mktemp("domain")
    shutil.copy(SCHEMA, folder / "plan_schema.yaml")
    return folder


@pytest.fixture
def training(tmp_path, traces, tiny_base, domain_folder):
    """Makes raw configurations of short runs; `training(method=…, **changes)`."""
    save_traces(tmp_path / "train.jsonl", traces)

    def make(method, **changes):
        return {
            "method": method,
            "out": str(tmp_path / "run"),
            "base": str(tiny_base),
            "data": {
                "train": str(tmp_path / "train.jsonl"),
                "domain": str(domain_folder),
                "max_tokens": 256,
            },
            "optim": {"lr": 5e-3, "steps": 8, "batch_size": 4},
            "lora": {"parameters": 3000} if method == "lora" else {},
            "log_every": 1,
            "autocast": "no",
            **changes,
        }

    return make
