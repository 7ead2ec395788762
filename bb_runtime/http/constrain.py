"""From a request's constraint fields to the engine's constraint, within limits on their size.

A constraint is compiled in a worker thread, and given up after a while: a grammar that takes long
to compile must not hold up the others.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import threading
from collections.abc import Callable
from concurrent.futures import Future
from typing import TypeVar

from transformers import PreTrainedTokenizerBase

from bb_runtime.constraints import keep_to_choice, keep_to_lark, keep_to_regex, keep_to_schema
from bb_runtime.engine import Busy, Constraint
from bb_runtime.http.bodies import Asking, ChatBody, JsonObjectFormat, SchemaFormat
from bb_runtime.http.limits import ServerLimits
from bb_runtime.http.refusal import HttpError
from bb_runtime.http.tool_calls import keep_to_tools

T = TypeVar("T")

_WAITING = 256


class Compiler:
    """Compiles constraints in threads of its own, a few at a time.

    The threads are daemons: one that is lost in a constraint does not keep the process from ending.

    Args:
        limits: how long a constraint may take, and how many are compiled at the same time.
    """

    def __init__(self, limits: ServerLimits) -> None:
        self._limits = limits
        self._free = asyncio.Semaphore(limits.compiling)
        self._waiting = 0

    async def run(self, work: Callable[[], T]) -> T:
        """Do some work in a thread.

        Raises:
            Busy: too many constraints wait, or those before it take too long.
            HttpError: it takes too long. Its thread goes on, and holds its place until it is done.
        """
        if self._waiting >= _WAITING:
            raise Busy("too many constraints wait to be compiled", retry_after_s=1)
        self._waiting += 1
        has_begun = False
        try:
            async with asyncio.timeout(self._limits.compile_timeout_s):
                has_begun = await self._free.acquire()
                return await asyncio.wrap_future(self._start(work))
        except TimeoutError:
            if not has_begun:
                raise Busy("other constraints are still being compiled", retry_after_s=5) from None
            raise HttpError(
                400,
                f"was not compiled within {self._limits.compile_timeout_s} s",
                where="constraint",
                fix="simplify it",
                code="constraint_too_complex",
            ) from None
        finally:
            self._waiting -= 1

    def _start(self, work: Callable[[], T]) -> Future[T]:
        future: Future[T] = Future()
        future.set_running_or_notify_cancel()
        loop = asyncio.get_running_loop()

        def run() -> None:
            try:
                future.set_result(work())
            except BaseException as error:
                future.set_exception(error)
            with contextlib.suppress(RuntimeError):  # the loop is closed: nobody waits any more
                loop.call_soon_threadsafe(self._free.release)

        threading.Thread(target=run, name="bb-compile", daemon=True).start()
        return future


def check_size(body: Asking, limits: ServerLimits) -> None:
    """Check that no constraint is larger or more deeply nested than is served.

    Raises:
        HttpError: one is.
    """
    fields = {"response_format", "structured_outputs", "tools"}
    try:
        wanted = body.model_dump(include=fields, exclude_none=True)
        size = len(json.dumps(wanted, ensure_ascii=False))
    except (RecursionError, ValueError) as error:
        raise HttpError(
            400, "the constraint is nested too deeply", where="constraint", fix="flatten it",
            code="constraint_too_complex",
        ) from error  # fmt: skip
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
