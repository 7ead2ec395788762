"""Packed, accumulated, cached, streamed, rematerialised and resumed: the same training."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch
import yaml

from bb_core.errors import BBError, UsageError
from bb_train import base_batches, loop
from bb_train.config import parse_config
from bb_train.loop import Interrupted, train
from bb_train.processes import run_child, training_command
from bb_train.run_dir import read_log, read_record

ONCE = {"lr": 5e-3, "steps": 6, "batch_size": 8}
EPOCHS = {"lr": 5e-3, "steps": 15, "batch_size": 8}  # forty examples: three epochs


def run(raw):
    return train(parse_config(raw, "test")).root


def losses(root):
    return [line["loss"] for line in read_log(root)]


def weights(root):
    from safetensors.torch import load_file

    return load_file(next((root / "model").rglob("*.safetensors")))


def same_bits(one, other):
    a, b = weights(one), weights(other)
    return a.keys() == b.keys() and all(torch.equal(a[name], b[name]) for name in a)


@pytest.fixture
def folders(tmp_path):
    """Names of fresh run directories."""
    names = iter(range(100))
    return lambda: str(tmp_path / f"run-{next(names)}")


@pytest.mark.parametrize("method", ["full", "lora", "rail"])
def test_packed_examples_have_the_losses_of_unpacked_ones(training, folders, method):
    plain = run(training(method, out=folders(), optim=ONCE))
    raw = training(method, out=folders(), optim=ONCE)
    raw["data"]["packing"] = {"row_tokens": 200}
    assert losses(run(raw)) == pytest.approx(losses(plain), rel=2e-4)


def test_a_base_that_mixes_packed_examples_is_refused(training, tiny_base, tmp_path, monkeypatch):
    from transformers import LlamaForCausalLM

    before = LlamaForCausalLM.forward

    def forgetful(self, *args, position_ids=None, **kwargs):
        return before(self, *args, **kwargs)

    monkeypatch.setattr(LlamaForCausalLM, "forward", forgetful)
    raw = training("full", optim=ONCE)
    raw["data"]["packing"] = {}
    with pytest.raises(BBError, match=r"data.packing: .* lets packed examples see each other"):
        run(raw)


@pytest.mark.parametrize("method", ["full", "lora"])
def test_accumulated_passes_have_the_losses_of_one(training, folders, method):
    one = run(training(method, out=folders(), optim=ONCE))
    three = run(training(method, out=folders(), optim=ONCE | {"accumulate": 3}))
    assert losses(three) == pytest.approx(losses(one), rel=1e-4)


def test_accumulation_needs_a_row_for_each_pass(training):
    with pytest.raises(UsageError, match=r"1 processes share 4 rows in 5 passes; raise it"):
        run(training("full", optim={"lr": 1e-3, "steps": 1, "batch_size": 4, "accumulate": 5}))


def test_rematerialised_blocks_learn_the_same_and_keep_less(training, folders):
    kept = run(training("rail", out=folders(), optim=ONCE))
    again = run(training("rail", out=folders(), optim=ONCE, rematerialise=True))
    assert losses(again) == pytest.approx(losses(kept), rel=1e-5)


def cached(tmp_path, **changes):
    return {"folder": str(tmp_path / "cache"), "size_gib": 0.1, **changes}


@pytest.fixture
def computed(monkeypatch):
    """Counts the examples whose states the base is run for."""
    before = base_batches.BaseBatches._computed
    seen = []

    def counted(self, examples):
        seen.append(len(examples))
        return before(self, examples)

    monkeypatch.setattr(base_batches.BaseBatches, "_computed", counted)
    return seen


def test_epochs_after_the_first_do_not_run_the_base(training, folders, tmp_path, computed):
    plain = run(training("rail", out=folders(), optim=EPOCHS))
    raw = training("rail", out=folders(), optim=EPOCHS, activation_cache=cached(tmp_path))
    root = run(raw)
    assert computed == [8] * 5  # forty examples, each once
    assert losses(root) == pytest.approx(losses(plain), rel=2e-4)
    assert read_record(root)["activation_cache"]["kept"] == 40
    again = run({**raw, "out": folders(), "seed": 5})
    assert len(losses(again)) == 15 and sum(computed) == 40  # another run: none at all


def test_a_cache_of_other_tokens_or_another_base_is_not_read(
    training, folders, tmp_path, traces, computed
):
    from bb_core.trace import save_traces

    raw = training("rail", out=folders(), optim=ONCE, activation_cache=cached(tmp_path))
    run(raw)
    before = sum(computed)
    save_traces(raw["data"]["train"], list(reversed(traces)))
    run({**raw, "out": folders()})
    assert sum(computed) == 2 * before
    assert len(list((tmp_path / "cache").iterdir())) == 2


def test_damaged_states_are_computed_again(training, folders, tmp_path, computed):
    raw = training("rail", out=folders(), optim=EPOCHS, activation_cache=cached(tmp_path))
    first = run(raw)
    (states,) = (tmp_path / "cache").rglob("states.bin")
    data = bytearray(states.read_bytes())
    data[5] ^= 1
    states.write_bytes(data)
    again = run({**raw, "out": folders()})
    assert sum(computed) == 41
    assert same_bits(first, again) or losses(first) == pytest.approx(losses(again), rel=2e-4)


def test_a_cache_over_its_budget_keeps_a_part_or_refuses(training, folders, tmp_path, computed):
    small = cached(tmp_path, size_gib=3e-4)
    root = run(training("rail", out=folders(), optim=EPOCHS, activation_cache=small))
    kept = read_record(root)["activation_cache"]["kept"]
    assert 0 < kept < 40 and sum(computed) == kept + 3 * (40 - kept)
    with pytest.raises(UsageError, match=r"size_gib: states of 40 examples take .*GiB, more than"):
        run(training("rail", out=folders(), activation_cache=small | {"over": "refuse"}))
    with pytest.raises(UsageError, match=r"raise it, store bfloat16, or"):
        run(training("rail", out=folders(), activation_cache=small | {"size_gib": 1e-9}))


def test_a_full_disk_is_an_error_before_training(training, tmp_path, monkeypatch):
    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "posix_fallocate", full)
    with pytest.raises(BBError, match=r"states.bin: no room for .* \(No space left on device\)"):
        run(training("rail", activation_cache=cached(tmp_path)))


def interrupted_after(monkeypatch, step):
    """From now on a run is asked to stop after a step."""
    append = loop.append_log

    def logged(run_dir, line):
        append(run_dir, line)
        if line["step"] == step:
            os.kill(os.getpid(), signal.SIGINT)

    monkeypatch.setattr(loop, "append_log", logged)


@pytest.mark.parametrize("way", ["plain", "streamed", "cached", "packed", "half"])
def test_a_resumed_run_has_the_bits_of_an_unbroken_one(
    training, folders, tmp_path, monkeypatch, way
):
    def raw(out, cache):
        made = training("rail", out=out, optim=EPOCHS)
        if way == "streamed":
            made["data"]["stream"] = {"buffer": 11}
        if way == "packed":
            made["data"]["packing"] = {}
        if way in ("cached", "half"):
            storage = "float32" if way == "cached" else "bfloat16"
            made["activation_cache"] = cached(tmp_path / cache, storage=storage)
        return made

    whole = run(raw(folders(), "a"))
    broken = folders()
    with monkeypatch.context() as patch:
        interrupted_after(patch, 7)
        with pytest.raises(Interrupted):
            run(raw(broken, "b"))
    assert 7 <= losses_so_far(broken) < 15
    assert same_bits(whole, run(raw(broken, "b")))
    assert losses(Path(broken)) == losses(whole)


def losses_so_far(out):
    return len(losses(Path(out)))


def test_a_streamed_line_that_is_no_trace_is_named(training, tmp_path):
    raw = training("rail", optim=ONCE)
    raw["data"]["stream"] = {"buffer": 4, "sample": 3}
    path = Path(raw["data"]["train"])
    lines = path.read_text().splitlines()
    lines[7] = lines[7].replace('"tool"', '"tol"')
    path.write_text("\n".join(lines) + "\n")
    with pytest.raises(BBError, match=r"train.jsonl:8: steps/0: has no 'tool'"):
        run(raw)


def test_a_trace_that_is_too_long_is_named_with_its_line(training):
    raw = training("rail", optim=ONCE)
    raw["data"]["max_tokens"] = 20
    with pytest.raises(BBError, match=r"train.jsonl:1: trace train-00000 takes \d+ tokens"):
        run(raw)


@pytest.mark.skipif("datasets" in sys.modules, reason="datasets is installed")
def test_a_dataset_without_its_package_says_what_to_install(training):
    raw = training("rail")
    raw["data"]["source"] = "datasets"
    try:
        import datasets  # noqa: F401
    except ModuleNotFoundError:
        with pytest.raises(BBError, match=r"needs the package datasets; pip install datasets, or"):
            run(raw)
    else:
        pytest.skip("datasets is installed")


@pytest.fixture
def fresh_accelerate():
    """Accelerate keeps its precision for the life of a process."""
    from accelerate.state import AcceleratorState

    AcceleratorState._reset_state(reset_partial_state=True)
    yield
    AcceleratorState._reset_state(reset_partial_state=True)


def test_bfloat16_autocast_trains(training, folders, fresh_accelerate):
    root = run(training("rail", out=folders(), optim=EPOCHS, autocast="bf16"))
    assert losses(root)[-1] < losses(root)[0]
    assert read_record(root)["precision"] == "bf16"


@pytest.mark.slow
def test_a_run_killed_at_random_moments_ends_with_the_bits_of_an_unbroken_one(
    training, folders, tmp_path
):
    optim = {"lr": 5e-3, "steps": 60, "batch_size": 4}
    whole = run(training("rail", out=folders(), optim=optim, checkpoint_every_s=1e6))
    broken = Path(folders())
    raw = training("rail", out=str(broken), optim=optim, checkpoint_every_s=0.05)
    config = tmp_path / "config.yaml"
    config.write_text(yaml.safe_dump(raw))
    command = [sys.executable, "-m", "bb_train", "--config", str(config)]
    kills = 0
    for after_steps in (3, 17, 31):
        child = subprocess.Popen(command, stderr=subprocess.DEVNULL)
        while child.poll() is None and losses_so_far(broken) < after_steps:
            time.sleep(0.01)
        if child.poll() is None:
            child.send_signal(signal.SIGKILL)
            kills += 1
        child.wait()
    assert kills >= 2
    subprocess.run(command, check=True, stderr=subprocess.DEVNULL)
    assert losses(broken) == losses(whole)
    starts = [
        json.loads(line)["entry"]["step"]
        for line in (broken / "chain.jsonl").read_text().splitlines()
        if json.loads(line)["entry"]["event"] == "start"
    ]
    assert len(starts) == kills + 1 and max(starts) > 0
    assert same_bits(whole, broken)


@pytest.mark.slow
@pytest.mark.parametrize("method", ["full", "lora", "rail"])
def test_two_processes_that_share_the_parameters_train_like_one(training, tmp_path, method):
    curves = []
    for processes, parallel in ((1, "ddp"), (2, "fully_shard")):
        out = tmp_path / parallel
        raw = training(method, out=str(out), parallel=parallel)
        config = tmp_path / f"{parallel}.yaml"
        config.write_text(yaml.safe_dump(raw))
        run_child(training_command(config, [], processes, "cpu"), where="training", fix="")
        assert read_record(out)["processes"] == processes
        curves.append(losses(out))
    assert curves[0] == pytest.approx(curves[1], rel=2e-3)
    one, two = weights(tmp_path / "ddp"), weights(tmp_path / "fully_shard")
    assert {k: v.shape for k, v in one.items()} == {k: v.shape for k, v in two.items()}
