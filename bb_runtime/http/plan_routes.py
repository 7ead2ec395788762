"""`/v1/plans`: decode, check, run and watch plans.

    POST /v1/plans              a request in words: decoded, checked, and run if asked
    POST /v1/plans              a plan: checked, and run if asked
    GET  /v1/plans              runs in the log, those of other domains than the key's left out
    GET  /v1/plans/{id}         how one stands: by the id of its request, for the same key; by that
                                of its run, private values hidden, for keys of the same domain
    GET  /v1/plans/{id}/events  the same as it happens (server-sent events)

With `background: true` the answer comes at once, with the id to ask for.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Request
from fastapi.responses import JSONResponse
from pydantic import Field, model_validator
from starlette.concurrency import run_in_threadpool
from starlette.responses import Response

from bb_core.plan import Plan, parse_plan
from bb_runtime.engine import Busy, Generation
from bb_runtime.http.bodies import Strict
from bb_runtime.http.errors import error_data, error_headers, error_status
from bb_runtime.http.keys import Key, check_domain
from bb_runtime.http.planning import Decoding, Planner, PlanTask, sent_plan
from bb_runtime.http.refusal import HttpError
from bb_runtime.http.service import Answered, Recent, Service, authorise
from bb_runtime.http.stream import DONE, EventStream, encode_event, gone, until_gone
from bb_runtime.run_status import view_data

_MOST_WAITING = 64
_MOST_KEPT = 128
_HEARTBEAT_S = 10.0


class PlanBody(Strict):
    """`POST /v1/plans`: a request in words, or a plan.

    Attributes:
        request: what is wanted.
        plan: a plan, as `{"plan": […]}` or as the list of its steps.
        domain: whose; None for the server's first.
        run: call the tools.
        dry_run: do everything but call the tools.
        background: answer at once.
        deadline_s: for the decoding.
        top_logprobs: of a request in words, tell each token's log-probability in the events, and so
            many of the likeliest tokens beside it.
    """

    request: str | None = Field(default=None, min_length=1)
    plan: dict[str, Any] | list[Any] | None = None
    domain: str | None = None
    model: str | None = None
    max_tokens: int | None = Field(default=None, ge=1)
    temperature: float = Field(default=0.0, ge=0.0, le=5.0)
    seed: int = Field(default=0, ge=0, lt=2**63)
    run: bool = False
    dry_run: bool = False
    background: bool = False
    deadline_s: float | None = Field(default=None, gt=0, le=86400)
    top_logprobs: int | None = Field(default=None, ge=0, le=20)

    @model_validator(mode="after")
    def _one(self) -> PlanBody:
        if (self.request is None) == (self.plan is None):
            raise ValueError("give exactly one of request and plan")
        if self.run and self.dry_run:
            raise ValueError("give run or dry_run, not both")
        if self.top_logprobs is not None and self.request is None:
            raise ValueError("top_logprobs needs a request: a plan that is sent is not decoded")
        return self


@dataclass(frozen=True)
class _Begun:
    """A task that is worked on, its generations as they are begun, and the work."""

    task: PlanTask
    generations: list[Generation]
    working: asyncio.Future[None]


class _Desk:
    """Plan requests of one server: those that are worked on, and the last that were."""

    def __init__(self, service: Service, planner: Planner) -> None:
        self.service, self.planner = service, planner
        self.tasks: Recent[PlanTask] = Recent(_MOST_KEPT)
        self._threads = ThreadPoolExecutor(_MOST_WAITING, "bb-plan")

    def begin(self, body: PlanBody, key: Key) -> _Begun:
        """Check a request and start to work on it.

        Raises:
            HttpError: it may not be done.
            BBError: it is no plan.
        """
        domain = self.planner.find(body.domain)
        check_domain(key, domain.name, run=body.run)
        self.service.check_model(body.model)
        if body.run or body.dry_run:
            self.planner.needed_log()
        if len(self.service.plans) >= _MOST_WAITING:
            raise Busy("too many plans wait", retry_after_s=1)
        task, generations = PlanTask(domain.name, key.name), list[Generation]()
        if body.plan is not None:
            proposers = [sent_plan(_parsed(body.plan))]
        else:
            assert body.request is not None
            how = Decoding(
                self.service.budget(body.max_tokens), body.temperature, body.seed,
                self.service.deadline_s(body.deadline_s), body.top_logprobs,
            )  # fmt: skip
            proposers = self.planner.proposers(task, body.request, how, generations.append)
        self.tasks.put(task.id, task)
        self.service.answered.put(task.id, Answered("plan", key.name, domain.name))
        work = partial(self.planner.work, task, proposers, run=body.run, dry_run=body.dry_run)
        working = asyncio.get_running_loop().run_in_executor(self._threads, work)
        self.service.plans.add(working)
        working.add_done_callback(self.service.plans.discard)
        working.add_done_callback(lambda _: self.service.metrics.plan(task.status))
        return _Begun(task, generations, working)

    def find(self, name: str, key: Key) -> PlanTask | None:
        """The task of this id, for the key that began it; it shows what the tools answered."""
        task = self.tasks.get(name)
        return task if task is not None and key.name == task.key else None


def plan_routes(router: APIRouter, service: Service, planner: Planner) -> None:
    """Add the endpoints to a router."""
    desk = _Desk(service, planner)

    @router.post("/plans")
    async def plans(
        body: PlanBody, request: Request, key: Annotated[Key, Depends(authorise)]
    ) -> Response:
        begun = desk.begin(body, key)
        if body.background:
            return JSONResponse(begun.task.data(), 202)
        if not await _is_done(request, begun.working):
            for generation in begun.generations:
                generation.cancel()
            return gone()
        error = begun.task.error
        if error is not None:
            found = error_data(error) | {"id": begun.task.id}
            return JSONResponse(found, error_status(error), error_headers(error))
        return JSONResponse(begun.task.data())

    @router.get("/plans")
    async def runs(key: Annotated[Key, Depends(authorise)]) -> dict[str, Any]:
        views = await run_in_threadpool(planner.views, key.may_use)
        return {"object": "list", "data": [view_data(view) for view in views]}

    @router.get("/plans/{name}")
    async def status(name: str, key: Annotated[Key, Depends(authorise)]) -> dict[str, Any]:
        task = desk.find(name, key)
        if task is not None:
            return task.data()
        views = await run_in_threadpool(planner.views, key.may_use)
        found = [view for view in views if view.run == name]
        if not found:
            raise _unknown(name)
        return view_data(found[0])

    @router.get("/plans/{name}/events")
    async def events(name: str, key: Annotated[Key, Depends(authorise)]) -> Response:
        task = desk.find(name, key)
        if task is None:
            raise _unknown(name)
        return EventStream(_events(task), lambda: None)


async def _is_done(request: Request, working: asyncio.Future[None]) -> bool:
    """Wait for the work; False as soon as the client is gone, and the work goes on."""
    leaving = asyncio.ensure_future(until_gone(request))
    try:
        await asyncio.wait({leaving, working}, return_when=asyncio.FIRST_COMPLETED)
        return working.done()
    finally:
        leaving.cancel()


async def _events(task: PlanTask) -> AsyncIterator[bytes]:
    """All events of a task, those before as well, until it has ended."""
    loop, changed = asyncio.get_running_loop(), asyncio.Event()
    number, is_over = 0, False
    with task.watched(partial(_wake, loop, changed)):
        while not is_over:
            changed.clear()
            found, is_over = task.after(number)
            for event in found:
                yield encode_event(event, event["event"])
            number += len(found)
            if not is_over:
                try:
                    await asyncio.wait_for(changed.wait(), _HEARTBEAT_S)
                except TimeoutError:
                    yield b": still here\n\n"
    yield encode_event(task.data(), "plan")
    yield DONE


def _parsed(sent: dict[str, Any] | list[Any]) -> Plan:
    """The plan of a request.

    Raises:
        BBError: it is none.
    """
    steps = sent if isinstance(sent, dict) else {"plan": sent}
    try:
        return parse_plan(json.dumps(steps))
    except RecursionError as error:
        raise HttpError(400, "is nested too deeply", where="plan", fix="flatten it") from error


def _wake(loop: asyncio.AbstractEventLoop, changed: asyncio.Event) -> None:
    with contextlib.suppress(RuntimeError):  # the loop is closed: nobody waits any more
        loop.call_soon_threadsafe(changed.set)


def _unknown(name: str) -> HttpError:
    return HttpError(404, f"no plan {name!r} is known here", where="plans", fix="GET /v1/plans")
