"""From a request's constraint fields to the engine's constraint, within limits on their size.

A constraint is compiled in a worker thread, and given up after a while: a grammar that takes long
to compile must not hold up the others.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

from transformers import PreTrainedTokenizerBase

from bb_runtime.constraints import keep_to_choice, keep_to_lark, keep_to_regex, keep_to_schema
from bb_runtime.engine import Busy, Constraint
from bb_runtime.http.bodies import Asking, ChatBody, JsonObjectFormat, SchemaFormat
from bb_runtime.http.errors import HttpError
from bb_runtime.http.limits import ServerLimits
from bb_runtime.http.tool_calls import keep_to_tools

T = TypeVar("T")

_WAITING = 64


class Compiler:
    """Compiles constraints in threads of its own, a few at a time.

    Args:
        limits: how large a constraint may be, and how long it may take.
    """

    def __init__(self, limits: ServerLimits) -> None:
        self._limits = limits
        self._threads = ThreadPoolExecutor(limits.compiling, "bb-compile")
        self._running = 0

    async def run(self, work: Callable[[], T]) -> T:
        """Do some work in a thread.

        Raises:
            Busy: too much is being compiled.
            HttpError: it takes too long. The thread goes on until it is done, and counts as busy.
        """
        if self._running >= _WAITING * self._limits.compiling:
            raise Busy("too many constraints are being compiled", retry_after_s=1)
        self._running += 1  # only the event loop's thread counts
        loop = asyncio.get_running_loop()
        future = self._threads.submit(work)
        future.add_done_callback(lambda _: loop.call_soon_threadsafe(self._leave))
        try:
            return await asyncio.wait_for(
                asyncio.wrap_future(future), self._limits.compile_timeout_s
            )
        except TimeoutError:
            raise HttpError(
                400,
                f"the constraint takes more than {self._limits.compile_timeout_s} s to compile",
                where="constraint",
                fix="simplify it",
                code="constraint_too_complex",
            ) from None

    def _leave(self) -> None:
        self._running -= 1

    def close(self) -> None:
        """Take no more work."""
        self._threads.shutdown(wait=False, cancel_futures=True)


def check_size(body: Asking, limits: ServerLimits) -> None:
    """Check that no constraint is larger or more deeply nested than is served.

    Raises:
        HttpError: one is.
    """
    wanted = body.model_dump(
        include={"response_format", "structured_outputs", "tools"}, exclude_none=True
    )
    size = len(json.dumps(wanted, ensure_ascii=False))
    if size > limits.max_constraint:
        raise HttpError(
            400,
            f"the constraint has {size} characters",
            where="constraint",
            fix=f"use {limits.max_constraint} or fewer",
            code="constraint_too_large",
        )


def make_constraint(
    tokenizer: PreTrainedTokenizerBase, body: Asking, budget: int
) -> Constraint | None:
    """What a body's text must keep to; None for nothing.

    Raises:
        MaskError: a constraint cannot be honoured.
    """
    if isinstance(body, ChatBody) and body.may_call:
        return keep_to_tools(
            tokenizer,
            body.tools or [],
            body.tool_choice,
            parallel=body.parallel_tool_calls is not False,
            max_new_tokens=budget,
        )
    match body.response_format:
        case SchemaFormat() as wanted:
            return keep_to_schema(tokenizer, wanted.json_schema.schema_, budget)
        case JsonObjectFormat():
            return keep_to_schema(tokenizer, {"type": "object"}, budget)
    asked = body.structured_outputs
    if asked is None:
        return None
    if asked.json_object:
        return keep_to_schema(tokenizer, {"type": "object"}, budget)
    if asked.grammar is not None:
        return keep_to_lark(tokenizer, asked.grammar)
    if asked.regex is not None:
        return keep_to_regex(tokenizer, asked.regex)
    if asked.choice is not None:
        return keep_to_choice(tokenizer, asked.choice)
    return keep_to_schema(tokenizer, asked.json_, budget)
