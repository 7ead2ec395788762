"""`POST /v1/feedback`: a user's verdict on an answer or a plan, kept in the trace store.

Texts are not kept by themselves: what the verdict was about is named by its id. A user who wants
it to be learned from sends the request and the right answer along.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Annotated, Any, Literal, Protocol

from fastapi import APIRouter, Depends
from pydantic import Field
from starlette.concurrency import run_in_threadpool

from bb_runtime.http.bodies import Strict
from bb_runtime.http.keys import Key
from bb_runtime.http.refusal import HttpError
from bb_runtime.http.service import Service, authorise

KIND = "feedback"


class FeedbackStore(Protocol):
    """What keeps verdicts: `bb_core.store.Store`."""

    def add_record(self, kind: str, body: Mapping[str, Any]) -> int:
        """Append a record and return its number."""
        ...


class FeedbackBody(Strict):
    """`POST /v1/feedback`.

    Attributes:
        id: of a completion, a chat completion or a plan that this server gave to the same key.
        verdict: what the user thinks of it.
        comment: in words.
        request: what was asked, if it may be kept.
        answer: what should have been the answer, if it may be kept.
    """

    id: str = Field(min_length=1, max_length=128)
    verdict: Literal["good", "bad"]
    comment: str = Field(default="", max_length=4096)
    request: str | None = Field(default=None, max_length=65536)
    answer: str | None = Field(default=None, max_length=65536)


def feedback_routes(router: APIRouter, service: Service, store: FeedbackStore) -> None:
    """Add the endpoint to a router."""

    @router.post("/feedback")
    async def feedback(
        body: FeedbackBody, key: Annotated[Key, Depends(authorise)]
    ) -> dict[str, Any]:
        found = service.answered.get(body.id)
        if found is None or found.key != key.name:
            raise HttpError(
                404, f"no answer {body.id!r} is remembered", where="id",
                fix="give the id of an answer from this server, soon after it",
            )  # fmt: skip
        record = {
            "at": datetime.now(UTC).isoformat(timespec="seconds"),
            "model": service.engine.name,
            "kind": found.kind,
            "key": key.name,
            "domain": found.domain,
            **body.model_dump(exclude_none=True),
        }
        number = await run_in_threadpool(store.add_record, KIND, record)
        service.metrics.feedback(body.verdict)
        return {"object": "feedback", "id": body.id, "record": number}
