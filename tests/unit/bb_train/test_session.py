import os
import signal

import pytest

from bb_core.errors import BBError, UsageError
from bb_core.workspace import Workspace
from bb_train.session import open_place, start_over
from bb_train.study import Model, check_methods
from bb_train.tune import Trial, best, parse_rates

RUN = "rail-s0-0123456789ab"


def test_a_second_job_in_a_workspace_is_turned_away(tmp_path):
    with open_place(tmp_path, None, Model(), fresh=False) as place:
        assert place.work == Workspace(tmp_path)
        with (
            pytest.raises(BBError, match=r"another job is running .*--work DIR"),
            open_place(tmp_path, None, Model(), fresh=False),
        ):
            pass
    with open_place(tmp_path, None, Model(), fresh=False) as place:
        assert place.job.domain == "api_json"


def test_termination_is_an_interrupt_while_a_job_runs(tmp_path):
    before = signal.getsignal(signal.SIGTERM)
    with pytest.raises(KeyboardInterrupt), open_place(tmp_path, None, Model(), fresh=False):
        os.kill(os.getpid(), signal.SIGTERM)
    assert signal.getsignal(signal.SIGTERM) is before


def test_starting_over_keeps_finished_runs_under_other_names(tmp_path):
    work = Workspace(tmp_path)
    for name in (RUN, "report"):
        (work.runs / name).mkdir()
    (work.caches / "steps").mkdir()
    start_over(work)
    (work.runs / RUN).mkdir()
    start_over(work)
    assert sorted(p.name for p in work.runs.iterdir()) == [f"{RUN}.1", f"{RUN}.2", "report"]
    assert not (work.caches / "steps").exists()


def test_methods_come_in_the_tables_order():
    assert check_methods(["rail", "base"]) == ("base", "rail")
    with pytest.raises(UsageError, match="no method 'rial'; use base, lora, rail"):
        check_methods(["rial"])
    with pytest.raises(UsageError, match="lora copies the size of rail; add rail"):
        check_methods(["lora"])


def test_rates_are_numbers_in_range():
    assert parse_rates("1e-3,2e-3") == (1e-3, 2e-3)
    for bad in ("", "fast", "0", "1e-3,2"):
        with pytest.raises(UsageError, match="holds no learning rates; write 1e-3,2e-3"):
            parse_rates(bad)


def test_the_best_rate_has_most_matches_then_least_distance():
    trials = [Trial(1e-3, 0.1, 0.5, 2.0, "a"), Trial(2e-3, 0.2, 0.5, 1.0, "b")]
    assert best(trials).lr == 2e-3
    assert best([*trials, Trial(4e-3, 0.3, 0.6, 9.0, "c")]).lr == 4e-3
