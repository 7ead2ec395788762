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
ConstraintName = Literal[
    "cfs_energy", "kl_budget", "invariance", "calibration_loss", "build_loss", "reuse_loss"
]


class Strict(BaseModel):
    """A frozen pydantic model that refuses unknown keys."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class StreamConfig(Strict):
    """Data larger than memory: read from the source as it is trained on.

    `sample` is how many of the first traces the rail's lanes learn their programs from.
    """

    buffer: int = Field(default=2048, ge=1, description="traces among which each is drawn")
    sample: int = Field(default=4000, ge=1)


class PackingConfig(Strict):
    """Several examples in one row (`packing.py`)."""

    row_tokens: int = Field(default=0, ge=0, description="longest row; at least an example's")


class DataConfig(Strict):
    """Which traces are trained on, and how long an example may be.

    `train` is a JSONL file, or with `source: datasets` the name or folder of a dataset.
    """

    train: Path
    domain: str = "api_json"
    limit: int | None = Field(default=None, ge=1, description="use only the first traces")
    max_tokens: int = Field(default=512, ge=8, description="prompt and plan together")
    source: Literal["jsonl", "datasets"] = "jsonl"
    split: str = "train"
    stream: StreamConfig | None = None
    packing: PackingConfig | None = None


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
    accumulate: int = Field(default=1, ge=1, description="forward passes a process makes of a step")


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


class CacheConfig(Strict):
    """The base's states on disk (`activation_cache.py`): later epochs do not run the base."""

    folder: Path
    size_gib: float = Field(gt=0)
    storage: Literal["float32", "bfloat16"] = "float32"
    over: Literal["part", "refuse"] = "part"


class ConstraintConfig(Strict):
    """`loss <= limit`, in raw units, and how its dual moves."""

    limit: float
    rate: float = Field(default=0.1, gt=0)
    cap: float = Field(default=100.0, gt=0)


class ObjectivesConfig(Strict):
    """Constraints beside the task (`bb_train/objectives`), and how conflicts are settled.

    `general_text` is a text file whose lines the KL budget is kept on.
    """

    constraints: dict[ConstraintName, ConstraintConfig]
    rule: Literal["sum", "pcgrad", "cagrad"] = "pcgrad"
    warmup: int = Field(default=50, ge=0, description="steps after which the scales freeze")
    general_text: Path | None = None
    general_tokens: int = Field(default=64, ge=2, description="of general text in each step")
    keep: float = Field(default=0.5, ge=0, le=1, description="build_loss: of earlier skills")
    adapter_scale: float = Field(default=0.1, gt=0, description="reuse_loss: prior of adapters")

    @model_validator(mode="after")
    def _budget_has_text(self) -> ObjectivesConfig:
        if "kl_budget" in self.constraints and self.general_text is None:
            raise ValueError("kl_budget needs objectives.general_text")
        return self


class TrainConfig(Strict):
    """One training run. `rail` holds the fields of `bb_nn.rail.DualRailConfig`.

    `autocast` is the precision of the training's matrix products: `auto` is bf16 where the
    processor multiplies bfloat16 natively, else none. `parallel` is how several processes share
    the model: `ddp` copies it, `fully_shard` gives each a part (FSDP2). `rematerialise` makes the
    rail's activations again in the backward pass instead of keeping them. `trackers` are names that
    accelerate knows; null is TensorBoard where it is installed. `start` is the folder of a trained
    rail to go on from, and `trains: adapters` leaves all of it as it is but the skills' adapters.
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
    objectives: ObjectivesConfig | None = None
    activation_cache: CacheConfig | None = None
    parallel: Literal["ddp", "fully_shard"] = "ddp"
    rematerialise: bool = False
    trackers: tuple[str, ...] | None = None
    start: Path | None = None
    trains: Literal["all", "adapters"] = "all"
    checkpoint_every_s: float = Field(default=30.0, gt=0)
    log_every: int = Field(default=10, ge=1)

    @model_validator(mode="after")
    def _lora_has_a_size(self) -> TrainConfig:
        if self.method == "lora" and self.lora.parameters is None and self.lora.rank is None:
            raise ValueError("method lora needs lora.parameters (the rail's count) or lora.rank")
        return self

    @model_validator(mode="after")
    def _parts_fit_together(self) -> TrainConfig:
        for name in ("objectives", "activation_cache", "rematerialise", "start"):
            if getattr(self, name) and self.method != "rail":
                raise ValueError(f"{name} is for method rail")
        if self.trains == "adapters" and self.start is None:
            raise ValueError("trains: adapters needs start, a trained rail's folder")
        if self.activation_cache is not None and self.data.stream is not None:
            raise ValueError("activation_cache needs data that is known before: no data.stream")
        if self.objectives is not None and self.optim.accumulate > 1:
            raise ValueError("objectives take a whole batch at once: optim.accumulate must be 1")
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


def words_as_mapping(words: list[str]) -> dict[str, Any]:
    """What `dotted.key=value` words say by themselves, values read as YAML."""
    raw: dict[str, Any] = {}
    for word in words:
        _override(raw, word)
    return raw


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
