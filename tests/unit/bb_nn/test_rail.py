"""The dual rail as a Hugging Face model."""

from __future__ import annotations

import pytest
import torch
from transformers import LogitsProcessor

from bb_nn.config import DualRailConfig
from bb_nn.errors import BaseRailError


def _ids(tokenizer, text):
    return torch.tensor([tokenizer(text)["input_ids"]])


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@torch.no_grad()
def test_no_gate_budget_is_exactly_the_base(
    architecture, dtype, make_base, make_dual, tokenizer, text
):
    ids = torch.cat([_ids(tokenizer, text), _ids(tokenizer, text).flip(1)])
    mask = torch.ones_like(ids)
    mask[1, :7] = 0
    want = make_base(architecture).to(dtype)(input_ids=ids, attention_mask=mask).logits
    dual = make_dual(architecture)
    dual.base.to(dtype)
    dual.set_alpha_budget(0.0)
    assert torch.equal(dual(input_ids=ids, attention_mask=mask).logits, want)
    dual.set_alpha_budget(0.05)
    assert not torch.equal(dual(input_ids=ids, attention_mask=mask).logits, want)


@torch.no_grad()
def test_cached_passes_equal_one_pass(architecture, make_dual, tokenizer, text):
    dual, ids = make_dual(architecture), _ids(tokenizer, text)
    want = dual(input_ids=ids).logits
    cache, parts = dual.new_cache(), []
    for chunk in (ids[:, :40], ids[:, 40:41], ids[:, 41:90], *ids[:, 90:].split(1, dim=1)):
        parts.append(dual(input_ids=chunk, past_key_values=cache, use_cache=True).logits)
    torch.testing.assert_close(torch.cat(parts, dim=1), want, rtol=0, atol=1e-5)


@pytest.mark.parametrize("how", [{}, {"num_beams": 3}, {"do_sample": True, "top_k": 20}])
def test_generate_with_cache_equals_without(make_dual, tokenizer, text, how):
    dual, ids = make_dual(), _ids(tokenizer, text[:80])
    texts = []
    for use_cache in (True, False):
        torch.manual_seed(3)
        options = {"do_sample": False, "use_cache": use_cache} | how
        out = dual.generate(ids, max_new_tokens=12, **options)
        texts.append(out.tolist())
    assert texts[0] == texts[1]


def test_left_padded_batch_equals_single_rows(make_dual, tokenizer, text):
    dual = make_dual()
    prompts = [text[:60], text[:95], text]
    batch = tokenizer(prompts, return_tensors="pt", padding=True)
    together = dual.generate(**batch, max_new_tokens=8, do_sample=False, eos_token_id=None)
    for row, prompt in enumerate(prompts):
        alone = dual.generate(
            **tokenizer([prompt], return_tensors="pt"), max_new_tokens=8, do_sample=False,
            eos_token_id=None,
        )  # fmt: skip
        assert together[row, -8:].tolist() == alone[0, -8:].tolist()


@torch.no_grad()
def test_a_cropped_cache_forgets(make_dual, tokenizer, text):
    dual, ids = make_dual(), _ids(tokenizer, text)
    cache = dual.new_cache()
    dual(input_ids=ids[:, :100], past_key_values=cache, use_cache=True)
    cache.crop(-40)
    again = dual(input_ids=ids[:, 60:120], past_key_values=cache, use_cache=True).logits
    want = dual(input_ids=ids[:, :120]).logits[:, 60:]
    torch.testing.assert_close(again, want, rtol=0, atol=1e-5)


def test_prompt_lookup_decoding_changes_nothing(make_dual, tokenizer, text):
    dual, ids = make_dual(), _ids(tokenizer, text)
    plain = dual.generate(ids, max_new_tokens=16, do_sample=False)
    quick = dual.generate(ids, max_new_tokens=16, do_sample=False, prompt_lookup_num_tokens=4)
    assert plain.tolist() == quick.tolist()


def test_logits_processors_are_heard(make_dual, tokenizer, text):
    class OnlyX(LogitsProcessor):
        def __call__(self, input_ids, scores):
            masked = torch.full_like(scores, -torch.inf)
            masked[:, tokenizer.convert_tokens_to_ids("x")] = 0
            return masked

    out = make_dual().generate(
        _ids(tokenizer, text), max_new_tokens=4, do_sample=False, logits_processor=[OnlyX()]
    )
    assert tokenizer.decode(out[0, -4:]) == "xxxx"


def test_only_the_rail_learns(make_dual, tokenizer, text):
    dual, ids = make_dual(), _ids(tokenizer, text)
    dual.train()
    assert not dual.base.training
    dual(input_ids=ids, labels=ids).loss.backward()
    assert all(p.grad is None for p in dual.base.parameters())
    silent = [n for n, p in dual.rail.named_parameters() if p.grad is None or not p.grad.any()]
    assert silent == []
    assert dual.count_trainable() == sum(p.numel() for p in dual.trainable_parameters()) + 11


@torch.no_grad()
def test_a_window_hides_what_is_far(make_dual, tokenizer, text):
    near, ids = make_dual(window=16), _ids(tokenizer, text)
    seen = {}
    for name, dual in {"near": near, "all": make_dual()}.items():
        kept = []
        dual.rail.register_forward_pre_hook(
            lambda _m, inputs, into=kept: into.append(inputs[0].visible.sum(-1).max().item())
        )
        dual(input_ids=ids)
        seen[name] = kept[0]
    assert seen == {"near": 16, "all": ids.shape[1]}


def test_taps_out_of_range_are_refused(make_dual):
    with pytest.raises(BaseRailError, match=r"taps \[7\] do not fit a base of 3 layers"):
        make_dual(taps=[7])


@pytest.mark.parametrize(
    ("shape", "message"),
    [({"width": 10, "heads": 4}, "not a multiple"), ({"alpha_start": 1.5}, "out of range")],
)
def test_bad_shapes_are_refused(shape, message):
    with pytest.raises(BaseRailError, match=message):
        DualRailConfig(**shape)
