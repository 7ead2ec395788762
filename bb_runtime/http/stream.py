"""Server-sent events, and answers that end when their client goes away."""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import AsyncIterator, Callable, Mapping
from typing import Any

from fastapi import Request
from starlette.responses import Response, StreamingResponse
from starlette.types import Receive, Scope, Send

from bb_core.errors import BBError
from bb_runtime.engine import Completion, Generation
from bb_runtime.http.answers import Writer, usage
from bb_runtime.http.errors import CLIENT_GONE, error_data

logger = logging.getLogger(__name__)

DONE = b"data: [DONE]\n\n"
_HEADERS = {"cache-control": "no-cache", "x-accel-buffering": "no"}


class EventStream(StreamingResponse):
    """Server-sent events; whatever becomes of them, `at_end` is called.

    Args:
        events: encoded events.
        at_end: releases what the events come from.
    """

    def __init__(self, events: AsyncIterator[bytes], at_end: Callable[[], object]) -> None:
        super().__init__(events, media_type="text/event-stream", headers=_HEADERS)
        self._at_end = at_end

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send the events."""
        try:
            await super().__call__(scope, receive, send)
        finally:
            self._at_end()


def encode_event(data: Mapping[str, Any], event: str = "") -> bytes:
    """One event."""
    name = f"event: {event}\n" if event else ""
    return f"{name}data: {json.dumps(data, ensure_ascii=False)}\n\n".encode()


async def stream_answer(
    generation: Generation, writer: Writer, *, with_usage: bool
) -> AsyncIterator[bytes]:
    """The events of a generation, then `[DONE]`; a failure is an event of its own."""
    n_tokens = 0
    try:
        for chunk in writer.begin():
            yield encode_event(chunk)
        async for part in generation:
            n_tokens += len(part.tokens)
            for chunk in writer.chunks(part):
                yield encode_event(chunk)
        if with_usage:
            yield encode_event(writer.usage_chunk(usage(generation.prompt_tokens, n_tokens)))
    except Exception as error:
        if not isinstance(error, BBError):
            logger.exception("a stream failed")
        yield encode_event(error_data(error))
    yield DONE


async def until_gone(request: Request) -> None:
    """Wait until the client closes its connection."""
    while (await request.receive())["type"] != "http.disconnect":
        pass


async def finish(request: Request, generation: Generation) -> tuple[Completion, ...] | None:
    """Wait for a generation; cancel it when the client goes away, and return None then."""

    async def result() -> tuple[Completion, ...]:
        return await generation

    working, gone = asyncio.ensure_future(result()), asyncio.ensure_future(until_gone(request))
    try:
        await asyncio.wait({working, gone}, return_when=asyncio.FIRST_COMPLETED)
        return working.result() if working.done() else None
    finally:
        generation.cancel()
        for task in (working, gone):
            task.cancel()


def gone() -> Response:
    """What nobody reads; the log and the metrics do."""
    return Response(status_code=CLIENT_GONE)
