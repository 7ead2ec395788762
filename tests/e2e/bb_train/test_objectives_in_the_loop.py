"""The constrained objective behind the configuration: logged, resumed, off by default."""

import json
import os
import signal

import pytest
import torch

from bb_core.errors import UsageError
from bb_train import loop
from bb_train.config import parse_config
from bb_train.loop import Interrupted, train
from bb_train.run_dir import read_log

CONSTRAINTS = {
    "cfs_energy": {"limit": 0.02, "rate": 1.0},
    "kl_budget": {"limit": 0.01, "rate": 1.0},
    "invariance": {"limit": 0.01},
    "calibration_loss": {"limit": 0.05},
}
LIBRARY = {"build_loss": {"limit": 0.9}, "reuse_loss": {"limit": 0.5}}


@pytest.fixture
def raw(training, tmp_path, traces):
    """Makes configurations with the constraints that any rail can be measured on."""
    text = tmp_path / "general.txt"
    text.write_text("\n".join(trace.request for trace in traces))

    def make(out, **objectives):
        made = training(
            "rail", out=str(tmp_path / out), optim={"lr": 2e-2, "steps": 8, "batch_size": 4}
        )
        made["rail"] = {"width": 16, "heads": 2}
        made["objectives"] = {
            "constraints": CONSTRAINTS, "warmup": 2, "general_text": str(text),
            "general_tokens": 32, **objectives,
        }  # fmt: skip
        return made

    return make


def run(raw):
    return train(parse_config(raw, "test")).root


def without_times(root):
    return [{k: v for k, v in line.items() if k != "seconds"} for line in read_log(root)]


def test_every_step_is_logged_and_the_base_is_obeyed(raw):
    lines = read_log(run(raw("one") | {"log_every": 100}))
    assert [line["step"] for line in lines] == list(range(1, 9))
    measured = set(CONSTRAINTS) - {"invariance"}  # no two rows carry one plan
    assert set(lines[0]["values"]) == measured and set(lines[0]["duals"]) == set(CONSTRAINTS)
    assert lines[-1]["duals"]["cfs_energy"] > 0 and lines[0]["duals"]["cfs_energy"] == 0
    assert lines[0]["cosines"] and len(lines[0]["alphas"]) == 2 and 0 <= lines[0]["cfs_rate"] <= 1
    assert lines[-1]["loss"] < lines[0]["loss"]


@pytest.mark.parametrize("extra", [{}, {"activation_cache": True}])
def test_a_resumed_objective_has_the_bits_of_an_unbroken_one(raw, tmp_path, monkeypatch, extra):
    def made(out):
        config = raw(out)
        if extra:
            config["activation_cache"] = {"folder": str(tmp_path / f"{out}-c"), "size_gib": 0.1}
        return config

    whole = run(made("whole"))
    append = loop.append_log

    def logged(run_dir, line):
        append(run_dir, line)
        if line["step"] == 3:
            os.kill(os.getpid(), signal.SIGINT)

    monkeypatch.setattr(loop, "append_log", logged)
    with pytest.raises(Interrupted):
        run(made("broken"))
    state = json.loads((tmp_path / "broken" / "checkpoint" / "state.json").read_text())
    assert state["position"]["objective"]["state"]["duals"]["values"]
    monkeypatch.setattr(loop, "append_log", append)
    again = run(made("broken"))
    assert without_times(again) == without_times(whole)
    from safetensors.torch import load_file

    one, two = (load_file(root / "model" / "rail.safetensors") for root in (whole, again))
    assert all(torch.equal(one[name], two[name]) for name in one)


@pytest.mark.slow
def test_the_program_library_has_its_constraints(raw):
    config = raw("one", constraints=CONSTRAINTS | LIBRARY)
    config["rail"] = {"width": 16, "heads": 2, "library": {"skills": 4}}
    lines = read_log(run(config))
    assert all(set(LIBRARY) <= set(line["values"]) for line in lines)
    assert lines[-1]["values"]["reuse_loss"] > 0 and lines[-1]["duals"]["reuse_loss"] > 0


def test_a_rail_without_a_library_cannot_be_asked_to_reuse_it(raw):
    config = raw("one", constraints=LIBRARY)
    with pytest.raises(UsageError, match=r"build_loss: the rail has no program library; set rail"):
        run(config)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"general_text": None}, r"kl_budget needs objectives.general_text"),
        ({"constraints": {"speed": {"limit": 1}}}, r"constraints.speed.*Input should be 'cfs_"),
        ({"rule": "luck"}, r"objectives.rule: Input should be 'sum', 'pcgrad' or 'cagrad'"),
    ],
)
def test_bad_objectives_are_refused_by_name(raw, change, message):
    with pytest.raises(UsageError, match=message):
        parse_config(raw("one", **change), "test")


def test_objectives_are_for_the_rail_and_take_the_batch_at_once(raw):
    with pytest.raises(UsageError, match=r"objectives is for method rail"):
        parse_config(raw("one") | {"method": "full"}, "test")
    several = raw("one")
    several["optim"]["accumulate"] = 2
    with pytest.raises(UsageError, match=r"optim.accumulate must be 1"):
        parse_config(several, "test")
