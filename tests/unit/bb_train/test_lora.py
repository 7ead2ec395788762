import pytest
import torch
from peft.tuners.lora import LoraLayer

from bb_core.errors import BBError
from bb_train.config import LoraShape
from bb_train.lora import attach_lora, linear_layers, solve_ranks


def trainable(model):
    return sum(p.numel() for p in model.parameters() if p.requires_grad)


def test_linear_layers_are_all_but_the_head(tiny_model):
    layers = linear_layers(tiny_model)
    assert len(layers) == 2 * 7
    assert layers["model.layers.0.mlp.down_proj"] == (24, 16)
    assert not any("lm_head" in name for name in layers)


@pytest.mark.parametrize("parameters", [600, 1000, 1234, 2500])
def test_attached_adapters_meet_the_count(tiny_model, parameters):
    smallest = min(n + m for n, m in linear_layers(tiny_model).values())
    model = attach_lora(tiny_model, LoraShape(parameters=parameters))
    assert parameters <= trainable(model) < parameters + smallest
    scales = {m.scaling["default"] for m in model.modules() if isinstance(m, LoraLayer)}
    assert scales == {2.0}


def test_gpt2_layers_are_found_though_they_are_transposed():
    from transformers import GPT2Config, GPT2LMHeadModel

    config = GPT2Config(n_embd=16, n_layer=1, n_head=2, vocab_size=50, n_positions=16)
    model = GPT2LMHeadModel(config)
    assert linear_layers(model)["transformer.h.0.attn.c_attn"] == (16, 48)
    assert trainable(attach_lora(model, LoraShape(rank=2))) == 2 * (64 + 32 + 80 + 80)


def test_an_untrained_adapter_changes_nothing(tiny_model):
    ids = torch.arange(6)[None]
    before = tiny_model(input_ids=ids).logits
    assert torch.equal(attach_lora(tiny_model, LoraShape(rank=3))(input_ids=ids).logits, before)


@pytest.mark.parametrize("parameters", [1, 10**6])
def test_counts_out_of_reach_name_the_reachable_ones(tiny_model, parameters):
    layers = linear_layers(tiny_model)
    with pytest.raises(BBError, match=r"lora.parameters: no LoRA .* ask for \d+ to \d+"):
        solve_ranks(layers, parameters)
