"""`bb train plan`: parameters, memory and step time of rail and LoRA, before anything is loaded."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from typing import Any

from bb_train.estimate import (
    Sizes,
    Work,
    base_work,
    count_sizes,
    lora_work,
    rail_work,
    standin_rail,
)
from bb_train.gpus import COMPUTE_SHARE, DISK_BYTES_PER_S, MEMORY_SHARE, NARROW_SHARE, Gpu

_BYTES = {"float32": 4.0, "bfloat16": 2.0, "mxfp4": 4.25 / 8}  # 4 bits, and 8 for each 32 of them
WEIGHTS = tuple(_BYTES)
_TRAINED_BYTES = 16  # float32 weight, gradient and AdamW's two moments
_USABLE = 0.9  # of a GPU's memory; the rest is the framework's and fragments


@dataclass(frozen=True)
class Cost:
    """One way to train.

    Attributes:
        trained: parameters.
        trained_bytes: of their weights, gradients and moments.
        saved_bytes: activations kept for the backward pass.
        total_bytes: base, trained and saved together.
        gpus: how many of the named GPU hold that.
        step_s: of a step, on that many GPUs that share it without loss.
    """

    trained: int
    trained_bytes: float
    saved_bytes: float
    total_bytes: float
    gpus: int
    step_s: float


@dataclass(frozen=True)
class TrainingPlan:
    """What `plan_training` found; sizes in bytes, times in seconds.

    Attributes:
        base: its name.
        gpu: the GPU.
        batch: rows of a step.
        length: tokens of each.
        weights: number type of the base.
        sizes: parameters.
        weight_bytes: of the base, by number type.
        rail: beside the base.
        lora: on the base.
        later_epoch_s: a rail's step when the base's states come from the disk.
        cached_bytes_per_token: of those states, in bfloat16.
        keys_bytes_per_token: of the base's keys and values when it decodes, in bfloat16.
    """

    base: str
    gpu: Gpu
    batch: int
    length: int
    weights: str
    sizes: Sizes
    weight_bytes: dict[str, float]
    rail: Cost
    lora: Cost
    later_epoch_s: float
    cached_bytes_per_token: int
    keys_bytes_per_token: int

    def to_json(self) -> dict[str, Any]:
        """As JSON values, the assumed shares included."""
        shares = {"compute": COMPUTE_SHARE, "narrow": NARROW_SHARE, "memory": MEMORY_SHARE}
        return {**asdict(self), "assumed_shares": shares}


def plan_training(
    name: str,
    config: Any,
    gpu: Gpu,
    *,
    batch: int,
    length: int,
    weights: str = "bfloat16",
    rank: int = 16,
    rail_fields: dict[str, Any] | None = None,
) -> TrainingPlan:
    """Estimate a training step of the rail, and of LoRA on the same base.

    Args:
        name: of the base, for the report.
        config: of the base.
        gpu: that trains.
        batch: rows of a step.
        length: tokens of each.
        weights: number type of the base; mxfp4 is of stacks of experts alone.
        rank: of LoRA.
        rail_fields: of `DualRailConfig`.
    """
    text = config.get_text_config(decoder=True)
    standin = standin_rail(config, rail_fields or {})
    sizes = count_sizes(config, standin, rank)
    weight_bytes = {kind: _weight_bytes(sizes, kind) for kind in _BYTES}
    held = weight_bytes[weights]
    base = base_work(config, batch, length)
    rail = rail_work(standin, text.vocab_size, batch, length)
    lora = lora_work(config, rank, batch, length)
    reading = _moving(held, gpu)
    base_s = max(_computing(base.flops, COMPUTE_SHARE, gpu), reading)
    head_flops = 4.0 * text.hidden_size * text.vocab_size * batch * (length - 1)
    own_s = _rail_seconds(rail, sizes.rail, head_flops, gpu)
    lora_s = max(_computing(lora.flops, COMPUTE_SHARE, gpu), 2 * reading)
    taps = len(standin.rail.tap_indices)
    per_token = taps * text.hidden_size * 2
    rail_cost = _cost(sizes.rail, rail, held, base_s + own_s, gpu)
    from_disk = per_token * batch * length / DISK_BYTES_PER_S
    heads = getattr(text, "num_key_value_heads", None) or text.num_attention_heads
    width = getattr(text, "head_dim", None) or text.hidden_size // text.num_attention_heads
    return TrainingPlan(
        base=name, gpu=gpu, batch=batch, length=length, weights=weights,
        sizes=sizes, weight_bytes=weight_bytes, rail=rail_cost,
        lora=_cost(sizes.lora, lora, held, lora_s + _updating(sizes.lora, gpu), gpu),
        later_epoch_s=max(own_s, from_disk),
        cached_bytes_per_token=per_token,
        keys_bytes_per_token=2 * text.num_hidden_layers * heads * width * 2,
    )  # fmt: skip


def plan_lines(plan: TrainingPlan) -> list[str]:
    """The plan for people."""
    sizes, gpu = plan.sizes, plan.gpu
    kinds = ", ".join(f"{kind} {_gb(size)}" for kind, size in plan.weight_bytes.items())
    active = f", {_count(sizes.active)} of them for each token" if sizes.experts else ""
    lines = [
        f"base {plan.base}: {_count(sizes.base)} parameters{active}",
        f"  weights: {kinds}; here {plan.weights}",
        f"  keys and values when decoding: {plan.keys_bytes_per_token / 1024:.0f} KiB a token",
        f"a step of {plan.batch} rows of {plan.length} tokens on {gpu.name} "
        f"({gpu.flops_per_s / 1e12:.0f} TFLOP/s, {_gb(gpu.memory_bytes)}, "
        f"{gpu.bytes_per_s / 1e9:.0f} GB/s):",
        f"  {'':18}{'builder rail':>16}{'LoRA':>16}",
    ]
    for title, show in (
        ("trained", lambda c: _count(c.trained)),
        ("  with optimiser", lambda c: _gb(c.trained_bytes)),
        ("activations", lambda c: _gb(c.saved_bytes)),
        ("memory in all", lambda c: _gb(c.total_bytes)),
        ("GPUs", lambda c: str(c.gpus)),
        ("step", lambda c: _time(c.step_s)),
    ):
        lines.append(f"  {title:18}{show(plan.rail):>16}{show(plan.lora):>16}")
    lines += [
        f"  {'later epochs':18}{_time(plan.later_epoch_s):>16}{'':>16}",
        f"states of the base on disk: {plan.cached_bytes_per_token / 1024:.1f} KiB a token "
        f"(bfloat16), {_gb(plan.cached_bytes_per_token * 1e6)} a million tokens",
        f"assumed: {COMPUTE_SHARE:.0%} of the peak in the base, {NARROW_SHARE:.0%} in the rail, "
        f"{MEMORY_SHARE:.0%} of the bandwidth, a disk of {DISK_BYTES_PER_S / 1e9:.0f} GB/s, "
        "several GPUs that share without loss",
    ]
    return lines


def _weight_bytes(sizes: Sizes, kind: str) -> float:
    if kind == "mxfp4":
        return sizes.experts * _BYTES[kind] + (sizes.base - sizes.experts) * _BYTES["bfloat16"]
    return sizes.base * _BYTES[kind]


def _rail_seconds(work: Work, trained: int, head_flops: float, gpu: Gpu) -> float:
    """The rail, the head and the update; the head is a large matrix product, the rest is narrow."""
    head = min(work.flops, head_flops)
    computing = _computing(head, COMPUTE_SHARE, gpu)
    computing += _computing(work.flops - head, NARROW_SHARE, gpu)
    return max(computing, _moving(2 * work.saved_bytes, gpu)) + _updating(trained, gpu)


def _cost(trained: int, work: Work, held: float, seconds: float, gpu: Gpu) -> Cost:
    kept = float(trained * _TRAINED_BYTES)
    total = held + kept + work.saved_bytes
    gpus = math.ceil(total / (gpu.memory_bytes * _USABLE))
    return Cost(trained, kept, work.saved_bytes, total, gpus, seconds / gpus)


def _computing(flops: float, share: float, gpu: Gpu) -> float:
    return flops / (gpu.flops_per_s * share)


def _moving(size: float, gpu: Gpu) -> float:
    return size / (gpu.bytes_per_s * MEMORY_SHARE)


def _updating(trained: int, gpu: Gpu) -> float:
    """AdamW reads all it holds and writes all but the gradient."""
    return _moving(trained * (_TRAINED_BYTES + 12), gpu)


def _gb(size: float) -> str:
    return f"{size / 1e9:,.3g} GB" if size >= 1e9 else f"{size / 1e6:,.3g} MB"


def _count(n: int) -> str:
    return f"{n / 1e9:.2f} B" if n >= 10**9 else f"{n / 1e6:.2f} M"


def _time(seconds: float) -> str:
    return f"{seconds:.2f} s" if seconds >= 1 else f"{seconds * 1e3:.1f} ms"
