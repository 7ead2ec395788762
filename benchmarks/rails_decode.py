"""What the builder rail adds to the time of decoding."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from benchmarks.frame import Context, Measured, row, time_pair
from benchmarks.random_rails import WIDE, batch, random_rail

_PROMPT = 64


def _decode(context: Context, rows: int) -> Measured:
    """Greedy decoding of a batch; each call continues a prompt of 64 tokens."""
    import torch

    from bb_nn.roomy import roomy_cache

    torch.set_num_threads(1)
    rail = random_rail(WIDE, context.seed).eval()
    inputs = batch(rows, _PROMPT)
    del inputs["labels"], inputs["use_cache"]
    tokens, repetitions = (128, 9) if context.full else (24, 5)

    def run(model: Any, cache: Callable[[], Any]) -> Callable[[], None]:
        return lambda: model.generate(
            **inputs, past_key_values=cache(), max_new_tokens=tokens, min_new_tokens=tokens,
            do_sample=False,
        )  # fmt: skip

    alone = run(rail.base, lambda: roomy_cache(rail.base.config))
    return time_pair(run(rail, rail.new_cache), alone, repetitions=repetitions)


@row("rails.decode_1", peer_name="the base alone", unit="s", target=1 / 1.05, better="less")
def decode_1(context: Context) -> Measured:
    """One row on a 12-layer base of width 768, float32, one thread; both with the same cache."""
    return _decode(context, 1)


@row("rails.decode_8", peer_name="the base alone", unit="s", target=1 / 1.03, better="less")
def decode_8(context: Context) -> Measured:
    """Eight rows."""
    return _decode(context, 8)
