"""A step's record: JSON there and back, flat scalars, and a tracker of accelerate's own kind."""

import json
import math

import pytest
import torch
from accelerate import Accelerator
from accelerate.tracking import GeneralTracker, on_main_process

from bb_train.objectives.duals import Constraint
from bb_train.objectives.errors import ObjectiveError, StateError
from bb_train.objectives.step import constrained_step, start_state
from bb_train.objectives.step_log import (
    StepRecord,
    record_from_json,
    record_of,
    record_to_json,
    scalars,
    track,
)
from bb_train.objectives.surgery import Rule
from bb_train.objectives.term import Term

FULL = StepRecord(
    step=7, loss=1.5, values={"kl": 0.25}, duals={"kl": 0.1}, cosines={"task|kl": -0.5},
    scales={"task": 1.0, "kl": 2.0}, weights={"task": 1.0, "kl": 0.2}, alphas=(0.05, 0.04),
    cfs_rate=0.125, ged=1.0, evsi=0.0, delta_v_s=-0.01, covariances={"kl": 0.3}, alarms=("kl",),
)  # fmt: skip


def test_a_record_comes_back_from_its_line():
    for record in (FULL, StepRecord(1, 0.5)):
        assert record_from_json(json.loads(json.dumps(record_to_json(record)))) == record


def test_what_was_not_measured_is_not_written_and_a_measured_zero_is():
    assert record_to_json(StepRecord(1, 0.5)) == {"step": 1, "loss": 0.5}
    assert record_to_json(StepRecord(1, 0.0, ged=0.0, evsi=0.0))["evsi"] == 0.0
    assert record_to_json(StepRecord(1, 0.0, ged=0.0))["loss"] == 0.0


def test_other_writers_fields_are_left_aside():
    assert record_from_json({"step": 1, "loss": 0.5, "seconds": 3.2}) == StepRecord(1, 0.5)
    with pytest.raises(StateError, match="step log: no record of a step"):
        record_from_json({"seconds": 3.2})


def test_numbers_that_json_does_not_have_are_refused():
    with pytest.raises(ObjectiveError, match="step log: step 3 holds a number that is not finite"):
        record_to_json(StepRecord(3, math.nan))


def test_every_number_of_the_record_is_a_scalar_of_the_tracker():
    flat = scalars(FULL)
    assert flat == {
        "loss": 1.5, "cfs_rate": 0.125, "ged": 1.0, "evsi": 0.0, "delta_v_s": -0.01,
        "value/kl": 0.25, "dual/kl": 0.1, "cosine/task|kl": -0.5, "scale/task": 1.0,
        "scale/kl": 2.0, "weight/task": 1.0, "weight/kl": 0.2, "covariance/kl": 0.3,
        "alpha/0": 0.05, "alpha/1": 0.04, "alarm/kl": 1.0,
    }  # fmt: skip


class Remembering(GeneralTracker):
    """The smallest tracker that accelerate takes."""

    name = "remembering"
    requires_logging_directory = False

    def __init__(self):
        super().__init__()
        self.seen = []

    @property
    def tracker(self):
        return self.seen

    @on_main_process
    def store_init_configuration(self, values):
        """Nothing to store."""

    @on_main_process
    def log(self, values, step=None, **_):
        self.seen.append((step, values))


def test_trackers_get_the_step_through_accelerate():
    tracker = Remembering()
    accelerator = Accelerator(cpu=True, log_with=tracker)
    accelerator.init_trackers("run")
    track(accelerator, FULL)
    assert tracker.seen == [(7, scalars(FULL))]


def test_the_record_of_a_step_says_what_the_step_was():
    x = torch.nn.Parameter(torch.tensor([2.0, 0.0], dtype=torch.float64))

    def term(loss):
        return Term(loss.detach(), loss, 1)

    state = start_state([Constraint("far", 1.0, rate=0.5)], 2)
    for step in range(3):
        terms = {"task": term((x[0] + 1) ** 2), "far": term(-x[0] + x[1] + 6.0)}
        outcome = constrained_step(terms, [x], state, rule=Rule("sum"), step=step)
        state = outcome.state
    record = record_of(3, outcome, alphas=(0.05,), cfs_rate=0.5)
    assert (record.step, record.loss, record.values) == (3, 9.0, {"far": 4.0})
    assert record.duals == {"far": 3.0}  # twice 0.5 · (4 − 1)
    assert record.cosines == {"task|far": pytest.approx(-(0.5**0.5))}
    assert record.weights["far"] == pytest.approx(3.0 * record.scales["far"])
    assert record.scales["far"] == pytest.approx(6 / 2**0.5)
    assert (record.alphas, record.cfs_rate, record.ged) == ((0.05,), 0.5, None)
