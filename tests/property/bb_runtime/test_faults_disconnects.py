"""Clients that go away at any moment: nothing of theirs stays, and nobody else notices."""

from __future__ import annotations

import asyncio
import gc
import json
from copy import deepcopy
from random import Random

import pytest

from bb_runtime.engine import Engine, Generation
from bb_runtime.http.app import create_app
from bb_runtime.http.limits import ServerLimits
from bb_runtime.text_row import TextRow

LIMITS = ServerLimits(hosts=("testserver",))
STAYING, LEAVING = 6, 40
CONSTRAINTS = [
    {},
    {"structured_outputs": {"regex": "[a-z]{1,40}"}},
    {"structured_outputs": {"grammar": 'start: ("a" | "b" | " ")+'}},
    {"structured_outputs": {"json": {"type": "array", "items": {"type": "integer"}}}},
]


def body(seed):
    rng = Random(seed)
    return {
        "prompt": "Please refund order " + "1" * rng.randint(1, 60), "max_tokens": 40,
        "temperature": 1.0, "seed": seed, "stream": True, **CONSTRAINTS[seed % len(CONSTRAINTS)],
    }  # fmt: skip


async def ask(app, asked, leave_after=None):
    """The text of a stream; the client goes away after so many messages, if it does."""
    sent, n_received, gone = [json.dumps(asked).encode()], 0, asyncio.Event()
    if leave_after == 0:
        gone.set()
    received = []

    async def receive():
        if sent:
            return {"type": "http.request", "body": sent.pop(), "more_body": False}
        await gone.wait()
        return {"type": "http.disconnect"}

    async def send(message):
        nonlocal n_received
        n_received += 1
        received.append(message.get("body", b""))
        if n_received == leave_after:
            gone.set()
        if gone.is_set():
            await asyncio.sleep(0)

    scope = {
        "type": "http", "asgi": {"version": "3.0"}, "http_version": "1.1", "method": "POST",
        "scheme": "http", "path": "/v1/completions", "raw_path": b"/v1/completions",
        "query_string": b"", "root_path": "", "client": ("127.0.0.1", 1),
        "server": ("testserver", 80),
        "headers": [(b"host", b"testserver"), (b"content-type", b"application/json")],
    }  # fmt: skip
    await app(scope, receive, send)
    events = [line[6:] for line in b"".join(received).split(b"\n") if line.startswith(b"data: {")]
    return "".join(json.loads(event)["choices"][0]["text"] for event in events)


async def crowd(app, seed):
    """Texts of those who stay, while others come and go away."""
    rng = Random(seed)

    async def come_and_go(number):
        asked = body(1000 + number) | {"stream": rng.random() < 0.7}
        await ask(app, asked, rng.choice([0, 1, 2, 3, 5, 8, 13, 21]))

    staying = [asyncio.ensure_future(ask(app, body(i))) for i in range(STAYING)]
    going = [asyncio.ensure_future(come_and_go(i)) for i in range(LEAVING)]
    texts = await asyncio.gather(*staying)
    await asyncio.gather(*going)
    return texts


@pytest.mark.parametrize("rounds", [1, pytest.param(40, marks=pytest.mark.slow)])
def test_clients_that_go_away_leave_nothing(model, tokenizer, rounds):
    engine = Engine(deepcopy(model).double(), tokenizer, "tiny")  # no ties to fall otherwise
    app = create_app(engine, LIMITS)

    async def main():
        async with app.router.lifespan_context(app):
            alone = [await ask(app, body(i)) for i in range(STAYING)]
            for seed in range(rounds):
                assert await crowd(app, seed) == alone
            while engine.stats().running or engine.stats().waiting:
                await asyncio.sleep(0.01)
            assert not asyncio.all_tasks() - {asyncio.current_task()}
            assert app.state.service.metrics.active == 0
            assert engine._worker._batch.lengths == []
            assert await ask(app, body(0)) == alone[0]
        return engine.stats().ended

    ended = asyncio.run(main())
    assert ended["cancelled"] > rounds * LEAVING / 4 and "error" not in ended
    gc.collect()
    kept = [thing for thing in gc.get_objects() if type(thing) in (TextRow, Generation)]
    assert not kept
