"""How fast are 64 streaming clients served, against transformers' own continuous batching?

Both engines serve the same embedded base rail, in this process, to 64 asyncio clients that read
tokens as they come and send their next request when an answer ends. The peer is the path of
`transformers serve --continuous-batching` below its HTTP layer (`CBGenerateManager`). Decoding is
greedy, since the peer shares one sampling among all requests; prompts and budgets vary by request.
"""

from __future__ import annotations

import asyncio
import itertools
import os
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from random import Random
from typing import TYPE_CHECKING, Any

from benchmarks.frame import Context, Measured, UnavailableError, row

if TYPE_CHECKING:
    from bb_runtime.engine import Engine

CLIENTS = 64


@dataclass(frozen=True)
class Ask:
    """One request: tokens of its prompt, and its budget."""

    prompt: list[int]
    budget: int


Client = Callable[[Ask], Awaitable[int]]
"""Streams one answer and returns the number of its tokens."""


@lru_cache(maxsize=1)
def _base() -> tuple[Any, Any]:
    from bb_nn.base import EMBEDDED, load_base, quiet_transformers

    if not (EMBEDDED / "tokenizer.json").exists():
        raise UnavailableError("no embedded base rail", where="serve_engine", fix="bb base train")
    quiet_transformers()
    return load_base()


@lru_cache(maxsize=1)
def _engine() -> Engine:
    from bb_runtime.engine import Engine

    return Engine(*_base(), name="base-rail")


def _asks(context: Context, clients: int, each: int) -> list[list[Ask]]:
    """The requests of each client: prompts of 20 to 300 tokens, budgets of 32 to 160."""
    _, tokenizer = _base()
    words = ("please", "refund", "order", "number", "for", "the", "damaged", "lamp", "and", "write")
    rng = Random(context.seed)
    made = []
    for _ in range(clients):
        own = []
        for _ in range(each):
            text = " ".join(rng.choice(words) for _ in range(rng.randint(12, 180)))
            prompt = list(tokenizer(f"### Request\n{text}\n### Plan\n")["input_ids"])
            own.append(Ask(prompt, rng.randint(32, 160)))
        made.append(own)
    return made


async def _ours(ask: Ask) -> int:
    from bb_runtime.engine import Sampling

    tokens = 0
    async for part in _engine().submit(ask.prompt, Sampling(ask.budget)):
        tokens += len(part.tokens)
    return tokens


def _peer() -> tuple[Client, Callable[[], None]]:
    """A client of transformers' continuous batching, and what stops it."""
    from copy import deepcopy

    from transformers import ContinuousBatchingConfig
    from transformers.cli.serving.utils import CBGenerateManager

    model, tokenizer = _base()
    served = deepcopy(model)  # it changes the model's attention
    configured = deepcopy(model.generation_config)
    configured.do_sample = False
    # As many tokens as ours holds at most, so that neither waits for memory.
    config = ContinuousBatchingConfig(num_blocks=CLIENTS * 2, max_batch_tokens=512)
    manager = CBGenerateManager(config)
    manager.init_cb(served, configured)
    numbers = iter(range(10**9))

    async def client(ask: Ask) -> int:
        own = deepcopy(configured)
        own.max_new_tokens = ask.budget
        queue, streamer = manager.generate_streaming(
            served, tokenizer, {"input_ids": ask.prompt}, own, request_id=f"r{next(numbers)}"
        )
        while (piece := await queue.get()) is not None:
            if not isinstance(piece, str):
                raise RuntimeError(f"the peer failed: {piece}")
        return int(streamer.total_tokens)

    return client, manager.stop


async def _serve(client: Client, asks: Sequence[Sequence[Ask]]) -> float:
    """Tokens a second while every client sends its requests one after another."""

    async def one(own: Sequence[Ask]) -> int:
        return sum([await client(ask) for ask in own])

    start_s = time.perf_counter()
    tokens = await asyncio.gather(*(one(own) for own in asks))
    return sum(tokens) / (time.perf_counter() - start_s)


@row(
    "serve.streams",
    peer_name="transformers serve, its continuous batching",
    unit="tokens/s",
    target=1.5,
)
def streams(context: Context) -> Measured:
    """64 clients, each with a few requests one after another."""
    repetitions, each = (5, 6) if context.full else (2, 1)
    client, stop = _peer()
    measured: tuple[list[float], list[float]] = ([], [])

    async def measure() -> None:
        warm = _asks(context, 4, 1)
        await _serve(_ours, warm)
        await _serve(client, warm)
        asks = _asks(context, CLIENTS, each)
        for i in range(repetitions):
            for side in (0, 1) if i % 2 == 0 else (1, 0):
                measured[side].append(await _serve((_ours, client)[side], asks))

    try:
        asyncio.run(measure())
    finally:
        stop()
    return Measured(*measured)


_SCHEMA = {
    "type": "object",
    "properties": {"order": {"type": "integer"}, "note": {"enum": ["late", "lost"]}},
    "required": ["order", "note"],
    "additionalProperties": False,
}


async def _mixed(asks: Sequence[Ask], number: int, until_s: float) -> int:
    """One client of every kind: free, sampled, under a schema, and leaving in the middle."""
    from bb_runtime.constraints import keep_to_schema
    from bb_runtime.engine import Sampling

    engine, tokens = _engine(), 0
    for turn, ask in enumerate(itertools.cycle(asks)):
        if time.perf_counter() > until_s:
            break
        constraint = None
        if (number + turn) % 4 == 0:
            constraint = keep_to_schema(engine.tokenizer, _SCHEMA, ask.budget)
        sampling = Sampling(
            ask.budget, temperature=0.8 * (turn % 2), top_p=0.9, seed=turn, stop=("###",)
        )
        async with engine.submit(ask.prompt, sampling, constraint, deadline_s=60) as generation:
            async for part in generation:
                tokens += len(part.tokens)
                if (number + turn) % 8 == 1 and tokens % 7 == 0:
                    break
    return tokens


@row("serve.memory", peer_name="limit", unit="MB in 10 min", target=1.0, better="less")
def memory(context: Context) -> Measured:
    """How fast the process grows while 64 mixed clients come and go, once it is warm.

    Ten minutes with `--full`, else half a minute. Any error of any client ends the row.
    """
    from bb_core.progress import Progress
    from benchmarks.resident import LIMIT_MB, Resident

    seconds = 600 if context.full else 30
    resident = Resident(os.getpid())

    async def watch(progress: Progress) -> None:
        for second in range(seconds):
            await asyncio.sleep(1)
            resident.weigh()
            progress.update(second + 1, note=resident.story())

    async def serve() -> None:
        asks = _asks(context, CLIENTS, 4)
        longest = max(itertools.chain(*asks), key=lambda ask: len(ask.prompt))
        widest = Ask(longest.prompt, max(ask.budget for ask in itertools.chain(*asks)))
        await asyncio.gather(*(_ours(widest) for _ in asks))  # as much as is ever held at once
        until_s = time.perf_counter() + seconds
        with Progress(seconds, "seconds of load") as progress:
            clients = (_mixed(own, i, until_s) for i, own in enumerate(asks))
            await asyncio.gather(watch(progress), *clients)

    asyncio.run(serve())
    if errors := _engine().stats().ended.get("error", 0):
        raise RuntimeError(f"{errors} requests failed")
    return Measured([resident.growth()], [LIMIT_MB])
