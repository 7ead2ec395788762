"""`/v1/completions` and `/v1/chat/completions`."""

from __future__ import annotations

import secrets
from typing import Annotated

from fastapi import APIRouter, Depends, Request
from fastapi.responses import JSONResponse
from starlette.concurrency import run_in_threadpool
from starlette.responses import Response

from bb_runtime.engine import Constraint, Generation, Sampling
from bb_runtime.http.answers import ChatWriter, CompletionWriter, Writer
from bb_runtime.http.bodies import Asking, ChatBody, CompletionBody
from bb_runtime.http.channels import Channels, ChannelUse
from bb_runtime.http.constrain import check_size, make_constraint
from bb_runtime.http.keys import Key
from bb_runtime.http.prompts import chat_prompt
from bb_runtime.http.service import Answered, Service, authorise
from bb_runtime.http.stream import EventStream, finish, gone, stream_answer


def completion_routes(router: APIRouter, service: Service, channels: Channels) -> None:
    """Add both endpoints to a router."""
    engine = service.engine

    @router.post("/completions")
    async def completions(
        body: CompletionBody, request: Request, key: Annotated[Key, Depends(authorise)]
    ) -> Response:
        use = channels.find(body, key)
        sampling = _sampling(service, body, body.max_tokens, body.n_logprobs)
        constraint = await _constraint(service, channels, body, use, sampling.max_new_tokens)

        def submit() -> Generation:
            deadline_s = service.deadline_s(body.deadline_s)
            return engine.submit(body.one_prompt, sampling, constraint, deadline_s=deadline_s)

        writer = CompletionWriter(
            engine, body.n or 1, with_logprobs=body.logprobs is not None, channel=use
        )
        service.answered.put(writer.id, Answered("text_completion", key.name))
        return await _answer(request, body, await run_in_threadpool(submit), writer)

    @router.post("/chat/completions")
    async def chat(
        body: ChatBody, request: Request, key: Annotated[Key, Depends(authorise)]
    ) -> Response:
        use = channels.find(body, key)
        wanted = body.max_completion_tokens or body.max_tokens
        sampling = _sampling(service, body, wanted, body.n_logprobs)
        constraint = await _constraint(service, channels, body, use, sampling.max_new_tokens)
        is_templated = bool(engine.tokenizer.chat_template)

        def submit() -> Generation:
            return engine.submit(
                chat_prompt(engine, body), sampling, constraint,
                deadline_s=service.deadline_s(body.deadline_s), is_templated=is_templated,
            )  # fmt: skip

        writer = ChatWriter(engine, body, use)
        service.answered.put(writer.id, Answered("chat.completion", key.name))
        return await _answer(request, body, await run_in_threadpool(submit), writer)


async def _constraint(
    service: Service, channels: Channels, body: Asking, use: ChannelUse | None, budget: int
) -> Constraint | None:
    """What the text keeps to: its channel's grammar, or what the request asks for."""
    service.check_model(body.model)
    check_size(body, service.limits)
    if use is not None and use.mode != "off":
        return await service.compiler.run(lambda: channels.constraint(use, budget))
    if body.is_constrained or (isinstance(body, ChatBody) and body.may_call):
        tokenizer = service.engine.tokenizer
        return await service.compiler.run(lambda: make_constraint(tokenizer, body, budget))
    return None


async def _answer(
    request: Request, body: Asking, generation: Generation, writer: Writer
) -> Response:
    """Answer as a whole or as a stream."""
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
