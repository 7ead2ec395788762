"""Final states and heads of real architectures: with the LM head they give the model's logits."""

import pytest
import torch
import transformers as hf
from peft import LoraConfig, get_peft_model

from bb_nn.config import DualRailConfig
from bb_nn.rail import DualRailForCausalLM
from bb_runtime.plan_mask import PlanLanguage
from bb_train.lora import quiet_peft
from bb_train.objectives.errors import ObjectiveError
from bb_train.objectives.forbidden import cfs_energy, grammar_masks
from bb_train.objectives.vocabulary import (
    final_states,
    nll_of,
    vocabulary_head,
    vocabulary_rows,
)

COMMON = {"vocab_size": 300, "hidden_size": 16, "intermediate_size": 24, "num_hidden_layers": 2}
COMMON |= {"num_attention_heads": 2, "num_key_value_heads": 1, "head_dim": 8, "pad_token_id": 0}
SMALL = {"n_embd": 16, "n_layer": 2, "n_head": 2, "vocab_size": 300}
CONFIGS = {
    "llama": lambda: hf.LlamaConfig(**COMMON),
    "gemma2": lambda: hf.Gemma2Config(**COMMON, final_logit_softcapping=0.5),
    "gpt2": lambda: hf.GPT2Config(**SMALL, bos_token_id=0, eos_token_id=0),
}
IDS = torch.tensor([[5, 6, 7, 8], [9, 10, 11, 12]])


def base_of(name):
    torch.manual_seed(0)
    return hf.AutoModelForCausalLM.from_config(CONFIGS[name]()).eval().requires_grad_(False)


@pytest.mark.parametrize("name", CONFIGS)
def test_head_of_final_states_are_the_models_logits(name):
    base = base_of(name)
    states, head = final_states(base, input_ids=IDS), vocabulary_head(base)
    assert states.shape == (2, 4, 16) and head.size == 300
    assert torch.allclose(head.project(states), base(input_ids=IDS).logits, atol=1e-5)


def test_states_of_a_dual_rail_carry_its_gradient_and_those_of_its_base_do_not(tokenizer):
    base = base_of("llama")
    rail = DualRailForCausalLM.from_base(base, tokenizer, DualRailConfig(width=16, heads=2))
    torch.nn.init.normal_(rail.rail.outward.weight)
    states, head = final_states(rail, input_ids=IDS), vocabulary_head(rail)
    assert torch.allclose(head.project(states), rail(input_ids=IDS).logits, atol=1e-5)
    assert states.requires_grad
    alone = final_states(rail.base, input_ids=IDS)
    assert not alone.requires_grad and not torch.allclose(alone, states)


def test_states_of_a_peft_model():
    with quiet_peft():
        model = get_peft_model(base_of("llama"), LoraConfig(r=2, target_modules=["q_proj"]))
    states = final_states(model, input_ids=IDS)
    assert torch.allclose(
        vocabulary_head(model).project(states), model(input_ids=IDS).logits, atol=1e-5
    )


def test_losses_under_autocast_are_those_without_up_to_bfloat16(tokenizer):
    rail = DualRailForCausalLM.from_base(
        base_of("llama"), tokenizer, DualRailConfig(width=16, heads=2)
    )
    head, slopes = vocabulary_head(rail), []
    for enabled in (False, True):
        with torch.autocast("cpu", torch.bfloat16, enabled=enabled):
            states = final_states(rail, input_ids=IDS).flatten(0, 1)
            loss = vocabulary_rows(states, head, [nll_of(IDS.flatten())]).losses[0].mean()
        slopes.append(torch.autograd.grad(loss, rail.rail.outward.weight)[0])
        assert loss.dtype == torch.float32
    assert torch.nn.functional.cosine_similarity(*(g.flatten() for g in slopes), dim=0) > 0.98


def test_a_trained_head_or_a_model_that_does_more_is_refused():
    with pytest.raises(ObjectiveError, match="vocabulary: the LM head is trained; measure on"):
        vocabulary_head(base_of("llama").requires_grad_(True))
    scaled = base_of("llama")
    real = scaled.forward

    def forward(*args, **kwargs):
        out = real(*args, **kwargs)
        out.logits = out.logits * 3
        return out

    scaled.forward = forward
    with pytest.raises(ObjectiveError, match="LlamaForCausalLM does more to its logits"):
        vocabulary_head(scaled)


PLAN = '{"plan":[{"id":"a","tool":"login","args":{}}]}'


def test_masks_of_a_domain_come_from_its_own_plan_rows(domain, tokenizer, tiny_model):
    language = PlanLanguage(tokenizer, domain, max_new_tokens=256)
    ids = [*tokenizer(PLAN)["input_ids"], tokenizer.eos_token_id]
    masks = grammar_masks(language.start, [ids, ids], language.n_words)
    assert masks.shape == (2 * len(ids), language.n_words)
    states = final_states(tiny_model.requires_grad_(False), input_ids=torch.tensor([ids]))[0]
    found = cfs_energy(states, vocabulary_head(tiny_model), masks[: len(ids)])
    assert 0.9 < float(found.term.value) < 1  # a random model; the grammar allows few tokens
    broken = tokenizer(PLAN.replace("login", "logout"))["input_ids"]
    with pytest.raises(ObjectiveError, match="cfs_energy: token .* of plan 0 is forbidden"):
        grammar_masks(language.start, [broken], language.n_words)
