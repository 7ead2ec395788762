"""What an epoch costs that finds the base's states on the disk, beside the first one."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

from benchmarks.frame import Context, Measured, row, time_pair
from benchmarks.random_rails import LENGTH, ROWS, SMALL, batch, random_rail

_BATCHES = 4  # of an epoch


@row("rails.second_epoch", peer_name="the first epoch", unit="s", target=1 / 0.35, better="less")
def second_epoch(context: Context) -> Measured:
    """An epoch of training steps on an 8-layer base of width 384, float32, one thread.

    The first runs the base and writes its states (bfloat16) into an empty cache, the second reads
    them; both train the rail on 4 rows of 128 tokens a step.
    """
    import torch

    torch.set_num_threads(1)
    rail = random_rail(SMALL, context.seed).train()
    rows = _examples()
    optimiser = torch.optim.AdamW([p for p in rail.parameters() if p.requires_grad], lr=1e-4)
    with tempfile.TemporaryDirectory() as folder:
        number = iter(range(10_000))
        warm = _batches(rail, Path(folder) / "warm", rows)

        def epoch(given: Any) -> None:
            for at in range(0, len(rows), ROWS):
                _step(rail, optimiser, given, rows[at : at + ROWS])

        def first() -> None:
            epoch(_batches(rail, Path(folder) / str(next(number)), rows))

        second: Callable[[], None] = lambda: epoch(warm)  # noqa: E731
        second()
        return time_pair(second, first, repetitions=15 if context.full else 5)


def _examples() -> list[Any]:
    from bb_train.data import Example

    ids = batch(1, LENGTH)["input_ids"][0].tolist()
    # Each row another text, a loss at every position of the plan's half.
    return [(n, Example((*ids[:-1], 3 + n), LENGTH // 2)) for n in range(ROWS * _BATCHES)]


def _batches(rail: Any, folder: Path, rows: list[Any]) -> Any:
    from bb_nn.base import hidden_size
    from bb_nn.replay import tap_layers
    from bb_train.activation_cache import GIB, CacheKey, open_cache, tokens_sha256
    from bb_train.base_batches import BaseBatches

    examples = [example for _, example in rows]
    key = CacheKey(
        "random", tokens_sha256(examples), tuple(tap_layers(rail)), hidden_size(rail.base),
        False, "float32", "bfloat16",
    )  # fmt: skip
    return BaseBatches(rail, 0, open_cache(folder, key, examples, budget_bytes=GIB), None)


def _step(rail: Any, optimiser: Any, given: Any, rows: list[Any]) -> None:
    from bb_train.data import collate

    inputs = collate([example for _, example in rows], 0)
    with given.given(rows):
        loss = rail(**inputs).loss
    loss.backward()
    optimiser.step()
    optimiser.zero_grad()
