"""The training loop: the same for every method, on one process or several."""

from __future__ import annotations

import signal
import threading
import time
from collections.abc import Generator, Iterator
from contextlib import closing, contextmanager
from typing import TYPE_CHECKING, Any

from bb_core.files import directory_atomic
from bb_core.progress import Progress
from bb_train import provenance
from bb_train.base_batches import Row
from bb_train.checkpoint import Position, optimiser_arrays, trained_state, write_checkpoint
from bb_train.config import TrainConfig
from bb_train.optimise import learning_rate, one_step
from bb_train.prepare import Session, make_accelerator, prepare
from bb_train.run_dir import RunDir, append_log, open_run, write_record
from bb_train.sharding import filled, trained_root, whole_state

if TYPE_CHECKING:
    from bb_train.objectives.step_log import StepRecord


class Interrupted(KeyboardInterrupt):
    """Training was asked to stop; a checkpoint was written and the run can be resumed."""


def train(config: TrainConfig, processes: int | None = None) -> RunDir:
    """Train to the end, resuming an unfinished run of the same configuration.

    Args:
        config: the run.
        processes: how many there must be, or None for however many the launcher started.

    Raises:
        UsageError: another number of processes, or more of them than rows in a batch.
        BBError: bad data, a finished run in `out`, a damaged checkpoint.
        Interrupted: on SIGINT or SIGTERM, after a checkpoint was written.
    """
    accelerator = make_accelerator(config, processes)
    run = RunDir(config.out)
    if accelerator.is_main_process:
        run = open_run(config)
    accelerator.wait_for_everyone()
    session, facts = prepare(config, run, accelerator)
    with _stop_requested() as stop:
        _run_steps(session, stop)
    _finish(session, facts)
    accelerator.wait_for_everyone()
    accelerator.end_training()
    return run


def _run_steps(session: Session, stop: threading.Event) -> None:
    session.model.train()
    saved = time.monotonic()
    with closing(_with_progress(session, session.batches())) as batches:
        for batch in batches:
            started = time.monotonic()
            loss_share, record = one_step(session, batch)
            session.seconds += time.monotonic() - started
            due = time.monotonic() - saved > session.config.checkpoint_every_s
            stopped, due = _agree(session, loss_share, stop.is_set(), due)
            _log_step(session, record)
            if stopped or due:
                _save(session)
                saved = time.monotonic()
            if stopped:
                raise Interrupted


def _with_progress(
    session: Session, batches: Iterator[list[Row]]
) -> Generator[list[Row], None, None]:
    """The batches, with a bar on the main process."""
    if not session.is_main:
        yield from batches
        return
    left = session.config.optim.steps - session.step
    with Progress(left, f"train {session.config.method}") as bar:
        for batch in batches:
            yield batch
            bar.advance(note=f"loss {session.smoothed_loss():.3f}")


def _agree(session: Session, loss_share: float, stop: bool, due: bool) -> tuple[bool, bool]:
    """Sum the loss over processes; all stop, or save, after the same step."""
    import torch

    mine = torch.tensor([loss_share, float(stop), float(due)], device=session.accelerator.device)
    loss, stopping, saving = session.accelerator.reduce(mine, reduction="sum").tolist()
    session.losses.append(loss)
    return stopping > 0, saving > 0


def _log_step(session: Session, record: StepRecord | None) -> None:
    """A line of the log, each step of an objective; and what trackers get, each step."""
    optim, config = session.config.optim, session.config
    line: dict[str, Any] = {
        "step": session.step,
        "loss": round(session.losses[-1], 6),
        "lr": learning_rate(optim, session.step - 1),
        "seconds": round(session.seconds, 3),
    }
    due = session.step == optim.steps or session.step % config.log_every == 0
    if session.accelerator.trackers or record is not None:
        from bb_train.objectives.step_log import StepRecord, record_to_json, track

        kept = record or StepRecord(session.step, session.losses[-1])
        track(session.accelerator, kept)
        line = record_to_json(kept) | line if record is not None else line
    if session.is_main and (due or record is not None):
        append_log(session.run, line)


def _save(session: Session) -> None:
    """Write a checkpoint; what it relies on elsewhere is on the disk before."""
    if session.given is not None:
        session.given.flush()
    optimiser = session.optimiser.optimizer
    if not session.is_main and session.twin is None:
        return
    weights, arrays = trained_state(session.plain), optimiser_arrays(optimiser)
    if session.is_main:
        objective = session.objective.to_json() if session.objective is not None else None
        position = Position(session.step, session.seconds, objective)
        hashes = write_checkpoint(session.run.checkpoint, weights, arrays, position)
        provenance.log_checkpoint(session.run, session.step, hashes)


def _finish(session: Session, facts: dict[str, Any]) -> None:
    """Write the model and the record."""
    model: Any = session.plain.eval()
    if session.twin is not None:
        root = trained_root(model)
        whole = filled(session.twin, whole_state(root.state_dict().items()))
        if root is model:
            model = whole
        else:
            model.rail = whole
    if not session.is_main:
        return
    with directory_atomic(session.run.model) as folder:
        model.save_pretrained(folder)
    facts["final_loss"] = round(session.smoothed_loss(), 6)
    facts["steps"] = session.step
    facts["seconds"] = round(session.seconds, 3)
    write_record(session.run, provenance.finish(session.run, facts))
    provenance.drop_checkpoint(session.run)


@contextmanager
def _stop_requested() -> Iterator[threading.Event]:
    """An event that SIGINT or SIGTERM sets; the loop leaves after the step in progress."""
    stop = threading.Event()
    names = (signal.SIGINT, signal.SIGTERM)
    before = [signal.signal(name, lambda *_: stop.set()) for name in names]
    try:
        yield stop
    finally:
        for name, handler in zip(names, before, strict=True):
            signal.signal(name, handler)
