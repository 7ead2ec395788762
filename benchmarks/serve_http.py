"""Whole servers over HTTP: 64 streaming clients at once, and calls of tools cut anywhere.

`serve.http` starts `bb serve` and `transformers serve --continuous-batching`, each a process of its
own on the same embedded base rail, and lets 64 clients stream completions from one and the other in
turn. An error, or memory that keeps growing, is a failure. `--full` takes ten minutes for each.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from typing import Any

from benchmarks.frame import Context, Measured, UnavailableError, row

CLIENTS = 64
CUTS = 64
READY_S = 180
MOST_GROWTH = 1.15

SERVE = """
from bb_core.cli import run_app
from bb_runtime.serve_cli import app
run_app(app, "bb serve")
"""


@dataclass
class Server:
    """A server under load.

    Attributes:
        url: of its API.
        model: its name there.
        process: of the server.
        sizes: resident memory in bytes, after each round.
    """

    url: str
    model: str
    process: subprocess.Popen[bytes]
    sizes: list[int] = field(default_factory=list)

    def weigh(self) -> None:
        """Note its memory."""
        import psutil

        self.sizes.append(psutil.Process(self.process.pid).memory_info().rss)


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listening:
        return int(listening.getsockname()[1])


@contextlib.contextmanager
def _running(command: Sequence[str], port: int, model: str) -> Iterator[Server]:
    """A server process, once it answers."""
    import httpx

    process = subprocess.Popen(
        command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        env=os.environ | {"HF_HUB_OFFLINE": "1"},
    )  # fmt: skip
    url = f"http://127.0.0.1:{port}"
    try:
        until_s = time.monotonic() + READY_S
        while True:
            if process.poll() is not None or time.monotonic() > until_s:
                raise UnavailableError("does not start", where=command[0], fix="run it by hand")
            with contextlib.suppress(httpx.HTTPError):
                if httpx.get(f"{url}/health", trust_env=False).is_success:
                    break
            time.sleep(0.2)
        yield Server(f"{url}/v1", model, process)
    finally:
        process.terminate()
        try:
            process.wait(60)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


@contextlib.contextmanager
def _both() -> Iterator[tuple[Server, Server]]:
    from bb_nn.base import EMBEDDED

    if not (EMBEDDED / "model.safetensors").exists():
        raise UnavailableError("no embedded base rail", where="serve_http", fix="bb base train")
    ours, peers = _free_port(), _free_port()
    # As many tokens as ours holds at most, so that neither waits for memory.
    peer = [
        str(Path(sys.executable).parent / "transformers"), "serve", str(EMBEDDED),
        "--continuous-batching", "--device", "cpu", "--dtype", "float32",
        "--cb-num-blocks", str(CLIENTS * 2), "--cb-max-batch-tokens", "512",
        "--host", "127.0.0.1", "--port", str(peers),
    ]  # fmt: skip
    own = [sys.executable, "-c", SERVE, "--port", str(ours), "--domain", ""]
    with _running(own, ours, "base-rail") as a, _running(peer, peers, str(EMBEDDED)) as b:
        yield a, b


def _asks(seed: int) -> list[dict[str, Any]]:
    """A request for each client: prompts of about 20 to 300 tokens, budgets of 32 to 160."""
    words = ("please", "refund", "order", "number", "for", "the", "damaged", "lamp", "and", "write")
    rng = Random(seed)
    asks = []
    for _ in range(CLIENTS):
        text = " ".join(rng.choice(words) for _ in range(rng.randint(12, 180)))
        prompt = f"### Request\n{text}\n### Plan\n"
        asks.append({"prompt": prompt, "max_tokens": rng.randint(32, 160), "stream": True})
    return asks


async def _stream(client: Any, server: Server, ask: dict[str, Any]) -> str:
    """The text of one streamed answer."""
    text, is_done = "", False
    body = ask | {"model": server.model}
    async with client.stream("POST", f"{server.url}/completions", json=body) as answer:
        answer.raise_for_status()
        async for line in answer.aiter_lines():
            data = line.removeprefix("data: ")
            if data in ("", line):
                continue
            if data == "[DONE]":
                is_done = True
                continue
            chunk = json.loads(data)
            if "error" in chunk:
                raise RuntimeError(f"{server.url}: {chunk['error']}")
            text += "".join(choice.get("text") or "" for choice in chunk["choices"])
            is_done = is_done or any(choice.get("finish_reason") for choice in chunk["choices"])
    if not is_done:
        raise RuntimeError(f"{server.url}: a stream broke off")
    return text


async def _load(server: Server, tokenizer: Any, seed: int) -> float:
    """Tokens a second while all clients stream an answer at the same time."""
    import httpx

    limits = httpx.Limits(max_connections=CLIENTS)
    async with httpx.AsyncClient(timeout=None, limits=limits, trust_env=False) as client:
        start_s = time.perf_counter()
        texts = await asyncio.gather(*(_stream(client, server, ask) for ask in _asks(seed)))
        took_s = time.perf_counter() - start_s
    server.weigh()
    return sum(len(tokens) for tokens in tokenizer(list(texts))["input_ids"]) / took_s


@row("serve.http", peer_name="transformers serve, over HTTP", unit="tokens/s", target=1.5)
def http(context: Context) -> Measured:
    """64 streaming clients of one server process, no error, flat memory."""
    from transformers import AutoTokenizer

    from bb_nn.base import EMBEDDED

    found: tuple[list[float], list[float]] = ([], [])
    with _both() as (own, peer):
        tokenizer = AutoTokenizer.from_pretrained(EMBEDDED)
        for server in (own, peer):
            asyncio.run(_load(server, tokenizer, -1))
        until_s = time.monotonic() + (1200 if context.full else 0)  # both take turns
        seed = context.seed
        while not found[0] or time.monotonic() < until_s:
            for server, figures in zip((own, peer), found, strict=True):
                figures.append(asyncio.run(_load(server, tokenizer, seed)))
            seed += 1
        _check_flat(own)
    return Measured(*found)


def _check_flat(server: Server) -> None:
    """Memory may grow while the first rounds fill its caches, not afterwards."""
    sizes = server.sizes
    if len(sizes) >= 8 and sizes[-1] > MOST_GROWTH * sizes[len(sizes) // 4]:
        raise RuntimeError(f"memory grows: {sizes}")


@row("serve.splits", peer_name="the same text uncut", unit="% the same", target=1.0)
def splits(context: Context) -> Measured:
    """Streamed calls of tools, each text cut in 64 ways."""
    from bb_runtime.http.tool_row import TAG

    rng = Random(context.seed)
    right, tried = 0, 0
    for _ in range(400 if context.full else 40):
        text = _calls_text(rng, TAG)
        whole = _read([text])
        for _ in range(CUTS):
            ends = sorted(rng.sample(range(1, len(text)), rng.randint(1, min(40, len(text) - 1))))
            pieces = [text[a:b] for a, b in zip([0, *ends], [*ends, len(text)], strict=True)]
            right += _read(pieces) == whole
            tried += 1
    return Measured([100 * right / tried], [100.0])


def _calls_text(rng: Random, tag: str) -> str:
    values = ['a "quoted" }] text', "<tool_call>", "☃\n\\", 12.5, None, [1, {"b": "]"}], {}]
    calls = [
        {"name": rng.choice(["f", "get_order", "x.y"]),
         "arguments": {f"k{i}": rng.choice(values) for i in range(rng.randint(0, 4))}}
        for _ in range(rng.randint(1, 4))
    ]  # fmt: skip
    said = rng.choice(["", "Let me look. ", "<tool", "a < b <tool_cal "])
    return said + tag + json.dumps(calls, separators=(",", ":"), ensure_ascii=False)


def _read(pieces: Sequence[str]) -> tuple[str, list[list[str]]]:
    """Text and calls that the events of a stream put together."""
    from bb_runtime.http.tool_stream import CallBegun, CallGoesOn, CallReader, Said

    reader, said, calls = CallReader("tagged"), "", list[list[str]]()
    for number, piece in enumerate(pieces):
        for event in reader.add(piece, is_last=number == len(pieces) - 1):
            match event:
                case Said():
                    said += event.text
                case CallBegun():
                    calls.append([event.name, ""])
                case CallGoesOn():
                    calls[event.index][1] += event.arguments
    return said, calls
