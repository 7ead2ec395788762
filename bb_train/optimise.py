"""One optimiser step: forward passes over this process's rows, gradients, update.

Each process weighs its mean losses by their share of the global batch's target tokens, so the
gradient that DDP or FSDP averages is the one that a single process would compute, in however many
passes.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import TYPE_CHECKING, Any

from bb_train.base_batches import Row
from bb_train.config import OptimConfig
from bb_train.data import collate, process_rows
from bb_train.packing import pack

if TYPE_CHECKING:
    from bb_train.objectives.step_log import StepRecord
    from bb_train.prepare import Session


def learning_rate(optim: OptimConfig, step: int) -> float:
    """Rate of step `step` (from 0): linear warm-up, then a cosine to `floor` times the peak."""
    warm = max(1, round(optim.warmup * optim.steps))
    if step < warm:
        return optim.lr * (step + 1) / warm
    done = (step - warm) / max(1, optim.steps - warm)
    return optim.lr * (optim.floor + (1 - optim.floor) * 0.5 * (1 + math.cos(math.pi * done)))


def one_step(session: Session, batch: Sequence[Row]) -> tuple[float, StepRecord | None]:
    """One optimiser step on this process's rows of a global batch.

    Returns:
        This process's share of the batch's mean loss per token, and the objective's record if
        there is one (the same on every process).
    """
    config, accelerator = session.config, session.accelerator
    rank, world = accelerator.process_index, accelerator.num_processes
    mine = process_rows(batch, rank, world)
    total = sum(example.n_target for _, example in batch)
    for group in session.optimiser.param_groups:
        group["lr"] = learning_rate(config.optim, session.step)
    record = None
    if session.objective is None:
        share = _gradient(session, mine, total, world)
    else:
        record = session.objective.gradient(session, mine)
        share = record.loss / world
    accelerator.clip_grad_norm_(session.model.parameters(), config.optim.grad_clip)
    session.optimiser.step()
    session.optimiser.zero_grad()
    session.step += 1
    return share, record


def _gradient(session: Session, mine: Sequence[Row], total: int, world: int) -> float:
    """Accumulate the gradient over the passes of a step; returns this process's share of the loss.

    Processes are in step with one another only in the last pass (under DDP).
    """
    passes = min(session.config.optim.accumulate, len(mine))
    parts = [mine[len(mine) * n // passes : len(mine) * (n + 1) // passes] for n in range(passes)]
    found = 0.0
    for n, part in enumerate(parts):
        last = n + 1 == passes
        with nullcontext() if last else session.accelerator.no_sync(session.model):
            share = sum(example.n_target for _, example in part) / total
            with inputs_of(session, part) as inputs:
                loss = session.model(**inputs).loss
            session.accelerator.backward(loss * share * world)
        found += float(loss.detach()) * share
    return found


@contextmanager
def inputs_of(session: Session, rows: Sequence[Row]) -> Iterator[dict[str, Any]]:
    """Inputs of the model's forward pass on some rows, labels among them.

    Within the block the model finds the base's states where they come from elsewhere.
    """
    packing, extra = session.config.data.packing, {}
    examples = [example for _, example in rows]
    if packing is None or session.config.method == "rail":
        arrays = collate(examples, session.pad_id)
    else:
        packed = pack(examples, session.pad_id, packing.row_tokens)
        arrays = {
            "input_ids": packed.input_ids,
            "position_ids": packed.position_ids,
            "labels": packed.labels,
        }
        extra["use_cache"] = False  # with one, transformers would not look for packed rows
    with _precise(session), _given(session, rows):
        yield {k: v.to(session.accelerator.device) for k, v in arrays.items()} | extra


def _given(session: Session, rows: Sequence[Row]) -> AbstractContextManager[Any]:
    return nullcontext() if session.given is None else session.given.given(rows)


def _precise(session: Session) -> AbstractContextManager[Any]:
    """The precision of the run, where accelerate's own wrapper does not set it."""
    outside = session.twin is not None or session.given is not None
    return session.accelerator.autocast() if outside else nullcontext()
