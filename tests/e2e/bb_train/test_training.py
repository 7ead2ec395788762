import json
import os
import signal

import pytest
import torch
import yaml

from bb_core.errors import BBError, UsageError
from bb_core.plan import plan_text
from bb_core.trace import trace_plan
from bb_train import loop
from bb_train.config import parse_config
from bb_train.loop import Interrupted, train
from bb_train.methods import load_trained
from bb_train.processes import run_child, training_command
from bb_train.promotion import load_rail
from bb_train.run_dir import read_log, read_record
from bb_train.study import Model
from bem_kernel.ledger.chain import verify

METHODS = ("full", "lora", "rail")


def run(raw):
    return train(parse_config(raw, "test")).root


def weights(root):
    from safetensors.torch import load_file

    return load_file(next((root / "model").rglob("*.safetensors")))


@pytest.mark.parametrize("method", METHODS)
def test_a_run_learns_and_leaves_a_complete_record(training, method):
    optim = {"lr": 1e-2, "steps": 16, "batch_size": 8}
    root = run(training(method, optim=optim, checkpoint_every_s=1e6))
    losses = [line["loss"] for line in read_log(root)]
    assert len(losses) == 16
    assert losses[-1] < losses[0]
    record = read_record(root)
    assert record["method"] == method
    assert record["steps"] == 16
    assert record["trainable_parameters"] > 1000
    assert record["precision"] == "no"
    assert record["data"]["train"] and record["domain"]["fingerprint"] and record["base"]
    chain = verify(root / "chain.jsonl", record["chain"]["head"])
    assert chain.ok and chain.entries == record["chain"]["entries"] == 2
    assert not (root / "checkpoint").exists()


@pytest.mark.parametrize("method", METHODS)
def test_an_interrupted_run_resumes_to_the_same_weights(training, tmp_path, monkeypatch, method):
    unbroken = run(training(method, out=str(tmp_path / "unbroken")))
    append = loop.append_log

    def interrupt_after_three(run_dir, line):
        append(run_dir, line)
        if line["step"] == 3:
            os.kill(os.getpid(), signal.SIGINT)

    monkeypatch.setattr(loop, "append_log", interrupt_after_three)
    with pytest.raises(Interrupted):
        run(training(method))
    assert [line["step"] for line in read_log(tmp_path / "run")][-1] in (3, 4)
    monkeypatch.setattr(loop, "append_log", append)
    resumed = run(training(method))
    assert [line["step"] for line in read_log(resumed)] == list(range(1, 9))
    expected, found = weights(unbroken), weights(resumed)
    assert expected.keys() == found.keys()
    for name in expected:
        torch.testing.assert_close(found[name], expected[name])


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
@pytest.mark.parametrize("method", METHODS)
def test_a_trained_model_loads_in_either_number_type(training, traces, method, dtype):
    root = run(training(method, optim={"lr": 2e-2, "steps": 4, "batch_size": 8}))
    model, tokenizer = load_trained(root, dtype=dtype)
    assert {p.dtype for p in model.parameters()} == {getattr(torch, dtype)}
    text = plan_text(trace_plan(traces[0]))
    ids = tokenizer(text, return_tensors="pt", add_special_tokens=False)["input_ids"]
    with torch.no_grad():
        assert model(input_ids=ids).logits.shape == (1, ids.shape[1], len(tokenizer))


def test_a_rail_in_bfloat16_is_still_known_to_its_base(training, tiny_base):
    root = run(training("rail", optim={"lr": 2e-2, "steps": 1, "batch_size": 4}))
    model, _ = load_rail(root / "model", Model(str(tiny_base), "cpu", "bfloat16"))
    assert {p.dtype for p in model.parameters()} == {torch.bfloat16}
    assert model.generate(torch.arange(5)[None], max_new_tokens=3).shape == (1, 8)


def test_a_run_on_another_base_is_refused(training, tiny_base, tmp_path):
    import shutil

    base = tmp_path / "base"
    shutil.copytree(tiny_base, base)
    root = run(training("lora", base=str(base)))
    from bb_nn.base import load_base

    model, _ = load_base(str(base))
    model.get_input_embeddings().weight.data.add_(1.0)
    model.save_pretrained(base)
    with pytest.raises(BBError, match=r"the base is not the one this run was trained on; use the"):
        load_trained(root)


def test_the_launcher_must_start_the_processes_asked_for(training):
    with pytest.raises(UsageError, match=r"the launcher started 1 processes, not 2; .*--multi_gpu"):
        train(parse_config(training("full"), "test"), processes=2)


def test_a_damaged_checkpoint_stops_the_resumed_run(training, tmp_path, monkeypatch):
    append = loop.append_log
    monkeypatch.setattr(
        loop, "append_log", lambda r, line: (append(r, line), os.kill(os.getpid(), signal.SIGTERM))
    )
    with pytest.raises(Interrupted):
        run(training("full"))
    monkeypatch.setattr(loop, "append_log", append)
    path = tmp_path / "run" / "checkpoint" / "weights.safetensors"
    path.write_bytes(path.read_bytes()[:100])
    with pytest.raises(BBError, match=r"weights.safetensors: the file was cut or altered"):
        run(training("full"))
    assert not (tmp_path / "run" / "record.json").exists()


@pytest.mark.slow
@pytest.mark.parametrize("method", ["full", "rail"])
def test_two_gloo_processes_train_like_one(training, tmp_path, method):
    curves = []
    for processes in (1, 2):
        raw = training(method, out=str(tmp_path / f"run{processes}"))
        config = tmp_path / f"config{processes}.yaml"
        config.write_text(yaml.safe_dump(raw))
        run_child(training_command(config, [], processes, "cpu"), where="training", fix="")
        record = json.loads((tmp_path / f"run{processes}" / "record.json").read_text())
        assert record["processes"] == processes
        curves.append([line["loss"] for line in read_log(tmp_path / f"run{processes}")])
    assert curves[0] == pytest.approx(curves[1], rel=2e-3)
