import copy
import shutil

import pytest
import torch
from safetensors.torch import load_file, save_file

from seal.errors import ModelError
from seal.models import load_model, model_fingerprint


def test_a_folder_loads_and_equals_what_was_saved(model_folder, speaker):
    loaded, tokenizer = load_model(str(model_folder))
    assert model_fingerprint(loaded, tokenizer) == model_fingerprint(*speaker)
    assert not loaded.training


def test_dtype_is_honoured_and_part_of_the_fingerprint(model_folder, speaker):
    loaded, tokenizer = load_model(str(model_folder), dtype="bfloat16")
    assert loaded.dtype == torch.bfloat16
    assert model_fingerprint(loaded, tokenizer) != model_fingerprint(*speaker)


def test_one_bit_of_one_weight_changes_the_fingerprint(speaker):
    model = copy.deepcopy(speaker[0])
    before = model_fingerprint(model, speaker[1])
    with torch.no_grad():
        model.model.norm.weight.view(torch.int32)[3] ^= 1
    assert model_fingerprint(model, speaker[1]) != before


def test_the_tokenizer_changes_the_fingerprint_but_its_last_call_does_not(tiny, speaker):
    model, tokenizer = speaker
    before = model_fingerprint(model, tokenizer)
    tokenizer("some words", truncation=True, max_length=2)
    assert model_fingerprint(model, tokenizer) == before
    assert model_fingerprint(model, tiny.make_tokenizer(tiny.CHAT_TEMPLATE)) != before
    other = tiny.make_tokenizer()
    other.add_tokens(["harbourmaster"])
    assert model_fingerprint(model, other) != before


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("./nowhere",), r"\./nowhere: no such folder; name a folder written by save_pretrained"),
        (("x", "cpu", "int8"), "--dtype: unknown dtype 'int8'; use one of float32, bfloat16"),
        (("x", "abacus"), "--device: unknown device 'abacus'; use auto, cpu, cuda"),
    ],
)
def test_what_cannot_be_meant_is_refused(arguments, message):
    with pytest.raises(ModelError, match=message):
        load_model(*arguments)


@pytest.mark.skipif(torch.cuda.is_available(), reason="this machine has a GPU")
def test_a_gpu_that_is_not_there_is_refused():
    with pytest.raises(ModelError, match="--device: this torch sees no GPU; use --device cpu"):
        load_model("x", "cuda")


def test_a_folder_without_config_is_refused(tmp_path):
    with pytest.raises(ModelError, match=r"no config\.json there; name a folder"):
        load_model(str(tmp_path))


def test_a_checkpoint_cut_in_half_is_refused(model_folder, tmp_path):
    folder = shutil.copytree(model_folder, tmp_path / "cut")
    weights = folder / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[: weights.stat().st_size // 2])
    with pytest.raises(ModelError, match=r"cut: does not load: .*; it needs config\.json"):
        load_model(str(folder))


def test_pickled_weights_are_never_loaded(model_folder, tmp_path, speaker):
    folder = shutil.copytree(model_folder, tmp_path / "pickled")
    (folder / "model.safetensors").unlink()
    torch.save(speaker[0].state_dict(), folder / "pytorch_model.bin")
    with pytest.raises(ModelError, match="does not load"):
        load_model(str(folder))


def test_missing_weights_are_not_made_up(model_folder, tmp_path):
    folder = shutil.copytree(model_folder, tmp_path / "lacking")
    weights = load_file(folder / "model.safetensors")
    del weights["lm_head.weight"], weights["model.norm.weight"]
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(
        ModelError, match=r"2 weights are not in the files, lm_head\.weight among them"
    ):
        load_model(str(folder))


def test_tied_weights_are_not_missing(tiny, tokenizer, tmp_path):
    config = copy.deepcopy(tiny.make_model(tokenizer).config)
    config.tie_word_embeddings = True
    tied = type(tiny.make_model(tokenizer))(config)
    tied.save_pretrained(tmp_path)
    tokenizer.save_pretrained(tmp_path)
    assert "lm_head.weight" not in load_file(tmp_path / "model.safetensors")
    loaded, _ = load_model(str(tmp_path))
    assert torch.equal(loaded.lm_head.weight, tied.model.embed_tokens.weight)


def test_auto_is_a_device_this_machine_has(model_folder):
    loaded, _ = load_model(str(model_folder), device="auto")
    assert loaded.device.type == ("cuda" if torch.cuda.is_available() else "cpu")


def test_without_a_name_it_is_the_base_rail_shipped_with_the_distribution(
    model_folder, speaker, monkeypatch
):
    import bb_nn.base

    monkeypatch.setattr(bb_nn.base, "EMBEDDED", model_folder)
    assert model_fingerprint(*load_model(None)) == model_fingerprint(*speaker)
