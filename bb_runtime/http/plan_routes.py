"""`/v1/plans`: decode, check, run and watch plans.

    POST /v1/plans              a request in words: decoded, checked, and run if asked
    POST /v1/plans              a plan: checked, and run if asked
    GET  /v1/plans              runs in the log, those of other domains than the key's left out
    GET  /v1/plans/{id}         how one stands: by the id of its request, for the same key; by that
                                of its run, private values hidden, for keys of the same domain
    GET  /v1/plans/{id}/events  the same as it happens (server-sent events)
    POST /v1/plans/{id}/resume  go on with a run that was stopped; say what is known of its doubts

With `background: true` the answer comes at once, with the id to ask for.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator, Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Depends, Request
from fastapi.responses import JSONResponse
from pydantic import Field, model_validator
from starlette.concurrency import run_in_threadpool
from starlette.responses import Response

from bb_core.plan import Plan, parse_plan
from bb_runtime.carrier import Word, check_words
from bb_runtime.engine import Busy, Generation
from bb_runtime.errors import ExecutionRefused
from bb_runtime.execute import is_under_way, plan_to_resume
from bb_runtime.http.bodies import Strict
from bb_runtime.http.errors import error_data, error_headers, error_status
from bb_runtime.http.keys import Key, check_domain
from bb_runtime.http.plan_task import PlanTask
from bb_runtime.http.planning import Decoding, Planner, sent_plan
from bb_runtime.http.refusal import HttpError
from bb_runtime.http.service import Answered, Recent, Service, authorise
from bb_runtime.http.stream import DONE, EventStream, encode_event, gone, until_gone
from bb_runtime.journal import RunRecord
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


class ResumeBody(Strict):
    """`POST /v1/plans/{id}/resume`: what `bb plan resume` may be told.

    Attributes:
        happened: steps in doubt that happened: true, or what they answered.
        not_happened: steps in doubt that did not.
        give_up: take back what was done instead of going on.
        background: answer at once.
    """

    happened: dict[str, Literal[True] | dict[str, Any]] = Field(default_factory=dict)
    not_happened: list[str] = Field(default_factory=list)
    give_up: bool = False
    background: bool = False

    @model_validator(mode="after")
    def _one_word(self) -> ResumeBody:
        both = set(self.happened) & set(self.not_happened)
        if both:
            raise ValueError(f"step {min(both)} did both; say one of the two")
        return self

    @property
    def words(self) -> dict[str, Word]:
        """What is said, by step."""
        return {**dict.fromkeys(self.not_happened, False), **self.happened}


@dataclass(frozen=True)
class _Begun:
    """A task that is worked on, its generations as they are begun, and the work."""

    task: PlanTask
    generations: list[Generation]
    working: asyncio.Future[None]


class Desk:
    """Plan requests of one server: those that are worked on, and the last that were."""

    def __init__(self, service: Service, planner: Planner) -> None:
        self.service, self.planner = service, planner
        self.tasks: Recent[PlanTask] = Recent(_MOST_KEPT)
        self._resuming: set[str] = set()
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
        work = partial(self.planner.work, task, proposers, run=body.run, dry_run=body.dry_run)
        return _Begun(task, generations, self._start(task, work))

    def resume(self, name: str, body: ResumeBody, key: Key) -> _Begun:
        """Check whether a run may go on, and let it.

        Args:
            name: of its request, for the key that began it, or of the run.
            body: what is said of steps in doubt.
            key: who asks.

        Raises:
            HttpError: it is not known, or the key may not run it.
            BBError: it has ended or is under way, or a step is not in doubt.
        """
        task = self.find(name, key)
        run = name if task is None else task.run
        if not run:
            what = "is worked on" if task and task.answer is None else "has no run"
            raise HttpError(409, f"plan {name!r} {what}", where="resume", code="no_run")
        record = self.planner.find_run(run)
        if not key.may_use(record.domain):
            raise _unknown(name)
        check_domain(key, record.domain, run=True)
        return self.go_on(record, body, key.name)

    def go_on(self, record: RunRecord, body: ResumeBody, key: str = "") -> _Begun:
        """Let a run go on, for a key that may or for the server itself; see `resume`."""
        domain, run = self.planner.find(record.domain), record.run
        plan_to_resume(record, domain)
        check_words(body.words, record.calls)
        if run in self._resuming or is_under_way(run):
            raise ExecutionRefused(f"run {run} is under way", where="resume", fix="wait for it")
        task = PlanTask(domain.name, key, status="running", run=run)
        work = partial(self.planner.resume, task, run, body.words, give_up=body.give_up)
        working = self._start(task, work)
        self._resuming.add(run)
        working.add_done_callback(lambda _: self._resuming.discard(run))
        return _Begun(task, [], working)

    def _start(self, task: PlanTask, work: Callable[[], None]) -> asyncio.Future[None]:
        """Work on a task in a thread.

        Raises:
            Busy: too many wait.
        """
        if len(self.service.plans) >= _MOST_WAITING:
            raise Busy("too many plans wait", retry_after_s=1)
        self.tasks.put(task.id, task)
        self.service.answered.put(task.id, Answered("plan", task.key, task.domain))
        working = asyncio.get_running_loop().run_in_executor(self._threads, work)
        self.service.plans.add(working)
        working.add_done_callback(self.service.plans.discard)
        working.add_done_callback(lambda _: self._count(task))
        return working

    def _count(self, task: PlanTask) -> None:
        self.service.metrics.plan(task.status)
        for fallback in task.fallbacks:
            self.service.metrics.fallback(fallback["rule"])

    def find(self, name: str, key: Key) -> PlanTask | None:
        """The task of this id, for the key that began it; it shows what the tools answered."""
        task = self.tasks.get(name)
        return task if task is not None and key.name == task.key else None


def plan_routes(router: APIRouter, service: Service, planner: Planner) -> Desk:
    """Add the endpoints to a router."""
    desk = Desk(service, planner)

    @router.post("/plans")
    async def plans(
        body: PlanBody, request: Request, key: Annotated[Key, Depends(authorise)]
    ) -> Response:
        begun = desk.begin(body, key)
        return await _answer(request, begun, background=body.background)

    @router.post("/plans/{name}/resume")
    async def resume(
        name: str, body: ResumeBody, request: Request, key: Annotated[Key, Depends(authorise)]
    ) -> Response:
        begun = desk.resume(name, body, key)
        return await _answer(request, begun, background=body.background)

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

    return desk


async def _answer(request: Request, begun: _Begun, *, background: bool) -> Response:
    """How a task stands: at once, or in the end."""
    if background:
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
