"""Saving a rail and loading it beside the right base, and only beside that."""

from __future__ import annotations

import pytest
import torch

from bb_nn.base import load_base
from bb_nn.errors import BaseRailError, CheckpointError, RailMismatchError
from bb_nn.rail import DualRailForCausalLM


@pytest.fixture
def saved(make_dual, tmp_path):
    dual = make_dual()
    dual.set_alpha_budget(0.2)
    dual.save_pretrained(tmp_path / "rail")
    return dual, tmp_path / "rail"


@torch.no_grad()
def test_a_loaded_rail_gives_the_same_logits(saved, make_base, tokenizer, text):
    dual, folder = saved
    ids = torch.tensor([tokenizer(text)["input_ids"]])
    again = DualRailForCausalLM.from_pretrained(folder, base=(make_base("llama"), tokenizer))
    assert torch.equal(again(input_ids=ids).logits, dual(input_ids=ids).logits)
    assert again.config.alpha_budget == 0.2


def test_the_base_is_not_saved(saved):
    _, folder = saved
    names = sorted(p.name for p in folder.iterdir())
    assert names == ["config.json", "lanes.json", "rail.safetensors"]


def test_another_vocabulary_is_refused(saved, make_base, tokenizer):
    _, folder = saved
    tokenizer.add_tokens(["<new>"])
    with pytest.raises(RailMismatchError, match=r"vocabulary is .* was trained with"):
        DualRailForCausalLM.from_pretrained(folder, base=(make_base("llama"), tokenizer))


def test_other_weights_are_refused(saved, make_base, tokenizer):
    _, folder = saved
    with pytest.raises(RailMismatchError, match="fingerprint"):
        DualRailForCausalLM.from_pretrained(folder, base=(make_base("llama", seed=1), tokenizer))


def test_a_checkpoint_cut_in_half_is_refused(saved, make_base, tokenizer):
    _, folder = saved
    weights = folder / "rail.safetensors"
    weights.write_bytes(weights.read_bytes()[: weights.stat().st_size // 2])
    with pytest.raises(CheckpointError, match=r"rail\.safetensors: .*cut short"):
        DualRailForCausalLM.from_pretrained(folder, base=(make_base("llama"), tokenizer))


def test_missing_folders_are_named(tmp_path):
    with pytest.raises(CheckpointError, match=r"config\.json is missing"):
        DualRailForCausalLM.from_pretrained(tmp_path / "nothing")
    with pytest.raises(BaseRailError, match=r"config\.json is missing"):
        load_base(str(tmp_path))


def test_unknown_dtypes_and_devices_are_refused(tmp_path, make_base, tokenizer):
    make_base("gpt2").save_pretrained(tmp_path)
    tokenizer.save_pretrained(tmp_path)
    with pytest.raises(BaseRailError, match="unknown dtype 'int3'"):
        load_base(str(tmp_path), dtype="int3")
    with pytest.raises(BaseRailError, match="device 'abacus' cannot be used"):
        load_base(str(tmp_path), device="abacus")
    model, _ = load_base(str(tmp_path), dtype="bfloat16")
    assert model.dtype == torch.bfloat16
    assert not any(p.requires_grad for p in model.parameters())
