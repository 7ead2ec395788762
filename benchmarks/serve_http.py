"""Whole servers over HTTP: 64 streaming clients at once, and calls of tools cut anywhere.

`serve.http` starts `bb serve` and `transformers serve --continuous-batching`, each a process of its
own on the same embedded base rail, and lets 64 clients stream completions from one and the other in
turn. An error ends the row. `--full` goes on until ours has been under load for ten minutes, and
judges whether its memory stays flat then.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import json
import os
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from random import Random
from typing import Any

from bb_core.errors import BBError
from benchmarks.frame import Context, Measured, UnavailableError, row
from benchmarks.resident import LIMIT_MB, Resident

CLIENTS = 64
CUTS = 64
READY_S = 180

SERVE = """
from bb_core.cli import run_app
from bb_runtime.serve_cli import app
run_app(app, "bb serve")
"""


@dataclass(frozen=True)
class Server:
    """A server under load.

    Attributes:
        url: of its API.
        model: its name there.
        resident: its memory.
    """

    url: str
    model: str
    resident: Resident


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listening:
        return int(listening.getsockname()[1])


@contextlib.contextmanager
def _running(command: Sequence[str], port: int, model: str) -> Iterator[Server]:
    """A server process, once it answers.

    Raises:
        BBError: it ends, or does not answer in time.
    """
    import httpx

    with tempfile.TemporaryFile() as said:
        process = subprocess.Popen(
            command, stdout=said, stderr=said, env=os.environ | {"HF_HUB_OFFLINE": "1"}
        )
        url = f"http://127.0.0.1:{port}"
        try:
            until_s = time.monotonic() + READY_S
            while True:
                if process.poll() is not None or time.monotonic() > until_s:
                    said.seek(0)
                    why = said.read()[-300:].decode(errors="replace").strip()
                    raise BBError(f"does not answer: {why}", where=" ".join(command[:3]))
                with contextlib.suppress(httpx.HTTPError):
                    if httpx.get(f"{url}/health", trust_env=False).is_success:
                        break
                time.sleep(0.2)
            yield Server(f"{url}/v1", model, Resident(process.pid))
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


async def _load(
    server: Server, asks: Sequence[Sequence[dict[str, Any]]]
) -> tuple[list[str], float]:
    """The texts, and the seconds in which each client has streamed its answers one by one."""
    import httpx

    limits = httpx.Limits(max_connections=len(asks))
    async with httpx.AsyncClient(timeout=None, limits=limits, trust_env=False) as client:

        async def one(own: Sequence[dict[str, Any]]) -> list[str]:
            texts = []
            for ask in own:
                texts.append(await _stream(client, server, ask))
                server.resident.weigh()
            return texts

        start_s = time.perf_counter()
        texts = await asyncio.gather(*(one(own) for own in asks))
        took_s = time.perf_counter() - start_s
    return list(itertools.chain(*texts)), took_s


@lru_cache(maxsize=1)
def _loaded(context: Context) -> tuple[list[float], list[float], Resident]:
    """Tokens a second of both in every third round, which both take, and the memory of ours."""
    from transformers import AutoTokenizer

    from bb_core.progress import Progress
    from bb_nn.base import EMBEDDED

    seconds, each = (600, 4) if context.full else (1, 1)
    speeds: tuple[list[float], list[float]] = ([], [])
    with _both() as (own, peer), Progress(seconds, "seconds of load on ours") as progress:
        tokenizer = AutoTokenizer.from_pretrained(EMBEDDED)
        for server in (own, peer):
            asyncio.run(_load(server, [[ask] for ask in _asks(-1)]))
        under_load_s, rounds = 0.0, 0
        while under_load_s < seconds:
            seeds = range(context.seed + rounds * each, context.seed + (rounds + 1) * each)
            asks = list(zip(*map(_asks, seeds), strict=True))
            is_paired = rounds % 3 == 0  # the peer need not stand the whole time
            for server, found in zip((own, peer), speeds, strict=True):
                if server is own or is_paired:
                    texts, took_s = asyncio.run(_load(server, asks))
                    under_load_s += took_s if server is own else 0
                if is_paired:
                    found.append(sum(map(len, tokenizer(texts)["input_ids"])) / took_s)
            rounds += 1
            note = f"{speeds[0][-1]:.0f} and {speeds[1][-1]:.0f} tokens/s, {own.resident.story()}"
            progress.update(min(int(under_load_s), seconds), note=note)
    return *speeds, own.resident


@row("serve.http", peer_name="transformers serve, over HTTP", unit="tokens/s", target=1.5)
def http(context: Context) -> Measured:
    """64 streaming clients of one server process, and no error."""
    ours, peer, _ = _loaded(context)
    return Measured(ours, peer)


@row("serve.http_memory", peer_name="limit", unit="MB in 10 min", target=1.0, better="less")
def http_memory(context: Context) -> Measured:
    """How fast our server's memory grows under that load, once it is warm."""
    if not context.full:
        raise UnavailableError("one round shows no trend", where="serve_http", fix="give --full")
    return Measured([_loaded(context)[2].growth()], [LIMIT_MB])


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
