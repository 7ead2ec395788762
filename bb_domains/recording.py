"""Recording a service's life as traces: which of a domain's tools were called, and what came of it.

An exchange is one HTTP request with its answer. The domain says which tool it was, from method and
path, and where each argument was; what belongs to no tool or is no declared argument is not kept.
The exchanges of one session make one trace. Secrets and bearer tokens are never kept, private
fields as keyed hashes only (`privacy`), and identifiers become references (`linking`).
"""

from __future__ import annotations

import hashlib
import logging
import os
import re
import threading
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, unquote

from bb_core.errors import BBError
from bb_core.files import decode_json
from bb_core.plan import MAX_STEPS
from bb_core.trace import Trace, TraceStep, trace_line
from bb_domains.errors import DomainError
from bb_domains.linking import link
from bb_domains.privacy import Redactor, without_secrets
from bb_domains.schema import Operation, PlanSchema, Tool

IDLE_S = 300.0
"""A session that was quiet for so long is over."""

MOST_BYTES = 1_000_000
"""A longer body is passed on and not recorded."""

MOST_SESSIONS = 4096
MOST_HELD_BYTES = 64_000_000
"""With more sessions open, or longer bodies in them, those that were quiet longest are over."""

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Exchange:
    """One HTTP request and its answer.

    Attributes:
        method: in capitals.
        path: without the query, still percent-encoded.
        query: the query string.
        headers: by lower-case name.
        body: of the request.
        status: of the answer.
        answer: body of the answer.
        t_s: seconds between the two.
    """

    method: str
    path: str
    query: str
    headers: Mapping[str, str] = field(repr=False)
    body: bytes = field(repr=False)
    status: int
    answer: bytes = field(repr=False)
    t_s: float


@dataclass
class _Session:
    number: int
    size_bytes: int = 0
    last_s: float = 0.0
    steps: list[TraceStep] = field(default_factory=list)
    secrets: set[str] = field(default_factory=set, repr=False)


class Recorder:
    """Makes traces of exchanges and appends them to a JSONL file; threads may share it.

    Args:
        schema: whose tools are looked for.
        out: the file; traces are appended when their session is over.
        redactor: hides private values.
        idle_s: quiet seconds after which a session is over.

    Raises:
        DomainError: no tool of the schema has an operation.
    """

    def __init__(
        self, schema: PlanSchema, out: Path, redactor: Redactor, idle_s: float = IDLE_S
    ) -> None:
        self._routes = _routes(schema)
        self._schema, self._out, self._redactor, self._idle_s = schema, out, redactor, idle_s
        self._sessions: dict[str, _Session] = {}
        self._lock = threading.Lock()
        self._started = 0
        self._held_bytes = 0
        self._run = os.urandom(4).hex()  # traces of several runs go into one file
        self.written = 0

    def add(self, exchange: Exchange, now_s: float) -> None:
        """Take an exchange in; what cannot be recorded is passed over with a note in the log.

        Args:
            exchange: that has taken place.
            now_s: the time, by any clock that only goes forward.
        """
        with self._lock:
            self._end_idle(now_s)
            found = self._step(exchange)
            if found is None:
                return
            step, key = found
            session = self._sessions.pop(key, None)
            if session is None:
                session = _Session(self._started)
                self._started += 1
            self._sessions[key] = session  # last: it was quiet for the shortest time
            session.last_s = now_s
            session.steps.append(step)
            session.secrets |= self._secrets(step.tool, exchange)
            size_bytes = len(exchange.body) + len(exchange.answer)
            session.size_bytes += size_bytes
            self._held_bytes += size_bytes
            if len(session.steps) == MAX_STEPS:
                self._end(key)
            while len(self._sessions) > MOST_SESSIONS or self._held_bytes > MOST_HELD_BYTES:
                self._end(next(iter(self._sessions)))

    def close(self) -> None:
        """Write the sessions that are still open."""
        with self._lock:
            for key in sorted(self._sessions, key=lambda key: self._sessions[key].number):
                self._end(key)

    def _step(self, exchange: Exchange) -> tuple[TraceStep, str] | None:
        """The call that an exchange was, and its session."""
        if max(len(exchange.body), len(exchange.answer)) > MOST_BYTES:
            _log.warning("%s %s: too long to be recorded", exchange.method, exchange.path)
            return None
        for name, operation, pattern in self._routes:
            match = pattern.fullmatch(exchange.path)
            if match and operation.method == exchange.method:
                tool = self._schema.tools[name]
                args = dict(_arguments(tool, exchange, match))
                ok = 200 <= exchange.status < 300
                result = self._result(name, exchange, ok)
                step = TraceStep(name, args, result, ok, round(exchange.t_s, 6))
                return step, self._session(name, exchange)
        return None

    def _result(self, tool: str, exchange: Exchange, ok: bool) -> Any:
        value = _json(exchange.answer)
        if not ok:
            reason = value.get("reason") or value.get("detail") if isinstance(value, dict) else None
            said = reason if isinstance(reason, str) else ""
            return {"status": exchange.status, "reason": said}
        if not isinstance(value, dict):
            return {} if value is None else {"value": value}
        service = self._schema.service
        if service and service.bearer and service.bearer.tool == tool:
            return {key: item for key, item in value.items() if key != service.bearer.field}
        return value

    def _session(self, tool: str, exchange: Exchange) -> str:
        """Whose exchange it was: of the bearer token that it carries or that it was given."""
        service = self._schema.service
        if service and service.bearer and service.bearer.tool == tool:
            value = _json(exchange.answer)
            token = value.get(service.bearer.field) if isinstance(value, dict) else None
            return _digest(f"Bearer {token}")
        said = exchange.headers.get("authorization") or exchange.headers.get("cookie") or ""
        return _digest(said)

    def _secrets(self, tool: str, exchange: Exchange) -> set[str]:
        """What of an exchange no trace may repeat: secrets of its body, and the bearer token."""
        declared, found = self._schema.tools[tool], list[Any]()
        assert declared.operation is not None
        body = _body(declared.operation, exchange)
        if isinstance(body, dict):
            found += [body.get(field) for field in declared.secrets]
        found.append(exchange.headers.get("authorization", "").partition(" ")[2])
        service, answer = self._schema.service, _json(exchange.answer)
        if service and service.bearer and isinstance(answer, dict):
            found.append(answer.get(service.bearer.field) if service.bearer.tool == tool else None)
        return {one for one in found if isinstance(one, str) and one}

    def _end_idle(self, now_s: float) -> None:
        for key, session in list(self._sessions.items()):
            if now_s - session.last_s > self._idle_s:
                self._end(key)

    def _end(self, key: str) -> None:
        session = self._sessions.pop(key)
        self._held_bytes -= session.size_bytes
        name = f"{self._schema.domain}-{self._run}-{session.number:05d}"
        linked = link(Trace(name, self._schema.domain, "", "", tuple(session.steps)), self._schema)
        redactor = self._redactor.fresh()
        for step in linked.steps:
            private = self._schema.tools[step.tool].private
            redactor.learn([step.args, step.result], private)
        steps = tuple(self._hidden(step, redactor, session.secrets) for step in linked.steps)
        line = trace_line(replace(linked, steps=steps)) + "\n"
        try:
            with self._out.open("a", encoding="utf-8") as file:
                file.write(line)
                file.flush()
                os.fsync(file.fileno())
        except OSError as error:
            fix = "make room, or record elsewhere"
            raise BBError(f"cannot be written: {error}", where=str(self._out), fix=fix) from error
        self.written += 1

    def _hidden(self, step: TraceStep, redactor: Redactor, secrets: set[str]) -> TraceStep:
        private = self._schema.tools[step.tool].private
        args, result = without_secrets([dict(step.args), step.result], secrets)
        return replace(
            step, args=redactor.redact(args, private), result=redactor.redact(result, private)
        )


_Route = tuple[str, Operation, re.Pattern[str]]


def _routes(schema: PlanSchema) -> list[_Route]:
    """Tools with operations; paths with fewer holes come first, so `/x/mine` beats `/x/{id}`."""
    base = ""
    if schema.service:
        base = re.sub(r"^https?://[^/]+", "", schema.service.base_url).rstrip("/")
    found = []
    for name, tool in schema.tools.items():
        if tool.operation is None:
            continue
        parts = re.split(r"\{([^{}]+)\}", base + tool.operation.path)
        pattern = "".join(
            re.escape(part) if i % 2 == 0 else f"(?P<p{i // 2}>[^/]+)"
            for i, part in enumerate(parts)
        )
        found.append((len(parts), (name, tool.operation, re.compile(pattern))))
    if not found:
        raise DomainError(
            "no tool has an operation",
            where=f"domain {schema.domain}",
            fix="import the service's OpenAPI document",
        )
    return [route for _, route in sorted(found, key=lambda each: each[0])]


def _arguments(tool: Tool, exchange: Exchange, match: re.Match[str]) -> Iterator[tuple[str, Any]]:
    """The declared arguments that an exchange carried."""
    assert tool.operation is not None
    holes = re.findall(r"\{([^{}]+)\}", tool.operation.path)
    path = {hole: unquote(match[f"p{i}"]) for i, hole in enumerate(holes)}
    query = parse_qs(exchange.query, keep_blank_values=True)
    body = _body(tool.operation, exchange)
    for arg, schema in tool.properties.items():
        place = tool.place(arg)
        if place.location == "path" and place.name in path:
            yield arg, _typed(path[place.name], schema)
        elif place.location == "query" and place.name in query:
            values = [_typed(text, schema.get("items", schema)) for text in query[place.name]]
            yield arg, values if schema.get("type") == "array" else values[-1]
        elif place.location == "header" and place.name.lower() in exchange.headers:
            yield arg, _typed(exchange.headers[place.name.lower()], schema)
        elif place.location == "body" and place.whole and body is not None:
            yield arg, body
        elif place.location == "body" and isinstance(body, dict) and place.name in body:
            yield arg, _typed(body[place.name], schema)


def _body(operation: Operation, exchange: Exchange) -> Any:
    if operation.body == "form":
        fields = parse_qs(exchange.body.decode("utf-8", "replace"), keep_blank_values=True)
        return {name: values[-1] for name, values in fields.items()}
    if operation.body == "binary":
        return exchange.body.decode("utf-8", "replace")
    return _json(exchange.body)


def _typed(value: Any, schema: Mapping[str, Any]) -> Any:
    """A value that came as text, as its schema has it."""
    kind = schema.get("type")
    if not isinstance(value, str) or kind == "string":
        return value
    if kind in ("integer", "number", "boolean"):
        found = _json(value.encode())
        return found if isinstance(found, int | float) else value
    return value


def _json(body: bytes) -> Any:
    """The value of a body; None if it is no JSON, NaN included."""
    try:
        return decode_json(body.decode(), where="body")
    except (BBError, UnicodeDecodeError):
        return None


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()
