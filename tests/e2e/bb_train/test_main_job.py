"""The main job on a tiny random base: few traces, few steps, every step real."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import psutil
import pytest
import yaml

from bb_train.job import CONFIGS
from bb_train.main_job import compare_seeds, run_main_job
from bb_train.run_dir import read_record
from bb_train.session import open_place
from bb_train.study import Model
from bb_train.tune import tune
from bem_kernel.ledger.chain import verify

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1200)]


def write_yaml(path, source, change):
    data = yaml.safe_load((CONFIGS / source).read_text())
    change(data)
    path.write_text(yaml.safe_dump(data))


def shrink_training(data):
    data["optim"] |= {"steps": 6, "batch_size": 4}
    data["data"]["max_tokens"] = 1024
    data |= {"log_every": 1, "autocast": "no"}
    data["checkpoint_every_s"] = 0.1
    if data["method"] == "rail":
        data["rail"] = {"width": 8, "heads": 2, "skills": 2}


def shrink_job(data):
    data["service"]["port"] = 0  # a free one, another each time
    data["traces"] |= {"train": 40, "tuning": 2, "evaluation": 3}
    data["decode"] = {"max_new_tokens": 40, "plan_bytes": 200, "batch_size": 4}
    data["gate"] |= {"policy": str(CONFIGS / "gate.yaml"), "requests": 4}


@pytest.fixture
def job(tmp_path):
    for method in ("rail", "lora"):
        write_yaml(tmp_path / f"train_{method}.yaml", f"train_{method}.yaml", shrink_training)
    write_yaml(tmp_path / "main_job.yaml", "main_job.yaml", shrink_job)
    return tmp_path / "main_job.yaml"


def run(tmp_path, job, base):
    with open_place(tmp_path / "work", job, Model(str(base)), fresh=False) as place:
        return run_main_job(place)


def test_the_eight_steps_and_what_the_second_run_reuses(tmp_path, job, tiny_base, capsys):
    first = run(tmp_path, job, tiny_base)
    said = capsys.readouterr().out
    assert [f"[{i}/8]" in said for i in range(1, 9)] == [True] * 8
    assert "made: train 40" in said
    rows = first["evaluation"]["rows"]
    assert len(rows) == 3 * 2 * 3
    for row in rows:
        assert row["cell"]["n"] == 3
        if row["masked"]:
            cell = row["cell"]
            assert cell["syntax"]["mean"] == cell["admissible"]["mean"] == 1.0
    rail, lora = first["evaluation"]["trainings"]
    assert (rail["method"], lora["method"]) == ("rail", "lora")
    assert rail["steps"] == lora["steps"]
    assert 0 <= lora["trainable_parameters"] - rail["trainable_parameters"] < 64
    assert first["gate"]["decision"]["verdict"] == "reject"  # four requests are too few
    assert first["answer"]["status"] in ("done", "failed")
    assert verify(tmp_path / "work" / "logs" / "plans.ledger", first["answer"]["chain_head"]).ok
    assert verify(tmp_path / "work" / "logs" / "gate.jsonl").ok
    report = tmp_path / "work" / "runs" / "report"
    for picture in ("evaluation.png", "gate.png"):
        assert (report / picture).read_bytes().startswith(b"\x89PNG")
    assert json.loads((report / "summary.json").read_text()) == first

    second = run(tmp_path, job, tiny_base)
    said = capsys.readouterr().out
    assert "reused: train 40" in said
    assert said.count("scores reused") == 3
    assert "the gate rejected it before" in said
    assert second["rail"] == first["rail"]
    assert second["evaluation"] == first["evaluation"]
    assert second["gate"] == first["gate"]


def test_seeds_are_compared_and_the_baseline_is_tuned(tmp_path, job, tiny_base):
    with open_place(tmp_path / "work", job, Model(str(tiny_base)), fresh=False) as place:
        document = compare_seeds(place, 2, ("rail",))
        assert [len(row["exact_by_seed"]) for row in document["rows"]] == [2] * 6
        assert [t["seed"] for t in document["trainings"]] == [0, 1]
        assert len({t["run"] for t in document["trainings"]}) == 2
        tuned = tune(place, (1e-3, 1e-2), lambda line: None)
    size = document["trainings"][0]["trainable_parameters"]
    assert [trial["lr"] for trial in tuned["trials"]] == [1e-3, 1e-2]
    for trial in tuned["trials"]:
        record = read_record(Path(trial["run"]))
        assert record["config"]["optim"]["lr"] == trial["lr"]
        assert 0 <= record["trainable_parameters"] - size < 64
    assert tuned["best"] in (1e-3, 1e-2)


def descendants_with(marker):
    found = []
    for process in psutil.process_iter(["cmdline", "status"]):
        words = process.info["cmdline"] or []
        if any(marker in word for word in words) and process.pid != os.getpid():
            found.append(words)
    return found


def test_ctrl_c_in_any_step_leaves_nothing_running_and_the_next_run_works(tmp_path, job, tiny_base):
    command = [sys.executable, "-c", "from bb_core.cli import main; main()", "run"]
    command += ["--work", str(tmp_path / "work"), "--config", str(job), "--base", str(tiny_base)]
    environment = os.environ | {"PYTHONUNBUFFERED": "1", "OMP_NUM_THREADS": "1"}
    for heading in ("[2/8]", "[4/8]", "[5/8]", "[6/8]", "[8/8]"):
        process = subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, env=environment
        )
        said = []
        with process.stdout as lines:
            for line in lines:
                said.append(line)
                if line.startswith(heading) and heading != "[8/8]":
                    process.send_signal(signal.SIGINT)
        code = process.wait()
        if heading == "[8/8]":
            assert code == 0, "".join(said)
        else:
            assert code == 130, "".join(said)
            assert said[-1] == "interrupted\n"
            assert not any("Traceback" in line for line in said)
        assert descendants_with(str(tmp_path / "work")) == []
