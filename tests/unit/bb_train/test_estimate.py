"""Counts against real small models, and what autograd keeps against what was estimated."""

import copy

import pytest
import torch
from transformers import AutoModelForCausalLM, LlamaConfig

from bb_core.errors import BBError, UsageError
from bb_train.config import LoraShape
from bb_train.estimate import (
    base_work,
    count_sizes,
    lora_work,
    measured,
    rail_text,
    rail_work,
    standin_rail,
)
from bb_train.gpus import GPUS, find_gpu
from bb_train.lora import attach_lora
from bb_train.published_shapes import base_config
from bb_train.training_plan import plan_lines, plan_training

SHAPE = {
    "num_hidden_layers": 4, "hidden_size": 64, "intermediate_size": 176, "num_attention_heads": 4,
    "num_key_value_heads": 2, "pad_token_id": 0, "bos_token_id": 1, "eos_token_id": 1,
}  # fmt: skip
WITHIN = 0.15  # of what is measured


@pytest.fixture(scope="module")
def small():
    from bb_nn.base import load_base

    _, tokenizer = load_base()
    return LlamaConfig(vocab_size=len(tokenizer), **SHAPE), tokenizer


@pytest.fixture(scope="module")
def rail(small):
    """A real rail beside a real base of that shape."""
    from bb_nn.config import DualRailConfig
    from bb_nn.rail import DualRailForCausalLM
    from bb_train.estimate import _plain_lanes

    torch.manual_seed(0)
    base = AutoModelForCausalLM.from_config(copy.deepcopy(small[0]))
    return DualRailForCausalLM.from_base(
        base, small[1], DualRailConfig(width=32), _plain_lanes()
    ).train()


@pytest.fixture(scope="module")
def standin(small):
    return standin_rail(small[0], {"width": 32})


def test_parameters_are_those_of_real_models(small, rail, standin):
    config = small[0]
    sizes = count_sizes(config, standin, rank=16)
    real = AutoModelForCausalLM.from_config(copy.deepcopy(config))
    assert sizes.base == sizes.active == sum(p.numel() for p in real.parameters())
    assert sizes.experts == 0
    assert sizes.rail == rail.count_trainable()
    lora = attach_lora(real, LoraShape(rank=16))
    assert sizes.lora == sum(p.numel() for p in lora.parameters() if p.requires_grad)


def test_the_rail_keeps_what_was_estimated(small, rail, standin):
    ids = rail_text(rail, 160).repeat(3, 1)
    found = measured(lambda: rail(input_ids=ids, labels=ids).loss, rail)
    thought = rail_work(standin, small[0].vocab_size, 3, 160)
    assert thought.saved_bytes == pytest.approx(found.saved_bytes, rel=WITHIN)


def test_lora_keeps_what_was_estimated(small):
    config = small[0]
    model = AutoModelForCausalLM.from_config(copy.deepcopy(config), dtype=torch.bfloat16)
    lora = attach_lora(model, LoraShape(rank=16)).train()
    ids = torch.randint(config.vocab_size, (3, 96))

    def loss():
        logits = lora(input_ids=ids, use_cache=False).logits[:, :-1].float()
        return torch.nn.functional.cross_entropy(logits.flatten(0, 1), ids[:, 1:].flatten())

    found = measured(loss, lora)
    thought = lora_work(config, 16, 3, 96)
    assert thought.saved_bytes == pytest.approx(found.saved_bytes, rel=WITHIN)


def test_a_pass_of_the_base_costs_two_operations_a_weight_and_token(small):
    config = small[0]
    model = AutoModelForCausalLM.from_config(copy.deepcopy(config))
    linear = [m for m in model.model.modules() if isinstance(m, torch.nn.Linear)]
    matrices = 2 * 128 * sum(m.weight.numel() for m in linear)
    scores = 4 * 2 * (2 * 2 * 4 * 64 * 64 * 16)  # layers, q·k and p·v, of 2 rows and 4 heads
    found = base_work(config, 2, 64).flops
    assert found == pytest.approx(matrices + scores, rel=1e-3)  # and the angles of positions


def test_published_shapes_have_their_published_sizes(standin):
    billions = {
        "openai/gpt-oss-20b": 20.91, "openai/gpt-oss-120b": 116.83,
        "meta-llama/Llama-3.2-1B": 1.236, "meta-llama/Llama-3.1-8B": 8.03,
        "Qwen/Qwen3-0.6B": 0.596,
    }  # fmt: skip
    from bb_train.estimate import meta_base

    for name, wanted in billions.items():
        found = sum(p.numel() for p in meta_base(base_config(name)).parameters())
        assert found / 1e9 == pytest.approx(wanted, rel=2e-3), name


def test_a_mixture_computes_the_chosen_experts_alone():
    from transformers import GptOssConfig

    config = GptOssConfig(
        num_hidden_layers=2, num_local_experts=8, num_experts_per_tok=2, hidden_size=64,
        intermediate_size=64, num_attention_heads=4, num_key_value_heads=2, head_dim=16,
        vocab_size=512, pad_token_id=0,
    )  # fmt: skip
    sizes = count_sizes(config, standin_rail(config, {"width": 32}), rank=4)
    assert sizes.experts == 2 * 8 * (64 * 128 + 128 + 64 * 64 + 64)
    assert sizes.active == sizes.base - sizes.experts * 6 // 8
    few = base_work(config, 1, 32).flops
    config.num_experts_per_tok = 4
    more = base_work(config, 1, 32).flops
    assert more - few == 2 * 2 * 32 * 2 * (64 * 128 + 64 * 64)


def test_the_plan_says_what_was_assumed(small):
    plan = plan_training("small", small[0], find_gpu("H100"), batch=2, length=64, rank=4)
    text = "\n".join(plan_lines(plan))
    assert "assumed: 40% of the peak in the base" in text and "builder rail" in text
    assert plan.later_epoch_s == 2 * 64 * 256 / 3e9  # so small a rail waits for the disk
    assert plan.rail.total_bytes == (
        plan.weight_bytes["bfloat16"] + 16 * plan.sizes.rail + plan.rail.saved_bytes
    )
    assert plan.to_json()["assumed_shares"]["memory"] == 0.7
    assert plan.cached_bytes_per_token == 2 * 64 * 2


def test_what_is_unknown_is_refused(tmp_path):
    with pytest.raises(UsageError, match=r"--gpu: no GPU 'abacus'; use a10g"):
        find_gpu("abacus")
    assert len(GPUS) >= 8
    with pytest.raises(BBError, match=r"no configuration of a base .*openai/gpt-oss-20b"):
        base_config(str(tmp_path))
