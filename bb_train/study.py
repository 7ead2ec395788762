"""Trained runs and their scores, made when they are missing and reused when they are there.

A run's folder is named after the fingerprint of everything it is a function of, so equal inputs
find the finished run and changed inputs start another one beside it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from bb_core.canonical import file_sha256, fingerprint
from bb_core.errors import UsageError
from bb_core.files import write_atomic
from bb_core.trace import Trace, load_traces
from bb_core.workspace import Workspace
from bb_domains.domain import Domain, load_domain
from bb_domains.schema import schema_data
from bb_train.config import TrainConfig, dump_config, load_config, parse_config
from bb_train.evaluate import (
    METHOD_TITLES,
    METHODS,
    SPLITS,
    CellScores,
    DecodeBudget,
    cells_from_json,
    cells_to_json,
    evaluate_model,
)
from bb_train.processes import run_child, training_command
from bb_train.report import Training
from bb_train.run_dir import RunDir, read_record
from bb_train.steps import StepBook, code_fingerprint

_TRAINING_CODE = (
    "bb_core.plan",
    "bb_core.prompt",
    "bb_core.trace",
    "bem_kernel",
    "bb_nn",
    "bb_train.activation_cache",
    "bb_train.base_batches",
    "bb_train.checkpoint",
    "bb_train.constrained",
    "bb_train.data",
    "bb_train.loop",
    "bb_train.lora",
    "bb_train.methods",
    "bb_train.objectives",
    "bb_train.optimise",
    "bb_train.packing",
    "bb_train.prepare",
    "bb_train.programs",
    "bb_train.rematerialise",
    "bb_train.sharding",
    "bb_train.streaming",
)
_DECODING_CODE = ("bb_domains", "bb_runtime", "bb_core.ged", "bb_train.metrics")


@dataclass(frozen=True)
class Model:
    """Which base, and where and how it computes."""

    base: str | None = None
    device: str = "cpu"
    dtype: str = "float32"


@dataclass(frozen=True)
class Study:
    """Data, configurations and memory that several trainings and evaluations share.

    Attributes:
        work: workspace; runs go to its `runs`, scores to its `caches`.
        domain: folder or name of the domain.
        traces: folder with one JSONL file per split.
        configs: method -> training configuration file.
        model: the base under all methods.
        budget: how answers are decoded.
        processes: data-parallel processes of a training.
        book: remembers finished evaluations.
    """

    work: Workspace
    domain: str
    traces: Path
    configs: Mapping[str, Path]
    model: Model
    budget: DecodeBudget
    processes: int
    book: StepBook

    def load_domain(self) -> Domain:
        """The domain all methods are judged by."""
        return load_domain(self.domain)

    def splits(self) -> dict[str, list[Trace]]:
        """The reported splits."""
        return {split: load_traces(self.traces / f"{split}.jsonl") for split in SPLITS}


def training_config(study: Study, method: str, seed: int, words: Sequence[str]) -> TrainConfig:
    """The resolved configuration of one training, its folder named after its inputs.

    Args:
        study: data and configurations.
        method: a key of `study.configs`.
        seed: of initial weights and batches.
        words: further overrides, e.g. `lora.parameters=…`.
    """
    file = study.configs[method]
    config = load_config(file, list(words))
    data = {"train": study.traces / "train.jsonl", "domain": study.domain}
    update = {"seed": seed, "data": config.data.model_copy(update=data), **asdict(study.model)}
    config = parse_config(config.model_copy(update=update).model_dump(mode="json"), str(file))
    inputs = {
        "config": config.model_dump(
            mode="json", exclude={"out": True, "data": {"train", "domain"}}
        ),
        "data": file_sha256(config.data.train),
        "domain": domain_meaning(study.load_domain()),
        "base": base_files(study.model.base),
        "code": code_fingerprint(*_TRAINING_CODE),
        "processes": study.processes,
    }
    name = f"{method}-s{seed}-{fingerprint(inputs)[:12]}"
    return config.model_copy(update={"out": study.work.runs / name})


def base_files(base: str | None) -> Any:
    """Hashes of a base's files, or its id if it is no folder."""
    from bb_nn.base import EMBEDDED

    folder = EMBEDDED if base is None else Path(base)
    if not folder.is_dir():
        return base
    return {path.name: file_sha256(path) for path in sorted(folder.iterdir()) if path.is_file()}


def domain_meaning(domain: Domain) -> str:
    """Fingerprint of a domain without where its service is: a new port is no reason to retrain."""
    schema = {key: value for key, value in schema_data(domain.schema).items() if key != "service"}
    return fingerprint({"schema": schema, "grammar": domain.grammar})


def trained(study: Study, config: TrainConfig) -> tuple[Path, bool]:
    """The finished run of a configuration; trains it, or resumes it, if there is none yet.

    Returns:
        The run's folder, and whether it was there already.

    Raises:
        ChildError: the training failed.
    """
    run = RunDir(config.out)
    if run.is_finished():
        return run.root, True
    resolved = study.work.caches / f"{config.out.name}.yaml"
    write_atomic(resolved, dump_config(config))
    command = training_command(resolved, [], study.processes, config.device)
    run_child(command, where=f"training {config.method}", fix="run it again to resume")
    return run.root, False


def training_of(run: Path) -> Training:
    """What a finished run cost, from its record."""
    record = read_record(run)
    return Training(
        method=record["method"],
        seed=record["config"]["seed"],
        seconds=record["seconds"],
        steps=record["steps"],
        trainable_parameters=record["trainable_parameters"],
        run=str(run),
    )


def scored(study: Study, method: str, seed: int, run: Path | None) -> tuple[list[CellScores], bool]:
    """The scores of one model on all splits; decodes them if they are not remembered.

    Args:
        study: data and budget.
        method: "base", or the method of `run`.
        seed: of the training; names the cells.
        run: finished run, None for the base alone.

    Returns:
        The cells, and whether they were there already.
    """
    inputs = {
        "model": base_files(study.model.base) if run is None else read_record(run)["model"],
        "device": [study.model.device, study.model.dtype],
        "splits": {name: file_sha256(study.traces / f"{name}.jsonl") for name in SPLITS},
        "domain": domain_meaning(study.load_domain()),
        "budget": asdict(study.budget),
        "code": code_fingerprint(*_DECODING_CODE),
    }

    def make() -> dict[str, Any]:
        model, tokenizer = load_subject(study.model, run)
        cells = evaluate_model(
            model,
            tokenizer,
            study.load_domain(),
            study.splits(),
            study.budget,
            method=method,
            seed=seed,
        )
        return {"cells": cells_to_json(cells)}

    name = f"scores-{method}" if run is None else f"scores-{run.name}"
    result = study.book.result(name, inputs, make)
    return cells_from_json(result["cells"]), result["reused"]


def load_subject(model: Model, run: Path | None) -> tuple[Any, Any]:
    """(model, tokenizer) of a finished run, or of the base alone."""
    if run is None:
        from bb_nn.base import load_base

        return load_base(model.base, device=model.device, dtype=model.dtype)
    from bb_train.methods import load_trained

    return load_trained(run, model.device, model.dtype)


def check_methods(names: Sequence[str]) -> tuple[str, ...]:
    """The methods in the table's order.

    Raises:
        UsageError: an unknown name, or lora without rail, whose size it copies.
    """
    unknown = [name for name in names if name not in METHODS]
    if unknown:
        raise UsageError(
            f"no method {unknown[0]!r}", where="--methods", fix=f"use {', '.join(METHODS)}"
        )
    if "lora" in names and "rail" not in names:
        raise UsageError("lora copies the size of rail", where="--methods", fix="add rail")
    return tuple(method for method in METHODS if method in names)


def compare(
    study: Study, seeds: Sequence[int], methods: Sequence[str], say: Callable[[str], None]
) -> tuple[list[CellScores], list[Training]]:
    """Train and score every method for every seed; LoRA gets the rail's parameter count.

    Args:
        study: what they share.
        seeds: of the trainings; the base, which is not trained, is scored once.
        methods: from `check_methods`.
        say: prints one line.
    """
    cells: list[CellScores] = []
    trainings: list[Training] = []
    if "base" in methods:
        cells += _scored_and_said(study, ("base", 0, None), say)
    for seed in seeds:
        words: list[str] = []
        for method in [m for m in ("rail", "lora") if m in methods]:
            run, reused = trained(study, training_config(study, method, seed, words))
            say(f"{METHOD_TITLES[method]}: {'reused' if reused else 'trained'} {run.name}")
            trainings.append(training_of(run))
            words = [f"lora.parameters={trainings[-1].trainable_parameters}"]
            cells += _scored_and_said(study, (method, seed, run), say)
    return sorted(cells, key=lambda cell: (METHODS.index(cell.method), cell.seed)), trainings


def _scored_and_said(
    study: Study, subject: tuple[str, int, Path | None], say: Callable[[str], None]
) -> list[CellScores]:
    cells, reused = scored(study, *subject)
    if reused:
        say(f"{METHOD_TITLES[subject[0]]}: scores reused")
    return cells
