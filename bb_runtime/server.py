"""The HTTP interface: completions in the OpenAI protocol, constrained by masks, and plans.

    GET  /health               what is served
    GET  /v1/models
    POST /v1/completions       text; response_format and structured_outputs are honoured or refused
    POST /v1/chat/completions  the same, from messages
    POST /v1/plans             decode under the plan masks, check, draw; run where that is allowed

Requests are answered together (`bb_runtime.engine`); when too many wait, the next is told so (503).
"""

from __future__ import annotations

import threading
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from starlette.middleware.trustedhost import TrustedHostMiddleware

from bb_core.errors import BBError
from bb_core.prompt import format_prompt
from bb_runtime.bodies import (
    ChatBody,
    CompletionBody,
    JsonObjectFormat,
    PlanBody,
    SchemaFormat,
)
from bb_runtime.constraints import keep_to_lark, keep_to_schema
from bb_runtime.engine import Busy, Completion, Constraint, Engine, Sampling
from bb_runtime.errors import PlanRefused
from bb_runtime.limit_body import LimitBody


@dataclass(frozen=True)
class ServerLimits:
    """Bounds of the server.

    Attributes:
        max_body_bytes: largest request body.
        max_new_tokens: largest and default budget of an answer.
        max_waiting: requests that may wait inside the server, besides one being answered.
        hosts: values of the Host header that are answered (others get 400), so that a web page
            cannot reach a server on loopback through a name of its own.
    """

    max_body_bytes: int = 256 * 1024
    max_new_tokens: int = 512
    max_waiting: int = 256
    hosts: tuple[str, ...] = ("127.0.0.1", "localhost", "[::1]")


PlanAnswer = Callable[[PlanBody, int], dict[str, Any]]
"""Answers a plan request within a budget of tokens."""


class _Queue:
    """Counts the requests inside the server."""

    def __init__(self, limit: int) -> None:
        self._free = threading.BoundedSemaphore(limit)

    @contextmanager
    def place(self) -> Iterator[None]:
        if not self._free.acquire(blocking=False):
            raise Busy("too many requests wait", retry_after_s=1)
        try:
            yield
        finally:
            self._free.release()


def create_app(
    engine: Engine, limits: ServerLimits | None = None, answer_plan: PlanAnswer | None = None
) -> FastAPI:
    """The application.

    Args:
        engine: the model.
        limits: bounds; None for the defaults.
        answer_plan: from `plan_answers`; None where no domain is served, and then /v1/plans is 404.
    """
    limits = limits or ServerLimits()
    app = FastAPI(title="builderbrain", docs_url=None, redoc_url=None)
    queue = _Queue(1 + limits.max_waiting)
    app.add_middleware(LimitBody, max_bytes=limits.max_body_bytes)
    app.add_middleware(TrustedHostMiddleware, allowed_hosts=list(limits.hosts))
    _add_error_handlers(app)

    @app.get("/health")
    def health() -> dict[str, Any]:
        return {"status": "ok", "model": engine.name, "plans": answer_plan is not None}

    @app.get("/v1/models")
    def models() -> dict[str, Any]:
        return {"object": "list", "data": [{"id": engine.name, "object": "model"}]}

    @app.post("/v1/completions")
    def completions(body: CompletionBody) -> dict[str, Any]:
        with queue.place():
            made = _complete(engine, body, body.prompt, limits)
        choice = {"index": 0, "text": made.text, "finish_reason": _reason(made), "logprobs": None}
        return _answer(engine, "cmpl", "text_completion", choice, made)

    @app.post("/v1/chat/completions")
    def chat(body: ChatBody) -> dict[str, Any]:
        prompt = chat_prompt(engine, body)
        with queue.place():
            made = _complete(engine, body, prompt, limits)
        message = {"role": "assistant", "content": made.text}
        choice = {"index": 0, "message": message, "finish_reason": _reason(made)}
        return _answer(engine, "chatcmpl", "chat.completion", choice, made)

    if answer_plan is not None:

        @app.post("/v1/plans")
        def plans(body: PlanBody) -> dict[str, Any]:
            with queue.place():
                return answer_plan(body, _budget(body.max_tokens, limits))

    return app


def chat_prompt(engine: Engine, body: ChatBody) -> str:
    """The prompt of a conversation.

    Through the tokenizer's chat template where it has one. Without a template a rail knows one
    form of prompt only, a single request; then anything but one user message is refused.

    Raises:
        BBError: several messages, and no chat template.
    """
    messages = [message.model_dump() for message in body.messages]
    if engine.tokenizer.chat_template:
        return str(
            engine.tokenizer.apply_chat_template(
                messages, tokenize=False, add_generation_prompt=True
            )
        )
    if [message.role for message in body.messages] != ["user"]:
        raise BBError(
            f"model {engine.name} has no chat template",
            where="messages",
            fix="send exactly one message, of role user",
        )
    return format_prompt(body.messages[0].content)


def _complete(
    engine: Engine, body: CompletionBody | ChatBody, prompt: str, limits: ServerLimits
) -> Completion:
    if body.model not in (None, engine.name):
        raise BBError(f"no model {body.model!r} here", where="model", fix=f"use {engine.name}")
    sampling = Sampling(
        _budget(body.max_tokens, limits), body.temperature, top_p=body.top_p, seed=body.seed
    )
    constraint = _constraint(engine, body, sampling.max_new_tokens)
    is_templated = isinstance(body, ChatBody) and bool(engine.tokenizer.chat_template)
    (made,) = engine.complete(prompt, sampling, constraint, is_templated=is_templated)
    return made


def _constraint(engine: Engine, body: CompletionBody | ChatBody, budget: int) -> Constraint | None:
    """What a body's text must keep to; a constraint that cannot be honoured raises."""
    match body.response_format:
        case SchemaFormat() as wanted:
            return keep_to_schema(engine.tokenizer, wanted.json_schema.schema_, budget)
        case JsonObjectFormat():
            return keep_to_schema(engine.tokenizer, {"type": "object"}, budget)
    asked = body.structured_outputs
    if asked is not None and asked.grammar is not None:
        return keep_to_lark(engine.tokenizer, asked.grammar)
    if asked is not None:
        return keep_to_schema(engine.tokenizer, asked.json_, budget)
    return None


def _budget(wanted: int | None, limits: ServerLimits) -> int:
    if wanted is not None and wanted > limits.max_new_tokens:
        raise BBError(
            f"max_tokens is {wanted}", where="body", fix=f"use {limits.max_new_tokens} or fewer"
        )
    return limits.max_new_tokens if wanted is None else wanted


def _reason(made: Completion) -> str:
    return "stop" if made.finished else "length"


def _answer(
    engine: Engine, prefix: str, kind: str, choice: dict[str, Any], made: Completion
) -> dict[str, Any]:
    usage = {
        "prompt_tokens": made.prompt_tokens,
        "completion_tokens": made.completion_tokens,
        "total_tokens": made.prompt_tokens + made.completion_tokens,
    }
    return {
        "id": f"{prefix}-{uuid.uuid4().hex}",
        "object": kind,
        "created": int(time.time()),
        "model": engine.name,
        "choices": [choice],
        "usage": usage,
    }


def _add_error_handlers(app: FastAPI) -> None:
    """Errors in the OpenAI form; a fault of ours stays a plain 500 and is logged by the server."""

    @app.exception_handler(BBError)
    def refused(_: Request, error: BBError) -> JSONResponse:
        status = 503 if isinstance(error, Busy) else 422 if isinstance(error, PlanRefused) else 400
        return _error(status, str(error))

    @app.exception_handler(RequestValidationError)
    def invalid(_: Request, error: RequestValidationError) -> JSONResponse:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"])
        return _error(422, f"{where}: {first['msg']}; only what is documented is accepted")


def _error(status: int, message: str) -> JSONResponse:
    kind = "server_busy" if status == 503 else "invalid_request_error"
    return JSONResponse({"error": {"message": message, "type": kind}}, status_code=status)
