"""What a training run is told: a YAML file plus `key=value` words, checked once at the edge."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any, Literal

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from bb_core.errors import UsageError
from bb_core.files import read_yaml

_EXPONENT = re.compile(r"[+-]?\d+(\.\d*)?[eE][+-]?\d+")  # YAML 1.1 reads 1e-3 as a string
Method = Literal["rail", "lora", "full"]


class Strict(BaseModel):
    """A frozen pydantic model that refuses unknown keys."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class DataConfig(Strict):
    """Which traces are trained on, and how long an example may be."""

    train: Path
    domain: str = "api_json"
    limit: int | None = Field(default=None, ge=1, description="use only the first traces")
    max_tokens: int = Field(default=512, ge=8, description="prompt and plan together")


class OptimConfig(Strict):
    """AdamW with linear warm-up and a cosine down to `floor` times the peak."""

    lr: float = Field(gt=0, le=1)
    steps: int = Field(ge=1)
    batch_size: int = Field(default=16, ge=1, description="rows of a step over all processes")
    warmup: float = Field(default=0.05, ge=0, le=1, description="fraction of the steps")
    floor: float = Field(default=0.05, ge=0, le=1)
    weight_decay: float = Field(default=0.01, ge=0)
    betas: tuple[float, float] = (0.9, 0.95)
    grad_clip: float = Field(default=1.0, gt=0)


class LoraShape(Strict):
    """Size of the LoRA baseline: a rank, or the parameter count the ranks are solved from."""

    parameters: int | None = Field(default=None, ge=1)
    rank: int | None = Field(default=None, ge=1)
    alpha_over_rank: float = Field(default=2.0, gt=0)
    dropout: float = Field(default=0.0, ge=0, lt=1)

    @model_validator(mode="after")
    def _one_size(self) -> LoraShape:
        if self.parameters is not None and self.rank is not None:
            raise ValueError("give parameters or rank, not both")
        return self


class TrainConfig(Strict):
    """One training run. `rail` holds the fields of `bb_nn.rail.DualRailConfig`.

    `autocast` is the precision of the training's matrix products: `auto` is bf16 where the
    processor multiplies bfloat16 natively, else none.
    """

    method: Method
    out: Path
    data: DataConfig
    optim: OptimConfig
    base: str | None = None
    device: str = "cpu"
    dtype: Literal["float32", "bfloat16"] = "float32"
    autocast: Literal["auto", "no", "bf16"] = "auto"
    seed: int = Field(default=0, ge=0, lt=2**31)
    rail: dict[str, Any] = Field(default_factory=dict)
    lora: LoraShape = LoraShape()
    checkpoint_every_s: float = Field(default=30.0, gt=0)
    log_every: int = Field(default=10, ge=1)

    @model_validator(mode="after")
    def _lora_has_a_size(self) -> TrainConfig:
        if self.method == "lora" and self.lora.parameters is None and self.lora.rank is None:
            raise ValueError("method lora needs lora.parameters (the rail's count) or lora.rank")
        return self


def load_config(path: Path, words: list[str] | None = None) -> TrainConfig:
    """Read a training configuration and apply `dotted.key=value` words over it.

    Args:
        path: YAML file.
        words: overrides; each value is read as YAML, so `optim.lr=1e-3` is not a string.

    Raises:
        UsageError: a value out of range, an unknown key, a word without `=`.
        BBError: the file is missing or is no YAML.
    """
    raw = read_yaml(path)
    if not isinstance(raw, dict):
        raise UsageError("the file holds no mapping", where=str(path), fix="write `method: rail` …")
    for word in words or []:
        _override(raw, word)
    return parse_config(raw, str(path))


def parse_config(raw: dict[str, Any], where: str) -> TrainConfig:
    """Check a mapping against `TrainConfig`, naming the first bad key.

    Raises:
        UsageError: naming `where`, the dotted key and what is allowed there.
    """
    try:
        return TrainConfig.model_validate(raw)
    except ValidationError as error:
        raise usage_error(error, where) from None


def usage_error(error: ValidationError, where: str) -> UsageError:
    """The first fault pydantic found, as an error that names the place and the key."""
    first = error.errors()[0]
    key = ".".join(str(part) for part in first["loc"]) or "(the whole file)"
    more = f" ({error.error_count() - 1} more)" if error.error_count() > 1 else ""
    return UsageError(
        f"{first['msg']}{more}", where=f"{where}: {key}", fix=f"correct {key} in the file or word"
    )


def _override(raw: dict[str, Any], word: str) -> None:
    key, equals, value = word.partition("=")
    if not equals or not key:
        raise UsageError(f"{word!r} is no override", where="words", fix="write key=value")
    node = raw
    *parents, leaf = key.split(".")
    for parent in parents:
        child = node.setdefault(parent, {})
        if not isinstance(child, dict):
            raise UsageError(f"{parent!r} holds no keys", where=word, fix=f"set {parent} itself")
        node = child
    node[leaf] = _yaml_value(word, value)


def _yaml_value(word: str, value: str) -> Any:
    try:
        parsed = yaml.safe_load(value)
    except yaml.YAMLError:
        raise UsageError("the value is no YAML", where=word, fix="quote the value") from None
    if isinstance(parsed, str) and _EXPONENT.fullmatch(parsed):
        return float(parsed)
    return parsed


def dump_config(config: TrainConfig) -> str:
    """The resolved configuration as YAML; `load_config` reads it back to an equal value."""
    return yaml.safe_dump(config.model_dump(mode="json"), sort_keys=False, allow_unicode=True)
