"""The application: which routes there are, and what stands around them.

    GET  /                      a page to try it
    GET  /health /ready         alive; taking requests
    GET  /metrics               Prometheus
    GET  /v1/models[/{model}]
    POST /v1/completions        text under constraints; stream
    POST /v1/chat/completions   the same, from messages, with tools
    POST /v1/plans              decode, check and run plans; see `plan_routes`
    POST /v1/feedback           a verdict on an answer or a plan

Requests are answered together (`bb_runtime.engine`). The event loop does nothing that takes long:
constraints are compiled and plans run in threads.
"""

from __future__ import annotations

import asyncio
import logging
import threading
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from fastapi import APIRouter, Depends, FastAPI
from fastapi.responses import FileResponse, JSONResponse, PlainTextResponse
from starlette.concurrency import run_in_threadpool
from starlette.middleware.trustedhost import TrustedHostMiddleware

from bb_core.errors import BBError
from bb_runtime.engine import Engine
from bb_runtime.http.channels import Channels
from bb_runtime.http.completions import completion_routes
from bb_runtime.http.errors import add_error_handlers
from bb_runtime.http.feedback import FeedbackStore, feedback_routes
from bb_runtime.http.gate import Gate
from bb_runtime.http.keys import Keys
from bb_runtime.http.limit_body import LimitBody
from bb_runtime.http.limits import ServerLimits
from bb_runtime.http.metrics import CONTENT_TYPE
from bb_runtime.http.plan_routes import Desk, ResumeBody, plan_routes
from bb_runtime.http.planning import Planner
from bb_runtime.http.refusal import HttpError
from bb_runtime.http.service import Service, authorise
from bb_runtime.journal import RunRecord
from bb_runtime.warm_up import warm_up

logger = logging.getLogger(__name__)

_PAGE = Path(__file__).parent / "page"
_ASSETS = ("page.css", "page.js", "api.js", "decode.js", "drawing.js", "runs.js")
# Ask whether a file has changed: modules of two versions do not work together.
_FRESH = {"cache-control": "no-cache"}


def create_app(
    engine: Engine,
    limits: ServerLimits | None = None,
    *,
    planner: Planner | None = None,
    keys: Keys | None = None,
    feedback: FeedbackStore | None = None,
    resumes: bool = False,
    warms: bool = False,
) -> FastAPI:
    """The application; it closes the engine when it ends.

    Args:
        engine: the model.
        limits: bounds; None for the defaults.
        planner: plans of which domains, and whether they run; None for no `/v1/plans`.
        keys: who may ask; None for everybody.
        feedback: where verdicts go; None for no `/v1/feedback`.
        resumes: whether runs that a crash has interrupted go on at the start, as far as nobody
            need be asked.
        warms: whether what plans need is compiled before `/ready` says yes.

    Raises:
        BBError: the log of runs cannot be used, or a channel's grammar is missing or refused.
    """
    service = Service(engine, limits or ServerLimits(), keys or Keys())
    crashed = planner.note_crashes() if planner is not None else []

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        warming = _warm(service, planner) if warms and planner is not None else None
        try:
            if resumes:
                _go_on(desk, crashed)
            yield
        finally:
            service.state.is_draining = True
            if service.plans:
                await asyncio.wait(service.plans, timeout=service.limits.drain_s)
            await run_in_threadpool(engine.close, service.limits.drain_s)
            if planner is not None:
                await run_in_threadpool(planner.close, service.limits.drain_s)
            if warming is not None:  # a thread that compiles should not outlive its interpreter
                await run_in_threadpool(warming.join, service.limits.drain_s)

    app = FastAPI(
        title="builderbrain", docs_url=None, redoc_url=None, openapi_url=None, lifespan=lifespan
    )
    app.state.service = service
    app.add_middleware(
        LimitBody,
        max_bytes=service.limits.max_body_bytes,
        timeout_s=service.limits.body_timeout_s,
    )
    app.add_middleware(TrustedHostMiddleware, allowed_hosts=list(service.limits.hosts))
    app.add_middleware(Gate, metrics=service.metrics, state=service.state)
    add_error_handlers(app)
    _add_open_routes(app, service, planner)
    guarded = APIRouter(prefix="/v1", dependencies=[Depends(authorise)])
    _add_models(guarded, service)
    completion_routes(guarded, service, Channels(engine, planner))
    desk = None if planner is None else plan_routes(guarded, service, planner)
    if feedback is not None:
        feedback_routes(guarded, service, feedback)
    app.include_router(guarded)
    return app


def _warm(service: Service, planner: Planner) -> threading.Thread:
    """Warm up in a thread; a server that cannot is slower at first, and serves."""
    service.state.is_warming = True

    def work() -> None:
        try:
            warm_up(service.engine, planner.domains.values(), service.limits.max_new_tokens)
        except BBError as error:
            logger.warning("not warmed up: %s", error)
        finally:
            service.state.is_warming = False

    thread = threading.Thread(target=work, name="bb-warm-up", daemon=True)
    thread.start()
    return thread


def _go_on(desk: Desk | None, crashed: Sequence[RunRecord]) -> None:
    """Let runs go on; one that cannot is named in the log."""
    for record in crashed:
        assert desk is not None
        try:
            desk.go_on(record, ResumeBody())
        except BBError as error:
            logger.warning("run %s does not go on: %s", record.run, error)


def _add_open_routes(app: FastAPI, service: Service, planner: Planner | None) -> None:
    """What needs no key."""
    domains = [] if planner is None else list(planner.domains)

    @app.get("/health")
    async def health() -> dict[str, Any]:
        return {"status": "ok", "model": service.engine.name, "plans": planner is not None}

    @app.get("/ready")
    async def ready() -> JSONResponse:
        word = service.state.word
        return JSONResponse({"status": word}, 200 if word == "ready" else 503)

    @app.get("/metrics")
    async def metrics() -> PlainTextResponse:
        text = service.metrics.text(service.engine.stats())
        return PlainTextResponse(text, media_type=CONTENT_TYPE)

    @app.get("/", include_in_schema=False)
    async def page() -> FileResponse:
        return FileResponse(_PAGE / "index.html", headers=_FRESH)

    @app.get("/page/{name}", include_in_schema=False)
    async def asset(name: str) -> FileResponse:
        if name not in _ASSETS:
            raise HttpError(404, f"no file {name!r}", where="page", fix="go to /")
        return FileResponse(_PAGE / name, headers=_FRESH)

    @app.get("/page-data", include_in_schema=False)
    async def page_data() -> dict[str, Any]:
        return {
            "model": service.engine.name,
            "domains": domains,
            "needs_key": service.keys.are_asked,
            "runs": planner is not None and planner.may_run,
            "max_tokens": service.limits.max_new_tokens,
        }


def _add_models(router: APIRouter, service: Service) -> None:
    model = {
        "id": service.engine.name,
        "object": "model",
        "created": int(time.time()),
        "owned_by": "builderbrain",
    }

    @router.get("/models")
    async def models() -> dict[str, Any]:
        return {"object": "list", "data": [model]}

    @router.get("/models/{name:path}")
    async def one_model(name: str) -> dict[str, Any]:
        service.check_model(name)
        return model
