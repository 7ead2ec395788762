"""`/v1/completions` and `/v1/chat/completions`."""

from __future__ import annotations

import secrets
from collections.abc import Callable
from typing import Annotated

from fastapi import APIRouter, Depends, Request
from fastapi.responses import JSONResponse
from starlette.concurrency import run_in_threadpool
from starlette.responses import Response

from bb_runtime.engine import Constraint, Generation, Sampling
from bb_runtime.http.answers import ChatWriter, CompletionWriter, Writer
from bb_runtime.http.bodies import Asking, ChatBody, CompletionBody
from bb_runtime.http.constrain import check_size, make_constraint
from bb_runtime.http.keys import Key
from bb_runtime.http.prompts import chat_prompt
from bb_runtime.http.service import Answered, Service, authorise
from bb_runtime.http.stream import EventStream, finish, gone, stream_answer

Submit = Callable[[Sampling, Constraint | None], Generation]


def completion_routes(router: APIRouter, service: Service) -> None:
    """Add both endpoints to a router."""
    engine = service.engine

    @router.post("/completions")
    async def completions(
        body: CompletionBody, request: Request, key: Annotated[Key, Depends(authorise)]
    ) -> Response:
        def submit(sampling: Sampling, constraint: Constraint | None) -> Generation:
            deadline_s = service.deadline_s(body.deadline_s)
            return engine.submit(body.one_prompt, sampling, constraint, deadline_s=deadline_s)

        writer = CompletionWriter(engine, body.n or 1, with_logprobs=body.logprobs is not None)
        sampling = _sampling(service, body, body.max_tokens, body.n_logprobs)
        service.answered.put(writer.id, Answered("text_completion", key.name))
        return await _answer(service, request, body, sampling, writer, submit)

    @router.post("/chat/completions")
    async def chat(
        body: ChatBody, request: Request, key: Annotated[Key, Depends(authorise)]
    ) -> Response:
        is_templated = bool(engine.tokenizer.chat_template)

        def submit(sampling: Sampling, constraint: Constraint | None) -> Generation:
            return engine.submit(
                chat_prompt(engine, body), sampling, constraint,
                deadline_s=service.deadline_s(body.deadline_s), is_templated=is_templated,
            )  # fmt: skip

        writer = ChatWriter(engine, body)
        wanted = body.max_completion_tokens or body.max_tokens
        sampling = _sampling(service, body, wanted, body.n_logprobs)
        service.answered.put(writer.id, Answered("chat.completion", key.name))
        return await _answer(service, request, body, sampling, writer, submit)


async def _answer(
    service: Service,
    request: Request,
    body: Asking,
    sampling: Sampling,
    writer: Writer,
    submit: Submit,
) -> Response:
    """Compile, submit, and answer as a whole or as a stream."""
    service.check_model(body.model)
    check_size(body, service.limits)
    constraint = None
    if body.is_constrained or (isinstance(body, ChatBody) and body.may_call):
        tokenizer, budget = service.engine.tokenizer, sampling.max_new_tokens
        constraint = await service.compiler.run(lambda: make_constraint(tokenizer, body, budget))
    generation = await run_in_threadpool(submit, sampling, constraint)
    if body.stream:
        with_usage = body.stream_options is not None and body.stream_options.include_usage
        events = stream_answer(generation, writer, with_usage=with_usage)
        return EventStream(events, generation.cancel)
    made = await finish(request, generation)
    return gone() if made is None else JSONResponse(writer.whole(made))


def _sampling(
    service: Service, body: Asking, max_tokens: int | None, logprobs: int | None
) -> Sampling:
    temperature = 0.0 if body.temperature is None else body.temperature
    seed = body.seed
    if seed is None:
        seed = secrets.randbits(63) if temperature > 0 else 0
    return Sampling(
        service.budget(max_tokens),
        temperature=temperature,
        top_p=1.0 if body.top_p is None else body.top_p,
        seed=seed,
        n=body.n or 1,
        stop=body.stops,
        logprobs=logprobs,
    )
