import stat

import pytest

from bb_core.errors import BBError
from bb_train.config import parse_config
from bb_train.run_dir import (
    append_log,
    open_run,
    read_config,
    read_log,
    read_record,
    truncate_log,
    write_record,
)


def config(out, seed=0):
    raw = {
        "method": "full",
        "out": out,
        "data": {"train": "traces.jsonl"},
        "optim": {"lr": 1e-3, "steps": 5},
        "seed": seed,
    }
    return parse_config(raw, "test")


def test_a_finished_run_is_never_overwritten(tmp_path):
    run = open_run(config(tmp_path / "run"))
    write_record(run, {"steps": 5})
    assert stat.S_IMODE(run.record.stat().st_mode) == 0o444
    with pytest.raises(BBError, match=r"this run is finished; choose another `out`"):
        open_run(config(tmp_path / "run"))
    with pytest.raises(BBError, match=r"a record exists already"):
        write_record(run, {"steps": 6})
    assert read_record(tmp_path / "run") == {"steps": 5}


def test_an_unfinished_run_reopens_for_its_own_configuration_alone(tmp_path):
    open_run(config(tmp_path / "run"))
    assert open_run(config(tmp_path / "run")).root == tmp_path / "run"
    assert read_config(tmp_path / "run") == config(tmp_path / "run")
    with pytest.raises(BBError, match=r"config.yaml: the unfinished run here has another"):
        open_run(config(tmp_path / "run", seed=1))


def test_an_unfinished_run_has_no_record(tmp_path):
    open_run(config(tmp_path / "run"))
    with pytest.raises(BBError, match=r"run: there is no finished training run; run `bb train`"):
        read_record(tmp_path / "run")


def test_the_log_forgets_the_steps_that_are_repeated(tmp_path):
    run = open_run(config(tmp_path / "run"))
    for step in (10, 20, 30):
        append_log(run, {"step": step, "loss": 1.0})
    with run.log.open("a") as file:
        file.write('{"step": 4')  # a kill in the middle of a line
    truncate_log(run, 20)
    assert [line["step"] for line in read_log(run.root)] == [10, 20]
