"""What holds for the rail holds whatever it is composed of: mixers, library, width, heads."""

from __future__ import annotations

import pytest
import torch

from bb_nn.builder import BuilderRail
from bb_nn.config import DualRailConfig
from bb_nn.errors import BaseRailError, LibraryError
from bb_nn.loss import head_of
from bb_nn.rail import DualRailForCausalLM

LIBRARY = {"skills": 32, "rank": 2, "horizon": 2}
VARIANTS = {
    "gru": {"mixer": "gru", "library": LIBRARY},
    "attention": {"mixer": "attention", "library": {**LIBRARY, "candidates": 4}, "window": 24},
    "linear": {"mixer": "linear", "library": LIBRARY, "width": 0.5},
}


@pytest.fixture(params=VARIANTS)
def variant(request):
    return VARIANTS[request.param]


def _ids(tokenizer, text):
    return torch.tensor([tokenizer(text)["input_ids"]])


@torch.no_grad()
def test_identity_and_cache_on_every_architecture(
    architecture, variant, make_base, make_dual, tokenizer, text
):
    ids = _ids(tokenizer, text[:120])
    mask = torch.ones_like(ids)
    mask[:, :5] = 0
    dual = make_dual(architecture, **variant)
    want = dual(input_ids=ids, attention_mask=mask).logits
    cache, parts, at = dual.new_cache(), [], 0
    for stop in (3, 40, 41, 43, 100, *range(101, 121)):
        part = {"input_ids": ids[:, at:stop], "attention_mask": mask[:, :stop]}
        parts.append(dual(**part, past_key_values=cache, use_cache=True).logits)
        at = stop
    torch.testing.assert_close(torch.cat(parts, dim=1)[:, 5:], want[:, 5:], rtol=0, atol=1e-5)
    for dtype in (torch.float32, torch.bfloat16):
        plain = make_base(architecture).to(dtype)(input_ids=ids, attention_mask=mask).logits
        dual.base.to(dtype)
        dual.set_alpha_budget(0.05)
        assert not torch.equal(dual(input_ids=ids, attention_mask=mask).logits, plain)
        dual.set_alpha_budget(0.0)
        assert torch.equal(dual(input_ids=ids, attention_mask=mask).logits, plain)


def test_left_padding_leaves_no_trace(variant, make_dual, tokenizer, text):
    dual = make_dual(**variant)
    with torch.no_grad():
        alone = dual(**tokenizer([text[:90]], return_tensors="pt")).logits[0]
        batch = tokenizer([text[:90], text], return_tensors="pt", padding=True)
        together = dual(**batch).logits[0]
    torch.testing.assert_close(together[-90:], alone, rtol=0, atol=1e-5)


@pytest.mark.parametrize("how", [{}, {"num_beams": 3}, {"do_sample": True, "top_k": 20}])
def test_generation_with_cache_equals_without(variant, how, make_dual, tokenizer, text):
    dual, ids = make_dual(**variant), _ids(tokenizer, text[:80])
    texts = []
    for use_cache in (True, False):
        torch.manual_seed(3)
        options = {"do_sample": False, "use_cache": use_cache} | how
        texts.append(dual.generate(ids, max_new_tokens=8, **options).tolist())
    assert texts[0] == texts[1]


@torch.no_grad()
def test_a_cropped_cache_forgets(variant, make_dual, tokenizer, text):
    dual, ids = make_dual(**variant), _ids(tokenizer, text)
    cache = dual.new_cache()
    dual(input_ids=ids[:, :100], past_key_values=cache, use_cache=True)
    cache.crop(-40)
    again = dual(input_ids=ids[:, 60:120], past_key_values=cache, use_cache=True).logits
    want = dual(input_ids=ids[:, :120]).logits[:, 60:]
    torch.testing.assert_close(again, want, rtol=0, atol=1e-5)


def test_every_part_learns(variant, make_dual, tokenizer, text):
    dual, ids = make_dual(**variant), _ids(tokenizer, text)
    torch.manual_seed(0)
    dual.train()
    out = dual(input_ids=ids, labels=ids)
    assert out.logits is None
    out.loss.backward()
    silent = [n for n, p in dual.rail.named_parameters() if p.grad is None or not p.grad.any()]
    assert silent == []


@pytest.mark.parametrize("name", ["llama", "gemma2", "gpt2"])
def test_the_loss_without_logits_is_that_of_the_logits(name, make_dual, tokenizer, text):
    dual, ids = make_dual(name), torch.cat([_ids(tokenizer, text)] * 2)
    labels = ids.clone()
    labels[0, :50], labels[1, 30:] = -100, -100
    losses, slopes = [], []
    for lean in (True, False):
        dual.eval()
        dual.training = lean  # the blocks stay without noise
        out = dual(input_ids=ids, labels=labels)
        assert (out.logits is None) == lean
        losses.append(out.loss)
        slopes.append(torch.autograd.grad(out.loss, dual.rail.outward.weight)[0])
    torch.testing.assert_close(losses[0], losses[1], rtol=1e-5, atol=1e-6)
    torch.testing.assert_close(slopes[0], slopes[1], rtol=1e-4, atol=1e-6)


def test_heads_that_are_trained_or_not_all_of_it_have_no_short_way(make_base):
    base = make_base("llama").requires_grad_(False)
    assert head_of(base) is not None
    scaled = base.lm_head.register_forward_hook(lambda _m, _i, out: 3 * out)
    assert head_of(base) is not None  # a hook on the head is part of it
    scaled.remove()
    base.register_forward_hook(lambda _m, _i, out: setattr(out, "logits", 3 * out.logits))
    assert head_of(base) is None
    base = make_base("llama").requires_grad_(False)
    base.lm_head.weight.requires_grad_(True)
    assert head_of(base) is None


def test_what_the_slots_did_is_told_to_those_who_ask(make_dual, tokenizer, text):
    dual = make_dual(library=LIBRARY, taps=[0, 1, 2]).train()
    batch = tokenizer([text[:30], text[:50]], return_tensors="pt", padding=True)
    with dual.library_uses() as uses:
        dual(**batch)
    dual(**batch)
    assert len(uses) == 3
    use = uses[1]
    assert use.usage.shape == use.chosen.shape == (2, 50, 32)
    assert use.outputs.shape == use.hidden.shape == (2, 50, 16)
    assert torch.equal(use.present, batch["attention_mask"].bool())
    assert torch.equal(use.chosen.sum(-1), batch["attention_mask"])
    assert use.adapters.shape[0] == 32 and use.adapters.requires_grad and use.usage.requires_grad


def test_the_prior_moves_the_choice(make_dual, tokenizer, text):
    dual = make_dual(library=LIBRARY)
    with dual.library_uses() as uses, torch.no_grad():
        dual(input_ids=_ids(tokenizer, text[:40]))
        dual.rail.prior.totals_q16.fill_(1 << 40)
        dual.rail.prior.totals_q16[7] = 0
        dual(input_ids=_ids(tokenizer, text[:40]))
    assert not uses[0].chosen[..., 7].all() and uses[-1].chosen[..., 7].all()


def test_the_library_counts_as_trained(make_base, tokenizer):
    from dataclasses import replace

    from bb_nn.library.starter import starter_library

    made = starter_library(4)
    library = replace(made, skills=tuple(replace(s, learned_bits=11) for s in made.skills))
    config = DualRailConfig(width=16, heads=2, library={})
    dual = DualRailForCausalLM.from_base(make_base("llama"), tokenizer, config, library=library)
    assert dual.count_trainable() == sum(p.numel() for p in dual.rail.parameters()) + 44
    with pytest.raises(LibraryError, match="configured without a library"):
        DualRailForCausalLM.from_base(
            make_base("llama"), tokenizer, DualRailConfig(width=16, heads=2), library=library
        )


def test_a_rail_with_a_library_survives_saving(make_base, make_dual, tokenizer, text, tmp_path):
    dual = make_dual(library=LIBRARY, mixer="gru", width=0.25)
    dual.save_pretrained(tmp_path / "rail")
    base = (make_base("llama"), tokenizer)
    again = DualRailForCausalLM.from_pretrained(tmp_path / "rail", base=base)
    assert again.library == dual.library and again.config.width == 0.25
    ids = _ids(tokenizer, text)
    with torch.no_grad():
        assert torch.equal(again(input_ids=ids).logits, dual(input_ids=ids).logits)


def test_a_fraction_of_the_width_is_a_multiple_of_the_heads():
    config = DualRailConfig(width=1 / 6, heads=4)
    assert config.builder_width(384) == 64 and config.builder_width(100) == 16
    assert BuilderRail(config, [0, 1], 384, 0, None).outward.weight.shape == (384, 64)


@pytest.mark.parametrize("width", [0.0, -1, 1.5, 10])
def test_bad_widths_are_refused(width):
    with pytest.raises(BaseRailError, match="multiple of 4 heads"):
        DualRailConfig(width=width, heads=4)


def test_unknown_mixers_are_refused():
    with pytest.raises(BaseRailError, match="unknown mixer 'ssm'; use linear, gru, attention"):
        DualRailConfig(mixer="ssm")
