"""Do hostile constraints do any harm? Each is decided in time, and the server serves on.

`plans.faults` sends what `benchmarks.hostile` makes to the application of `bb serve`, in this
process. A constraint is decided when it is answered, or refused with a typed error, before the
server's deadlines are over. A row that falls short has met a hang, a crash or a fault of ours.
"""

from __future__ import annotations

import itertools
import json
import time
from collections.abc import Iterator
from contextlib import contextmanager
from random import Random
from typing import Any

from benchmarks.frame import Context, Measured, UnavailableError, row
from benchmarks.hostile import Hostile, hostile

MANY, FEW = 10_000, 100
DEADLINE_S = 5.0
MOST_GROWTH_BYTES = 2 << 30


def body(one: Hostile) -> bytes:
    """The request that asks for a constraint."""
    return json.dumps(_body(one)).encode()  # ASCII: half a surrogate pair goes as an escape


def _body(one: Hostile) -> dict[str, Any]:
    found = {"max_tokens": 24, "deadline_s": DEADLINE_S, "temperature": 1.0, "seed": 1}
    if one.kind != "tools":
        return {**found, "prompt": "x", "structured_outputs": {one.kind: one.value}}
    tool = {"type": "function", "function": {"name": "f", "parameters": one.value}}
    messages = [{"role": "user", "content": "x"}]
    return {**found, "messages": messages, "tools": [tool], "tool_choice": "required"}


def is_decided(client: Any, one: Hostile, latest_s: float) -> bool:
    """Send a constraint; whether it was answered, or refused with a typed error, in time."""
    path = "chat/completions" if one.kind == "tools" else "completions"
    start_s = time.monotonic()
    answer = client.post(
        f"/v1/{path}", content=body(one), headers={"content-type": "application/json"}
    )
    in_time = time.monotonic() - start_s < latest_s
    if answer.status_code == 200:
        return in_time
    error = answer.json()["error"]
    return in_time and 400 <= answer.status_code < 500 and bool(error["message"] and error["type"])


def _size_bytes() -> int:
    import psutil

    return int(psutil.Process().memory_info().rss)


@contextmanager
def _client() -> Iterator[Any]:
    from fastapi.testclient import TestClient
    from transformers import AutoModelForCausalLM, AutoTokenizer

    from bb_nn.base import EMBEDDED
    from bb_runtime.engine import Engine
    from bb_runtime.http.app import create_app
    from bb_runtime.http.limits import ServerLimits

    if not (EMBEDDED / "tokenizer.json").exists():
        raise UnavailableError("no embedded base rail", where="plans_faults", fix="bb base train")
    tokenizer = AutoTokenizer.from_pretrained(EMBEDDED, local_files_only=True)
    model = AutoModelForCausalLM.from_pretrained(EMBEDDED, local_files_only=True).float()
    app = create_app(Engine(model, tokenizer, "base"), ServerLimits(hosts=("testserver",)))
    with TestClient(app) as client:
        yield client


@row("plans.faults", peer_name="limit", unit="of constraints", target=1.0)
def faults(context: Context) -> Measured:
    """Hostile grammars, schemas and patterns that are decided before the deadlines are over."""
    from bb_runtime.http.limits import ServerLimits

    latest_s = ServerLimits().compile_timeout_s + DEADLINE_S
    seeds = itertools.count(context.seed * MANY)
    n = MANY if context.full else FEW
    with _client() as client:
        is_decided(client, hostile(Random(0)), latest_s)
        before_bytes = _size_bytes()
        found = [is_decided(client, hostile(Random(next(seeds))), latest_s) for _ in range(n)]
        serves = client.post("/v1/completions", json={"prompt": "x", "max_tokens": 3}).is_success
        grown = _size_bytes() - before_bytes > MOST_GROWTH_BYTES
    return Measured([sum(found) / n if serves and not grown else 0.0], [1.0])
