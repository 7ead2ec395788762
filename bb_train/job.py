"""What `bb run` and `bb eval` are told: one YAML file, checked once, paths beside that file."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from pydantic import Field, ValidationError

from bb_core.files import read_yaml
from bb_train.config import Strict, usage_error

CONFIGS = Path(__file__).parents[1] / "configs"
"""The configurations that come with the source tree."""


class ServiceJob(Strict):
    """The demonstration service: data seed and preferred port (another is taken if it is busy)."""

    seed: int = Field(ge=0)
    port: int = Field(ge=0, le=65535)


class TracesJob(Strict):
    """How many traces of each split, drawn from one seed.

    `tuning` and `evaluation` are drawn apart: what a learning rate is tuned on is never reported.
    """

    seed: int = Field(ge=0)
    train: int = Field(ge=1)
    tuning: int = Field(ge=1)
    evaluation: int = Field(ge=1, description="of each reported split")


class TrainJob(Strict):
    """Training configurations, and how many processes train."""

    rail: Path
    lora: Path
    processes: int = Field(default=1, ge=1)
    seed: int = Field(default=0, ge=0)


class DecodeJob(Strict):
    """Budget of an answer in tokens, under the masks in bytes, and rows decoded together."""

    max_new_tokens: int = Field(ge=1)
    plan_bytes: int = Field(ge=1)
    batch_size: int = Field(ge=1)


class GateJob(Strict):
    """The gate's policy file, and how many fresh requests are measured."""

    policy: Path
    requests: int = Field(ge=1)


class Job(Strict):
    """The main job."""

    domain: Literal["api_json"]
    service: ServiceJob
    traces: TracesJob
    train: TrainJob
    decode: DecodeJob
    gate: GateJob
    question_seed: int = Field(ge=0, description="of the request that step 7 answers")


def load_job(path: Path) -> Job:
    """Read a job; relative paths in it are relative to its own folder.

    Raises:
        UsageError: a key is missing, unknown or out of range.
        BBError: the file is missing or no YAML.
    """
    try:
        job = Job.model_validate(read_yaml(path))
    except ValidationError as error:
        raise usage_error(error, str(path)) from None
    folder = path.parent
    train = {"rail": folder / job.train.rail, "lora": folder / job.train.lora}
    return job.model_copy(
        update={
            "train": job.train.model_copy(update=train),
            "gate": job.gate.model_copy(update={"policy": folder / job.gate.policy}),
        }
    )
