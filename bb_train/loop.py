"""The training loop: the same for every method, on one process or several.

A step's global batch is a function of the seed alone. Each process computes every world-th row
and weighs its mean loss by its share of the batch's target tokens, so the gradient DDP averages
is the one a single process would compute.
"""

from __future__ import annotations

import math
import signal
import threading
import time
from collections.abc import Generator, Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from bb_core.doctor import cpu_features
from bb_core.errors import UsageError
from bb_core.files import directory_atomic
from bb_core.progress import Progress
from bb_train import provenance
from bb_train.checkpoint import Position, load_checkpoint, save_checkpoint
from bb_train.config import OptimConfig, TrainConfig
from bb_train.data import Example, batch_schedule, collate, encode_example, process_rows
from bb_train.methods import attach, count_trainable
from bb_train.run_dir import RunDir, append_log, open_run, truncate_log, write_record

if TYPE_CHECKING:
    import torch
    from accelerate import Accelerator

_SMOOTHED = 20  # steps the shown and the final loss are averaged over


class Interrupted(KeyboardInterrupt):
    """Training was asked to stop; a checkpoint was written and the run can be resumed."""


@dataclass
class Session:
    """One process's live objects of a run."""

    config: TrainConfig
    run: RunDir
    accelerator: Accelerator
    model: torch.nn.Module
    optimiser: torch.optim.Optimizer
    examples: Sequence[Example]
    pad_id: int
    step: int = 0
    seconds: float = 0.0
    losses: list[float] = field(default_factory=list)

    @property
    def is_main(self) -> bool:
        """Whether this process writes the run's files."""
        return bool(self.accelerator.is_main_process)

    def smoothed_loss(self) -> float:
        """Mean loss of the last steps, in nats per target token."""
        tail = self.losses[-_SMOOTHED:]
        return sum(tail) / max(1, len(tail))


def learning_rate(optim: OptimConfig, step: int) -> float:
    """Rate of step `step` (from 0): linear warm-up, then a cosine to `floor` times the peak."""
    warm = max(1, round(optim.warmup * optim.steps))
    if step < warm:
        return optim.lr * (step + 1) / warm
    done = (step - warm) / max(1, optim.steps - warm)
    return optim.lr * (optim.floor + (1 - optim.floor) * 0.5 * (1 + math.cos(math.pi * done)))


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
    accelerator = _accelerator(config, processes)
    run = RunDir(config.out)
    if accelerator.is_main_process:
        run = open_run(config)
    accelerator.wait_for_everyone()
    session, facts = _prepare(config, run, accelerator)
    with _stop_requested() as stop:
        _run_steps(session, stop)
    if session.is_main:
        _finish(session, facts)
    accelerator.wait_for_everyone()
    accelerator.end_training()
    return run


def _accelerator(config: TrainConfig, processes: int | None) -> Accelerator:
    from accelerate import Accelerator

    mixed = _precision(config)
    accelerator = Accelerator(cpu=config.device == "cpu", mixed_precision=mixed)
    started = accelerator.num_processes
    if processes is not None and started != processes:
        raise UsageError(
            f"the launcher started {started} processes, not {processes}",
            where="accelerate launch",
            fix="on a CPU machine use --multi_gpu, under which --num_processes counts",
        )
    if started > config.optim.batch_size:
        raise UsageError(
            f"{started} processes share {config.optim.batch_size} rows",
            where="optim.batch_size",
            fix="raise it to at least the number of processes",
        )
    return accelerator


def _precision(config: TrainConfig) -> str:
    """Accelerate's name of the precision to train in: "bf16" or "no"."""
    if config.autocast != "auto":
        return config.autocast
    if config.dtype == "bfloat16":
        return "bf16"
    if config.device == "cpu":
        return "bf16" if cpu_features() & {"avx512_bf16", "amx_bf16"} else "no"
    import torch

    return "bf16" if torch.cuda.is_bf16_supported() else "no"


def _prepare(
    config: TrainConfig, run: RunDir, accelerator: Accelerator
) -> tuple[Session, dict[str, Any]]:
    """Load data, base and method; returns the session and the facts for the record."""
    import torch
    from accelerate.utils import set_seed

    from bb_core.trace import load_traces
    from bb_domains.domain import load_domain
    from bb_nn.base import fingerprint, load_base

    traces = load_traces(config.data.train)[: config.data.limit]
    domain = load_domain(config.data.domain)
    base, tokenizer = load_base(config.base)
    facts = provenance.inputs(config, domain, fingerprint(base, tokenizer))
    examples = [encode_example(tokenizer, trace, config.data.max_tokens) for trace in traces]
    set_seed(config.seed)
    model = attach(config, base, tokenizer, traces, domain)
    facts["trainable_parameters"] = count_trainable(config.method, model)
    facts["processes"] = accelerator.num_processes
    facts["precision"] = accelerator.mixed_precision
    optimiser = torch.optim.AdamW(
        [p for p in model.parameters() if p.requires_grad],
        lr=config.optim.lr,
        weight_decay=config.optim.weight_decay,
        betas=config.optim.betas,
    )
    position = Position()
    if run.checkpoint.exists():
        position = load_checkpoint(run.checkpoint, model, optimiser)
    if accelerator.is_main_process:
        truncate_log(run, position.step)
        provenance.log_start(run, facts, position.step)
    model, optimiser = accelerator.prepare(model, optimiser)
    pad_id = tokenizer.eos_token_id if tokenizer.pad_token_id is None else tokenizer.pad_token_id
    session = Session(config, run, accelerator, model, optimiser, examples, pad_id)
    session.step, session.seconds = position.step, position.seconds
    return session, facts


def _run_steps(session: Session, stop: threading.Event) -> None:
    config = session.config
    schedule = batch_schedule(
        [len(example.ids) for example in session.examples],
        batch_size=config.optim.batch_size,
        steps=config.optim.steps,
        seed=config.seed,
    )
    session.model.train()
    saved = time.monotonic()
    with closing(_with_progress(session, schedule[session.step :])) as batches:
        for batch in batches:
            started = time.monotonic()
            loss_share = _one_step(session, batch)
            session.seconds += time.monotonic() - started
            stopped = _agree(session, loss_share, stop.is_set())
            if session.is_main:
                _log_step(session)
            if stopped or time.monotonic() - saved > config.checkpoint_every_s:
                _save(session)
                saved = time.monotonic()
            if stopped:
                raise Interrupted


def _with_progress(
    session: Session, batches: list[tuple[int, ...]]
) -> Generator[tuple[int, ...], None, None]:
    """The batches, with a bar on the main process."""
    if not session.is_main:
        yield from batches
        return
    with Progress(len(batches), f"train {session.config.method}") as bar:
        for batch in batches:
            yield batch
            bar.advance(note=f"loss {session.smoothed_loss():.3f}")


def _one_step(session: Session, batch: tuple[int, ...]) -> float:
    """One optimiser step; returns this process's share of the batch's mean loss per token."""
    config, accelerator = session.config, session.accelerator
    rank, world = accelerator.process_index, accelerator.num_processes
    rows = [session.examples[i] for i in process_rows(batch, rank, world)]
    arrays = {k: v.to(accelerator.device) for k, v in collate(rows, session.pad_id).items()}
    share = sum(e.n_target for e in rows) / sum(session.examples[i].n_target for i in batch)
    for group in session.optimiser.param_groups:
        group["lr"] = learning_rate(config.optim, session.step)
    loss = session.model(**arrays).loss
    accelerator.backward(loss * share * world)
    accelerator.clip_grad_norm_(session.model.parameters(), config.optim.grad_clip)
    session.optimiser.step()
    session.optimiser.zero_grad()
    session.step += 1
    return float(loss.detach()) * share


def _agree(session: Session, loss_share: float, stop: bool) -> bool:
    """Sum the loss over processes; all stop after the same step when any was asked to."""
    import torch

    mine = torch.tensor([loss_share, float(stop)], device=session.accelerator.device)
    loss, stopping = session.accelerator.reduce(mine, reduction="sum").tolist()
    session.losses.append(loss)
    return stopping > 0


def _log_step(session: Session) -> None:
    optim = session.config.optim
    if session.step == optim.steps or session.step % session.config.log_every == 0:
        line = {
            "step": session.step,
            "loss": round(session.losses[-1], 6),
            "lr": learning_rate(optim, session.step - 1),
            "seconds": round(session.seconds, 3),
        }
        append_log(session.run, line)


def _save(session: Session) -> None:
    if session.is_main:
        model = session.accelerator.unwrap_model(session.model)
        position = Position(session.step, session.seconds)
        hashes = save_checkpoint(
            session.run.checkpoint, model, session.optimiser.optimizer, position
        )
        provenance.log_checkpoint(session.run, session.step, hashes)


def _finish(session: Session, facts: dict[str, Any]) -> None:
    model = session.accelerator.unwrap_model(session.model).eval()
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
