"""Errors in the OpenAI form: `{"error": {"message", "type", "param", "code"}}`.

400  the request cannot be honoured        413  the body is too large
401  no valid API key                      422  a plan is refused by the checker
403  the key does not have this right      429  too many requests wait (Retry-After)
404  no such model, plan or answer         503  the server is closing (Retry-After), or cannot
409  a run is under way, or has ended           write its log
"""

from __future__ import annotations

import json
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from starlette.exceptions import HTTPException
from starlette.responses import Response

from bb_core.errors import BBError
from bb_core.plan import plan_text
from bb_runtime.engine import Busy
from bb_runtime.errors import ExecutionRefused, JournalError, PlanRefused
from bb_runtime.http.refusal import HttpError
from bem_kernel.errors import LedgerError, LedgerHeldError

_TYPES = {
    401: "authentication_error",
    403: "permission_error",
    404: "not_found_error",
    409: "conflict_error",
    429: "rate_limit_error",
}
CLIENT_GONE = 499


def error_status(error: BaseException) -> int:
    """The status that an error is answered with."""
    match error:
        case HttpError():
            return error.status
        case Busy():
            return 429
        case PlanRefused():
            return 422
        case ExecutionRefused() | LedgerHeldError():
            return 409
        case LedgerError() | JournalError():
            return 503
        case BBError():
            return 400
        case _:
            return 500


def error_data(error: BaseException) -> dict[str, Any]:
    """An error as JSON; of a fault of ours nothing but that there was one."""
    status = error_status(error)
    message = str(error) if isinstance(error, BBError) else "the server failed; see its log"
    found = _data(status, message)
    if isinstance(error, HttpError):
        found["error"] |= {"param": error.param or None, "code": error.code or None}
    elif isinstance(error, Busy):
        found["error"]["code"] = "busy"
    elif isinstance(error, PlanRefused):
        found["error"]["code"] = "plan_refused"
        found["error"]["refusal"] = refusal_data(error)
    return found


def error_headers(error: BaseException) -> dict[str, str]:
    """What the headers say: when to try again."""
    return {"retry-after": str(error.retry_after_s)} if isinstance(error, Busy) else {}


def refusal_data(refusal: PlanRefused) -> dict[str, Any]:
    """What the checker says: step, rule, and the nearest admissible alternative."""
    nearest = refusal.nearest
    return {
        "step": refusal.node,
        "rule": refusal.rule,
        "reason": refusal.what,
        "repair": refusal.repair,
        "nearest": None if nearest is None else json.loads(plan_text(nearest.plan))["plan"],
        "edits": [] if nearest is None else list(nearest.edits),
    }


def add_error_handlers(app: FastAPI) -> None:
    """Answer refusals in the OpenAI form; `gate` answers and logs faults of ours."""

    @app.exception_handler(BBError)
    def refused(_: Request, error: BBError) -> JSONResponse:
        return JSONResponse(error_data(error), error_status(error), error_headers(error))

    @app.exception_handler(RequestValidationError)
    def invalid(_: Request, error: RequestValidationError) -> JSONResponse:
        # Of several ways to read a field, the one that went furthest was meant.
        first = max(error.errors(), key=lambda found: len(found["loc"]))
        where = ".".join(str(part) for part in first["loc"] if part != "body")
        what = str(first["msg"]).removeprefix("Value error, ")
        found = _data(400, f"{where or 'body'}: {what}; only what is documented is accepted")
        found["error"]["param"] = where or None
        return JSONResponse(found, 400)

    @app.exception_handler(HTTPException)
    def unknown(_: Request, error: HTTPException) -> Response:
        found = _data(error.status_code, str(error.detail))
        return JSONResponse(found, error.status_code, error.headers)


def _data(status: int, message: str) -> dict[str, Any]:
    kind = "server_error" if status >= 500 else _TYPES.get(status, "invalid_request_error")
    return {"error": {"message": message, "type": kind, "param": None, "code": None}}
