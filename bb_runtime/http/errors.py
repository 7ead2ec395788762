"""Errors in the OpenAI form: `{"error": {"message", "type", "param", "code"}}`.

    400  the request cannot be honoured        413  the body is too large
    401  no valid API key                      422  a plan is refused by the checker
    403  the key does not have this right      429  too many requests wait (Retry-After)
    404  no such model, plan or answer         503  the server is closing (Retry-After)

BBError
└── HttpError   carries its own status
"""

from __future__ import annotations

import json
import logging
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from starlette.exceptions import HTTPException
from starlette.responses import Response

from bb_core.errors import BBError
from bb_core.plan import plan_text
from bb_runtime.engine import Busy
from bb_runtime.errors import PlanRefused

logger = logging.getLogger(__name__)

_TYPES = {
    401: "authentication_error",
    403: "permission_error",
    404: "not_found_error",
    429: "rate_limit_error",
}
CLIENT_GONE = 499


class HttpError(BBError):
    """A refusal with a status of its own.

    Attributes:
        status: of the answer.
        param: the field at fault; empty for none.
        code: a word for programs; empty for none.
    """

    def __init__(
        self, status: int, what: str, *, where: str = "", fix: str = "", code: str = ""
    ) -> None:
        self.status, self.param, self.code = status, where, code
        super().__init__(what, where=where, fix=fix)


def error_status(error: BaseException) -> int:
    """The status that an error is answered with."""
    match error:
        case HttpError():
            return error.status
        case Busy():
            return 429
        case PlanRefused():
            return 422
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
    """Answer every error in the OpenAI form; faults of ours are logged."""

    @app.exception_handler(BBError)
    def refused(_: Request, error: BBError) -> JSONResponse:
        headers = {}
        if isinstance(error, Busy):
            headers["retry-after"] = str(error.retry_after_s)
        return JSONResponse(error_data(error), error_status(error), headers)

    @app.exception_handler(RequestValidationError)
    def invalid(_: Request, error: RequestValidationError) -> JSONResponse:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"] if part != "body")
        what = str(first["msg"]).removeprefix("Value error, ")
        found = _data(400, f"{where or 'body'}: {what}; only what is documented is accepted")
        found["error"]["param"] = where or None
        return JSONResponse(found, 400)

    @app.exception_handler(HTTPException)
    def unknown(_: Request, error: HTTPException) -> Response:
        found = _data(error.status_code, str(error.detail))
        return JSONResponse(found, error.status_code, error.headers)

    @app.exception_handler(Exception)
    def failed(request: Request, error: Exception) -> JSONResponse:
        logger.error("%s %s failed", request.method, request.url.path, exc_info=error)
        return JSONResponse(error_data(error), 500)


def _data(status: int, message: str) -> dict[str, Any]:
    kind = "server_error" if status >= 500 else _TYPES.get(status, "invalid_request_error")
    return {"error": {"message": message, "type": kind, "param": None, "code": None}}
