"""One plan request on its way: what happened so far, and who watches."""

from __future__ import annotations

import threading
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from typing import Any

from bb_runtime.fallback import Fallback
from bb_runtime.http.errors import error_data


@dataclass
class PlanTask:
    """One plan request on its way, watched from any thread.

    Attributes:
        id: of the request.
        domain: whose plan.
        key: name of the key that asked; "" for the server itself.
        status: `deciding`, then `checked`, `running`, or how it ended: as `execute` says,
            `refused` or `error`.
        events: what happened so far.
        run: identifier of its run in the log; "" as long as there is none.
        fallbacks: plans of this request that made room for the next.
        answer: once it has ended.
        error: what it failed with.
        watching: called after each event.
        changed: held while any of these is read or changed.
    """

    domain: str
    key: str
    id: str = field(default_factory=lambda: f"plan-{uuid.uuid4().hex}")
    status: str = "deciding"
    events: list[dict[str, Any]] = field(default_factory=list)
    run: str = ""
    fallbacks: list[dict[str, Any]] = field(default_factory=list)
    answer: dict[str, Any] | None = None
    error: Exception | None = None
    watching: list[Callable[[], object]] = field(default_factory=list)
    changed: threading.RLock = field(default_factory=threading.RLock)

    def tell(self, event: str, status: str | None = None, **data: Any) -> None:
        """Something happened."""
        with self.changed:
            self.status = status or self.status
            self.events.append({"number": len(self.events), "event": event, **data})
            for tell in self.watching:
                tell()

    def fall_back(self, fallback: Fallback) -> None:
        """A plan made room for the next proposer's."""
        data = {name: value for name, value in asdict(fallback).items() if value}
        with self.changed:
            self.fallbacks.append(data)
            self.tell("fallback", **data)

    def end(self, status: str, **data: Any) -> None:
        """It has ended."""
        with self.changed:
            self.answer = {"id": self.id, "object": "plan", "domain": self.domain, "status": status}
            if self.fallbacks:
                self.answer["fallbacks"] = self.fallbacks
            self.answer |= data
            self.tell("end", status)

    def fail(self, status: str, error: Exception) -> None:
        """It has ended with an error."""
        with self.changed:
            self.error = error
            self.end(status, **error_data(error))

    def data(self) -> dict[str, Any]:
        """How it stands."""
        with self.changed:
            if self.answer is not None:
                return self.answer
            return {
                "id": self.id, "object": "plan", "domain": self.domain, "status": self.status,
            }  # fmt: skip

    def after(self, number: int) -> tuple[list[dict[str, Any]], bool]:
        """Events from a number on; and whether these are the last."""
        with self.changed:
            return self.events[number:], self.answer is not None

    @contextmanager
    def watched(self, tell: Callable[[], object]) -> Iterator[None]:
        """Call `tell`, from any thread, after each event."""
        with self.changed:
            self.watching.append(tell)
        try:
            yield
        finally:
            with self.changed:
                self.watching.remove(tell)
