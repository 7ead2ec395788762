"""What the routes share: the engine, its bounds, who may ask, and what was answered lately."""

from __future__ import annotations

import asyncio
import threading
from collections import OrderedDict
from dataclasses import dataclass, field
from typing import Generic, TypeVar

from fastapi import Request

from bb_runtime.engine import Engine
from bb_runtime.http.constrain import Compiler
from bb_runtime.http.gate import ServerState
from bb_runtime.http.keys import Key, Keys
from bb_runtime.http.limits import ServerLimits
from bb_runtime.http.metrics import Metrics
from bb_runtime.http.refusal import HttpError

T = TypeVar("T")


class Recent(Generic[T]):
    """The last things by name; the oldest is forgotten. Safe to use from any thread.

    Args:
        most: how many are kept.
    """

    def __init__(self, most: int) -> None:
        self._most = most
        self._found: OrderedDict[str, T] = OrderedDict()
        self._lock = threading.Lock()

    def put(self, name: str, thing: T) -> None:
        """Remember a thing."""
        with self._lock:
            self._found[name] = thing
            while len(self._found) > self._most:
                self._found.popitem(last=False)

    def get(self, name: str) -> T | None:
        """The thing of this name, if it is remembered."""
        with self._lock:
            return self._found.get(name)


@dataclass(frozen=True)
class Answered:
    """An answer that may be judged.

    Attributes:
        kind: `text_completion`, `chat.completion` or `plan`.
        key: name of the key that asked.
        domain: of a plan; else empty.
    """

    kind: str
    key: str
    domain: str = ""


@dataclass
class Service:
    """See above.

    Attributes:
        engine: the model.
        limits: bounds.
        keys: who may ask.
        state: where the server is in its life.
        metrics: counts.
        compiler: compiles constraints.
        answered: answers by id.
        plans: plan requests that are worked on.
    """

    engine: Engine
    limits: ServerLimits
    keys: Keys
    state: ServerState = field(default_factory=ServerState)
    metrics: Metrics = field(default_factory=Metrics)
    plans: set[asyncio.Future[None]] = field(default_factory=set)
    compiler: Compiler = field(init=False)
    answered: Recent[Answered] = field(init=False)

    def __post_init__(self) -> None:
        self.compiler = Compiler(self.limits)
        self.answered = Recent(self.limits.kept)

    def check_model(self, name: str | None) -> None:
        """Check that a request names the model that is served, or none.

        Raises:
            HttpError: it names another.
        """
        if name not in (None, self.engine.name):
            raise HttpError(
                404, f"no model {name!r} here", where="model", fix=f"use {self.engine.name}",
                code="model_not_found",
            )  # fmt: skip

    def budget(self, wanted: int | None) -> int:
        """The budget of an answer.

        Raises:
            HttpError: more is wanted than is served.
        """
        most = self.limits.max_new_tokens
        if wanted is not None and wanted > most:
            raise HttpError(
                400, f"max_tokens is {wanted}", where="max_tokens", fix=f"use {most} or fewer"
            )
        return most if wanted is None else wanted

    def deadline_s(self, wanted: float | None) -> float | None:
        """The deadline of an answer: the earlier of the request's and the server's."""
        given = [seconds for seconds in (wanted, self.limits.deadline_s) if seconds is not None]
        return min(given, default=None)


async def authorise(request: Request) -> Key:
    """The key of a request.

    Raises:
        HttpError: none that is known.
    """
    service: Service = request.app.state.service
    key = service.keys.find(request.headers.get("authorization"))
    request.scope["state"]["key_name"] = key.name
    return key
