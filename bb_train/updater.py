"""Adapters-only updates: accepted traces in, a candidate out, base and production untouched.

The gate's continual loop decides which traces are accepted and what becomes of a candidate; this
makes the candidate. An update is a training run like any other, in a process of its own: bounded in
steps, resumed if it was killed, and recorded. Its folder is named after everything it is a function
of, so the same traces on the same rail are one update, however often they are asked for.

Source: builderbrain 5.5 (stage 4, continual: adapters-only online learning).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from bb_core.canonical import fingerprint, sha256_hex
from bb_core.errors import BBError
from bb_core.files import write_atomic
from bb_core.trace import Trace, save_traces, trace_line
from bb_train.config import TrainConfig, dump_config, parse_config
from bb_train.processes import run_child, training_command
from bb_train.provenance import tree_hashes
from bb_train.run_dir import RunDir, read_record


@dataclass(frozen=True)
class Candidate:
    """What an update made.

    Attributes:
        folder: the rail's files, ready to be registered.
        base: fingerprint of the base it belongs to.
        provenance: what it is a function of, as JSON values; no times.
    """

    folder: Path
    base: str
    provenance: dict[str, Any]


class Updater(Protocol):
    """Makes candidates of accepted traces."""

    def update(self, production: Path, traces: Sequence[Trace]) -> Candidate:
        """A candidate that has learned from the traces, starting at the rail in production."""


@dataclass(frozen=True)
class AdapterUpdater:
    """An `Updater` that trains the skills' adapters and nothing else.

    Attributes:
        config: base, domain, optimiser (whose `steps` bound the update) and lengths; what it says
            of method, data and folders is replaced.
        folder: that holds the updates.
    """

    config: TrainConfig
    folder: Path

    def update(self, production: Path, traces: Sequence[Trace]) -> Candidate:
        """Train the adapters of the rail in `production` on these traces.

        Args:
            production: folder of a trained rail; it is read.
            traces: accepted ones.

        Raises:
            BBError: there are no traces, or the rail has no adapters.
            ChildError: the training failed; asked again, it goes on where it was.
        """
        config = self.config_of(production, traces)
        run = RunDir(config.out)
        if not run.is_finished():
            save_traces(config.data.train, traces)
            file = config.out.with_suffix(".yaml")
            write_atomic(file, dump_config(config))
            run_child(
                training_command(file, [], 1, config.device),
                where=f"update {config.out.name}", fix="ask for it again to resume",
            )  # fmt: skip
        record = read_record(run.root)
        kept = ("method", "base", "domain", "data", "steps", "trainable_parameters")
        provenance = {name: record[name] for name in kept}
        provenance["parent"] = fingerprint(tree_hashes(production))
        return Candidate(run.model, record["base"], provenance)

    def config_of(self, production: Path, traces: Sequence[Trace]) -> TrainConfig:
        """The training run of an update.

        Raises:
            BBError: there are no traces.
        """
        if not traces:
            raise BBError("there are no accepted traces", where="update", fix="wait for some")
        lines = "\n".join(trace_line(trace) for trace in traces)
        inputs = {
            "production": tree_hashes(production),
            "traces": sha256_hex(lines.encode()),
            "config": self.config.model_dump(mode="json", exclude={"out": True, "data": {"train"}}),
        }
        place = self.folder / f"update-{fingerprint(inputs)[:16]}"
        raw = self.config.model_dump(mode="json")
        raw |= {"method": "rail", "start": str(production), "trains": "adapters"}
        raw |= {"out": str(place), "rail": {}}
        raw["data"] |= {
            "train": str(place.with_suffix(".jsonl")),
            "source": "jsonl",
            "stream": None,
        }
        return parse_config(raw, "update")
