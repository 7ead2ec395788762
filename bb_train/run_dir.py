"""A training run on disk: configuration, step log, hash chain, checkpoint, model, record.

<run>/config.yaml      resolved configuration, written first, never changed
<run>/log.jsonl        one line per logged step
<run>/chain.jsonl      hash-chained entries: start, checkpoints, finish
<run>/checkpoint/      the latest one, until the run is finished
<run>/model/           what was trained, without the base
<run>/record.json      written last and read-only: its presence means the run is finished
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bb_core.canonical import canonical_json
from bb_core.errors import BBError
from bb_core.files import read_json, read_text, write_atomic
from bb_train.config import TrainConfig, dump_config, load_config

_READ_ONLY = 0o444


@dataclass(frozen=True)
class RunDir:
    """Paths of one run."""

    root: Path

    @property
    def config(self) -> Path:
        """Resolved configuration."""
        return self.root / "config.yaml"

    @property
    def log(self) -> Path:
        """Logged steps."""
        return self.root / "log.jsonl"

    @property
    def chain(self) -> Path:
        """Hash-chained entries."""
        return self.root / "chain.jsonl"

    @property
    def checkpoint(self) -> Path:
        """Folder of the latest checkpoint."""
        return self.root / "checkpoint"

    @property
    def model(self) -> Path:
        """Folder of what was trained."""
        return self.root / "model"

    @property
    def record(self) -> Path:
        """The immutable record."""
        return self.root / "record.json"

    def is_finished(self) -> bool:
        """Whether the record stands."""
        return self.record.exists()


def open_run(config: TrainConfig) -> RunDir:
    """Create the run directory, or reopen an unfinished one of the same configuration.

    Raises:
        BBError: the run is finished, or was started with another configuration.
    """
    run = RunDir(config.out)
    if run.is_finished():
        raise BBError("this run is finished", where=str(run.root), fix="choose another `out`")
    text = dump_config(config)
    if run.config.exists():
        if read_text(run.config) != text:
            raise BBError(
                "the unfinished run here has another configuration",
                where=str(run.config),
                fix="choose another `out`, or remove the directory",
            )
        return run
    run.root.mkdir(parents=True, exist_ok=True)
    write_atomic(run.config, text)
    return run


def write_record(run: RunDir, record: dict[str, Any]) -> None:
    """Write the immutable record; a second one is refused."""
    if run.is_finished():
        raise BBError("a record exists already", where=str(run.record), fix="choose another `out`")
    write_atomic(run.record, canonical_json(record) + b"\n")
    run.record.chmod(_READ_ONLY)


def read_record(root: Path) -> dict[str, Any]:
    """The record of a finished run.

    Raises:
        BBError: the run is missing or unfinished.
    """
    run = RunDir(root)
    if not run.is_finished():
        raise BBError(
            "there is no finished training run", where=str(root), fix="run `bb train` to its end"
        )
    return dict(read_json(run.record))


def read_config(root: Path) -> TrainConfig:
    """The resolved configuration of a run."""
    return load_config(RunDir(root).config)


def append_log(run: RunDir, line: dict[str, Any]) -> None:
    """Append one step to the log."""
    with run.log.open("a", encoding="utf-8") as file:
        file.write(json.dumps(line) + "\n")


def truncate_log(run: RunDir, step: int) -> None:
    """Drop what was logged after `step`: a resumed run repeats those steps."""
    if run.log.exists():
        lines = read_text(run.log).splitlines(keepends=True)
        kept = [line for line in lines if line.endswith("\n") and json.loads(line)["step"] <= step]
        write_atomic(run.log, "".join(kept))


def read_log(root: Path) -> list[dict[str, Any]]:
    """The logged steps of a run, in order."""
    path = RunDir(root).log
    return [json.loads(line) for line in read_text(path).splitlines()] if path.exists() else []
