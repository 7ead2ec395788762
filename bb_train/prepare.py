"""From a configuration to the live objects of a run: processes, data, model, optimiser."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import islice
from typing import TYPE_CHECKING, Any

from bb_core.doctor import cpu_features
from bb_core.errors import UsageError
from bb_core.trace import Trace
from bb_train import provenance
from bb_train.activation_cache import GIB, CacheKey, open_cache, tokens_sha256
from bb_train.base_batches import BaseBatches, Row
from bb_train.checkpoint import (
    Checkpoint,
    Position,
    read_checkpoint,
    restore_optimiser,
    restore_weights,
)
from bb_train.config import TrainConfig
from bb_train.data import Example, batch_schedule, encode_example
from bb_train.methods import attach, count_trainable
from bb_train.packing import check_separation
from bb_train.rematerialise import rematerialise
from bb_train.run_dir import RunDir, truncate_log
from bb_train.sharding import empty_twin, shard, trained_root
from bb_train.streaming import decoded, raw_items, source_sha256, stream_batches
from bb_train.trackers import chosen_trackers

if TYPE_CHECKING:
    import torch
    from accelerate import Accelerator

    from bb_train.constrained import Objective

_SMOOTHED = 20  # steps the shown and the final loss are averaged over


@dataclass
class Session:
    """One process's live objects of a run.

    Attributes:
        config: resolved.
        run: its directory.
        accelerator: of this process.
        model: as it is called: inside DDP's wrapper, or sharded.
        plain: the model without wrappers.
        optimiser: over the trained parameters.
        pad_id: token of padding.
        examples: all examples; none of a stream.
        stream: gives batches of a stream, after so many.
        given: the base's states, where they do not come with the model's own forward pass.
        objective: constraints beside the task, or None.
        twin: of the trained module, without storage, where that is sharded.
        step: finished steps.
        seconds: that they took.
        losses: of the steps of this process's life.
    """

    config: TrainConfig
    run: RunDir
    accelerator: Accelerator
    model: torch.nn.Module
    plain: torch.nn.Module
    optimiser: Any
    pad_id: int = 0
    examples: Sequence[Example] = ()
    stream: Any = None
    given: BaseBatches | None = None
    objective: Objective | None = None
    twin: torch.nn.Module | None = None
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

    def batches(self) -> Iterator[list[Row]]:
        """The global batches that are still to be trained on."""
        optim = self.config.optim
        if self.stream is not None:
            for batch in islice(self.stream(self.step), optim.steps - self.step):
                yield [(-1, example) for example in batch]
            return
        schedule = batch_schedule(
            [len(example.ids) for example in self.examples],
            batch_size=optim.batch_size,
            steps=optim.steps,
            seed=self.config.seed,
        )
        for indices in schedule[self.step :]:
            yield [(i, self.examples[i]) for i in indices]


def make_accelerator(config: TrainConfig, processes: int | None) -> Accelerator:
    """This process's accelerator, with the configured trackers.

    Raises:
        UsageError: another number of processes than asked for, or too many for a batch.
    """
    from accelerate import Accelerator

    trackers = chosen_trackers(config.trackers)
    accelerator = Accelerator(
        cpu=config.device == "cpu",
        mixed_precision=_precision(config),
        log_with=trackers or None,
        project_dir=str(config.out) if trackers else None,
    )
    started = accelerator.num_processes
    if processes is not None and started != processes:
        raise UsageError(
            f"the launcher started {started} processes, not {processes}",
            where="accelerate launch",
            fix="on a CPU machine use --multi_gpu, under which --num_processes counts",
        )
    if config.parallel == "fully_shard" and started < 2:
        raise UsageError(
            "one process has nobody to share with", where="parallel: fully_shard",
            fix="start several processes, or use parallel: ddp",
        )  # fmt: skip
    _check_rows(config, started, config.optim.batch_size)
    return accelerator


def _check_rows(config: TrainConfig, started: int, rows: int) -> None:
    if started * config.optim.accumulate > rows:
        passes = f" in {config.optim.accumulate} passes" if config.optim.accumulate > 1 else ""
        raise UsageError(
            f"{started} processes share {rows} rows{passes}",
            where="optim.batch_size",
            fix="raise it to at least the number of processes times optim.accumulate",
        )


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


@dataclass(frozen=True)
class Data:
    """What is trained on: traces for the lanes, examples or a stream for the weights."""

    traces: Sequence[Trace]
    examples: Sequence[Example]
    stream: Any = None


def load_data(config: TrainConfig, tokenizer: Any) -> Data:
    """Read the data, or the beginning of a stream.

    Raises:
        BBError: a line is no trace, or a trace is too long; names file and line.
    """
    data = config.data

    def encode(trace: Trace, where: str) -> Example:
        return encode_example(tokenizer, trace, data.max_tokens, where)

    if data.stream is None:
        items = [(where, decoded((where, raw))) for where, raw in raw_items(data)]
        return Data([t for _, t in items], [encode(t, where) for where, t in items])
    size, buffer = config.optim.batch_size, data.stream.buffer

    def batches(skip: int) -> Iterator[list[Example]]:
        return stream_batches(
            lambda: raw_items(data), encode,
            batch_size=size, buffer=buffer, seed=config.seed, skip=skip,
        )  # fmt: skip

    return Data([decoded(i) for i in islice(raw_items(data), data.stream.sample)], [], batches)


def prepare(
    config: TrainConfig, run: RunDir, accelerator: Accelerator
) -> tuple[Session, dict[str, Any]]:
    """Load data, base and method; returns the session and the facts for the record."""
    from accelerate.utils import set_seed

    from bb_domains.domain import load_domain
    from bb_nn.base import fingerprint, load_base

    domain = load_domain(config.data.domain)
    base, tokenizer = load_base(config.base)
    data = load_data(config, tokenizer)
    if data.stream is None:
        size = min(config.optim.batch_size, len(data.examples))
        _check_rows(config, accelerator.num_processes, size)
    base_print = fingerprint(base, tokenizer)
    facts = provenance.inputs(config, domain, base_print, source_sha256(config.data))
    set_seed(config.seed)
    pad_id = tokenizer.eos_token_id if tokenizer.pad_token_id is None else tokenizer.pad_token_id
    if config.data.packing is not None:
        check_separation(base, data.examples or next(data.stream(0)), pad_id)
    plain = attach(config, base, tokenizer, data.traces, domain)
    facts["trainable_parameters"] = count_trainable(config, plain)
    facts["processes"] = accelerator.num_processes
    facts["precision"] = accelerator.mixed_precision
    saved = read_checkpoint(run.checkpoint) if run.checkpoint.exists() else None
    session = _assembled(config, run, accelerator, plain, saved)
    session.pad_id, session.examples, session.stream = pad_id, data.examples, data.stream
    if config.method == "rail":
        session.given = _given_batches(session, base_print, facts)
    if config.objectives is not None:
        from bb_train.constrained import make_objective

        session.objective = make_objective(session, tokenizer, domain)
    position = saved.position if saved else Position()
    if session.objective is not None and position.objective is not None:
        session.objective.restore(position.objective)
    session.step, session.seconds = position.step, position.seconds
    if accelerator.is_main_process:
        truncate_log(run, position.step)
        provenance.log_start(run, facts, position.step)
    if accelerator.log_with:
        accelerator.init_trackers("tracking")
    return session, facts


def _assembled(
    config: TrainConfig,
    run: RunDir,
    accelerator: Accelerator,
    plain: torch.nn.Module,
    saved: Checkpoint | None,
) -> Session:
    """The session without its data: model and optimiser, restored and spread over processes."""
    if saved is not None:
        restore_weights(plain, saved)
    if config.rematerialise:
        rematerialise(plain)
    twin = None
    if config.parallel == "fully_shard":
        twin = empty_twin(trained_root(plain))
        plain.to(accelerator.device)
        shard(plain, accelerator.num_processes, accelerator.device)
    optimiser = _optimiser(config, plain)
    if saved is not None:
        restore_optimiser(optimiser, saved)
    if twin is None:
        model, optimiser = accelerator.prepare(plain, optimiser)
    else:
        model, optimiser = plain, accelerator.prepare(optimiser)
    session = Session(config, run, accelerator, model, plain, optimiser)
    session.twin = twin
    return session


def _optimiser(config: TrainConfig, model: torch.nn.Module) -> torch.optim.Optimizer:
    import torch

    return torch.optim.AdamW(
        [p for p in model.parameters() if p.requires_grad],
        lr=config.optim.lr,
        weight_decay=config.optim.weight_decay,
        betas=config.optim.betas,
    )


def _given_batches(session: Session, base: str, facts: dict[str, Any]) -> BaseBatches | None:
    """What gives the rail the base's states, if packing or the cache is asked for."""
    from bb_nn.base import hidden_size
    from bb_nn.replay import base_states, tap_layers

    config = session.config
    wanted, packing = config.activation_cache, config.data.packing
    if wanted is None and packing is None:
        return None
    model: Any = session.plain
    cache = None
    if wanted is not None:
        probe = torch_ids(session.examples[0], model.device)
        key = CacheKey(
            base=base,
            data=tokens_sha256(session.examples),
            taps=tuple(tap_layers(model)),
            width=hidden_size(model.base),
            in_tuples=base_states(model, input_ids=probe).in_tuples,
            compute=f"{config.dtype}+{session.accelerator.mixed_precision}+{model.device.type}",
            storage=wanted.storage,
        )
        cache = open_cache(
            wanted.folder, key, session.examples,
            budget_bytes=wanted.size_gib * GIB, over=wanted.over,
        )  # fmt: skip
        facts["activation_cache"] = cache.facts()
    rows = packing.row_tokens if packing is not None else None
    return BaseBatches(model, session.pad_id, cache, rows)


def torch_ids(example: Example, device: torch.device) -> torch.Tensor:
    """(1, T) token ids of an example."""
    import torch

    return torch.tensor([example.ids], device=device)
