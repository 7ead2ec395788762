"""Every way of generating, on every architecture: alpha = 0 is the base, helpers change nothing."""

from __future__ import annotations

import pytest
import torch

HOW = {
    "greedy": {"do_sample": False},
    "sampled": {"do_sample": True, "top_k": 20},
    "beam": {"do_sample": False, "num_beams": 3},
}


def _generate(model, batch, how, **more):
    torch.manual_seed(3)
    return model.generate(**batch, max_new_tokens=6, eos_token_id=None, **how, **more).tolist()


@pytest.mark.slow
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("how", HOW)
def test_without_alpha_generation_is_the_base(
    architecture, dtype, how, make_base, make_dual, tokenizer, text
):
    batch = tokenizer([text[:60], text[:90]], return_tensors="pt", padding=True)
    dual = make_dual(architecture)
    dual.base.to(dtype)
    dual.set_alpha_budget(0.0)
    want = _generate(make_base(architecture).to(dtype), batch, HOW[how])
    assert _generate(dual, batch, HOW[how]) == want


@pytest.mark.slow
@pytest.mark.parametrize("mixer", ["linear", "gru", "attention"])
def test_helped_decoding_changes_nothing(
    architecture, mixer, make_base, make_dual, tokenizer, text
):
    dual = make_dual(architecture, mixer=mixer, library={"skills": 4, "rank": 2})
    batch = tokenizer([text[:80]], return_tensors="pt")
    want = _generate(dual, batch, HOW["greedy"])
    for help_ in ({"prompt_lookup_num_tokens": 4}, {"assistant_model": make_base("llama", seed=1)}):
        assert _generate(dual, batch, HOW["greedy"], **help_) == want
    base = make_base(architecture)
    alone = _generate(base, batch, HOW["greedy"])
    assert _generate(base, batch, HOW["greedy"], assistant_model=dual) == alone


@pytest.mark.parametrize("how", HOW)
def test_without_alpha_generation_is_the_base_on_one(how, make_base, make_dual, tokenizer, text):
    batch = tokenizer([text[:60], text[:90]], return_tensors="pt", padding=True)
    dual = make_dual()
    dual.set_alpha_budget(0.0)
    assert _generate(dual, batch, HOW[how]) == _generate(make_base("llama"), batch, HOW[how])


def test_assisted_decoding_changes_nothing_on_one(make_base, make_dual, tokenizer, text):
    dual, batch = make_dual(), tokenizer([text[:80]], return_tensors="pt")
    want = _generate(dual, batch, HOW["greedy"])
    helper = {"assistant_model": make_base("llama", seed=1)}
    assert _generate(dual, batch, HOW["greedy"], **helper) == want
