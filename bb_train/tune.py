"""The baseline gets a fair chance: LoRA's learning rate, tuned on a split no table reports."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bb_core.errors import UsageError
from bb_core.files import write_atomic
from bb_core.trace import load_traces
from bb_train.evaluate import evaluate_model
from bb_train.main_job import Place, prepared
from bb_train.metrics import summarise
from bb_train.study import Study, load_subject, trained, training_config, training_of


@dataclass(frozen=True)
class Trial:
    """One learning rate: final training loss, and exact match under masks on the tuning split."""

    lr: float
    loss: float
    exact: float
    ged: float
    run: str


def parse_rates(text: str) -> tuple[float, ...]:
    """Learning rates from a comma-separated list.

    Raises:
        UsageError: one of them is no number in (0, 1].
    """
    try:
        rates = tuple(float(part) for part in text.split(","))
    except ValueError:
        rates = ()
    if not rates or not all(0 < rate <= 1 for rate in rates):
        raise UsageError(
            f"{text!r} holds no learning rates", where="--rates", fix="write 1e-3,2e-3"
        )
    return rates


def best(trials: Sequence[Trial]) -> Trial:
    """Most exact matches, then the smallest edit distance."""
    return min(trials, key=lambda trial: (-trial.exact, trial.ged))


def tune(place: Place, rates: Sequence[float], say: Callable[[str], None]) -> dict[str, Any]:
    """Train LoRA with every rate, as large and as long as the rail, and keep what was found.

    Returns:
        The trials and the best rate, as written to `runs/tune-lora.json`.
    """
    with prepared(place, 3):
        pass
    study, seed = place.study(), place.job.train.seed
    rail, _ = trained(study, training_config(study, "rail", seed, []))
    size = training_of(rail).trainable_parameters
    trials = []
    for rate in rates:
        words = [f"lora.parameters={size}", f"optim.lr={rate!r}"]
        run, _ = trained(study, training_config(study, "lora", seed, words))
        trials.append(_trial(study, run, rate))
        say(f"lr {rate:g}: exact {100 * trials[-1].exact:.1f}%, GED {trials[-1].ged:.2f}")
    chosen = best(trials)
    path = place.work.runs / "tune-lora.json"
    document = {"parameters": size, "trials": [vars(t) for t in trials], "best": chosen.lr}
    write_atomic(path, json.dumps(document, indent=1))
    say(f"best: optim.lr={chosen.lr:g} (written to {path}); put it into {study.configs['lora']}")
    return document


def _trial(study: Study, run: Path, rate: float) -> Trial:
    from bb_train.run_dir import read_record

    model, tokenizer = load_subject(study.model, run)
    traces = load_traces(study.traces / "tuning.jsonl")
    cells = evaluate_model(
        model,
        tokenizer,
        study.load_domain(),
        {"tuning": traces},
        study.budget,
        method="lora",
        seed=0,
    )
    masked = summarise(next(cell.scores for cell in cells if cell.masked))
    loss = read_record(run)["final_loss"]
    return Trial(rate, loss, masked.exact.mean, masked.ged.mean, str(run))
