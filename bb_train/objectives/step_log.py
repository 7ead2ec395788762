"""What every step leaves behind: one line of JSON, and scalars for any tracker.

A run's log takes the lines (`run_dir.append_log`); trackers are accelerate's (TensorBoard by
default, others by name) and get flat names such as `dual/kl` through `Accelerator.log` alone.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from typing import TYPE_CHECKING, Any

import torch

from bb_nn.rail import DualRailForCausalLM
from bb_train.objectives.errors import ObjectiveError, StateError
from bb_train.objectives.scales import TASK
from bb_train.objectives.step import Outcome

if TYPE_CHECKING:
    from accelerate import Accelerator


@dataclass(frozen=True)
class StepRecord:
    """One step. None where a thing was not measured at this step.

    Attributes:
        step: steps finished, this one included.
        loss: task loss, nats a target token.
        values: each constraint's ℓ̂ in raw units.
        duals: λ the step was taken with.
        cosines: between gradients, `"a|b"`.
        scales: frozen (or, in the warm-up, running) factor of each gradient.
        weights: of each gradient in the direction, λ and scale included.
        alphas: mean gate of each tapped layer.
        cfs_rate: share of plan positions whose likeliest token is forbidden.
        ged: mean graph edit distance of emitted or latent graphs.
        evsi: expected value of sample information, of decisions where one was made.
        delta_v_s: change of the safety value since the last measurement.
        covariances: of proxies with the held-out truth.
        alarms: proxies whose audit has raised the alarm.
    """

    step: int
    loss: float
    values: Mapping[str, float] = field(default_factory=dict)
    duals: Mapping[str, float] = field(default_factory=dict)
    cosines: Mapping[str, float] = field(default_factory=dict)
    scales: Mapping[str, float] = field(default_factory=dict)
    weights: Mapping[str, float] = field(default_factory=dict)
    alphas: tuple[float, ...] = ()
    cfs_rate: float | None = None
    ged: float | None = None
    evsi: float | None = None
    delta_v_s: float | None = None
    covariances: Mapping[str, float] = field(default_factory=dict)
    alarms: tuple[str, ...] = ()


_GROUPS = {"values": "value", "duals": "dual", "cosines": "cosine", "scales": "scale"}
_GROUPS |= {"weights": "weight", "covariances": "covariance"}
_SCALARS = ("loss", "cfs_rate", "ged", "evsi", "delta_v_s")


def record_of(step: int, outcome: Outcome, **measured: Any) -> StepRecord:
    """The record of a constrained step.

    Args:
        step: steps finished, this one included.
        outcome: of `constrained_step`.
        **measured: the other fields of `StepRecord`, where they were measured.
    """
    values = dict(outcome.values)
    return StepRecord(
        step=step,
        loss=values.pop(TASK),
        values=values,
        duals=outcome.duals,
        cosines=outcome.cosines,
        scales=outcome.scales,
        weights=outcome.weights,
        **measured,
    )


@torch.no_grad()
def layer_alphas(model: DualRailForCausalLM) -> tuple[float, ...]:
    """Mean gate of each tapped layer, in order."""
    return tuple(float(alpha.mean()) for alpha in model.rail.gates())


def record_to_json(record: StepRecord) -> dict[str, Any]:
    """The record as a JSON object, without what was not measured.

    Raises:
        ObjectiveError: a number is not finite; JSON has no sign for it.
    """
    data = {name: value for name, value in asdict(record).items() if value not in (None, {}, ())}
    try:
        json.dumps(data, allow_nan=False)
    except ValueError as error:
        raise ObjectiveError(
            f"step {record.step} holds a number that is not finite", where="step log",
            fix="leave out what was not measured",
        ) from error  # fmt: skip
    return data


def record_from_json(data: Mapping[str, Any]) -> StepRecord:
    """Inverse of `record_to_json`; what other writers add to a line is left aside.

    Raises:
        StateError: no step, or no loss.
    """
    known = {entry.name for entry in fields(StepRecord)}
    parts = {name: value for name, value in data.items() if name in known}
    for name in ("alphas", "alarms"):
        if name in parts:
            parts[name] = tuple(parts[name])
    try:
        return StepRecord(**parts)
    except TypeError as error:
        raise StateError(
            f"no record of a step ({error})", where="step log", fix="read a log of this version"
        ) from error


def scalars(record: StepRecord) -> dict[str, float]:
    """The record as flat names and finite numbers, for trackers."""
    flat = {name: getattr(record, name) for name in _SCALARS}
    for name, short in _GROUPS.items():
        flat |= {f"{short}/{key}": value for key, value in getattr(record, name).items()}
    flat |= {f"alpha/{layer}": value for layer, value in enumerate(record.alphas)}
    flat |= {f"alarm/{name}": 1.0 for name in record.alarms}
    return {k: float(v) for k, v in flat.items() if v is not None and math.isfinite(v)}


def track(accelerator: Accelerator, record: StepRecord) -> None:
    """Send a step to the trackers that the accelerator was made with."""
    accelerator.log(scalars(record), step=record.step)
