"""Traces: recorded workflows, one a line in a JSONL file.

The arguments in a trace are those of the plan: an object found by an earlier step appears as a
reference such as `"$b.id"`, not as the identifier it had that day.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from bb_core.errors import BBError
from bb_core.files import decode_json, read_text, write_atomic
from bb_core.plan import Plan, Step, step_id

SCHEMA = Path(__file__).with_name("trace.schema.json")
"""JSON Schema (draft 2020-12) of one line of a trace file."""


@dataclass(frozen=True)
class TraceStep:
    """One tool call that was made.

    Attributes:
        tool: name of the tool.
        args: the plan's arguments.
        result: what the tool answered, a JSON value.
        ok: whether the tool succeeded.
        t_s: how long the call took, in seconds.
    """

    tool: str
    args: Mapping[str, Any]
    result: Any
    ok: bool
    t_s: float


@dataclass(frozen=True)
class Trace:
    """One recorded workflow.

    Attributes:
        id: name of the trace, unique in its file.
        domain: name of the domain.
        skin: name of the wording.
        request: what the user asked.
        steps: the calls in the order in which they were made.
        state_before: the part of the world's state that matters, before.
        state_after: the same part, after.
        label: what the maker of the trace knows about it (goals, split).
    """

    id: str
    domain: str
    skin: str
    request: str
    steps: tuple[TraceStep, ...]
    state_before: Mapping[str, Any] = field(default_factory=dict)
    state_after: Mapping[str, Any] = field(default_factory=dict)
    label: Mapping[str, Any] = field(default_factory=dict)


_TRACE_FIELDS: dict[str, type] = {
    "id": str,
    "domain": str,
    "skin": str,
    "request": str,
    "steps": list,
    "state_before": dict,
    "state_after": dict,
    "label": dict,
}
_STEP_FIELDS: dict[str, type | tuple[type, ...]] = {
    "tool": str,
    "args": dict,
    "result": object,
    "ok": bool,
    "t_s": (int, float),
}


def trace_plan(trace: Trace) -> Plan:
    """Return the plan that the trace carried out, with canonical step ids.

    Raises:
        BBError: more steps than a plan can have.
    """
    return Plan(tuple(Step(step_id(i), s.tool, s.args) for i, s in enumerate(trace.steps)))


def trace_line(trace: Trace) -> str:
    """Return a trace as one line of JSON, without the line end.

    Raises:
        BBError: a field is not a JSON value.
    """
    steps = [
        {"tool": s.tool, "args": dict(s.args), "result": s.result, "ok": s.ok, "t_s": s.t_s}
        for s in trace.steps
    ]
    value = {
        "id": trace.id,
        "domain": trace.domain,
        "skin": trace.skin,
        "request": trace.request,
        "steps": steps,
        "state_before": dict(trace.state_before),
        "state_after": dict(trace.state_after),
        "label": dict(trace.label),
    }
    try:
        return json.dumps(value, separators=(",", ":"), ensure_ascii=False, allow_nan=False)
    except (TypeError, ValueError) as error:
        what = f"a field is not JSON: {error}"
        raise BBError(what, where=f"trace {trace.id}", fix="record JSON values") from error


def save_traces(path: str | Path, traces: Iterable[Trace]) -> None:
    """Write traces as JSONL, the whole file or nothing.

    Raises:
        BBError: a trace is not JSON or the file cannot be written; what was there is untouched.
    """
    write_atomic(path, "".join(trace_line(trace) + "\n" for trace in traces))


def load_traces(path: str | Path) -> list[Trace]:
    """Read traces from a JSONL file; empty lines are skipped.

    Raises:
        BBError: the file cannot be read, or a line is no trace; names the line.
    """
    traces = []
    for number, line in enumerate(read_text(path).split("\n"), start=1):
        if line.strip():
            where = f"{path}:{number}"
            traces.append(trace_from_json(decode_json(line, where=where), where=where))
    return traces


def trace_lines(path: str | Path) -> Iterator[tuple[int, str]]:
    """The lines of a JSONL file that are not empty, with their numbers, one at a time.

    For files that are larger than memory; `decode_trace` makes a trace of a line.

    Raises:
        BBError: the file cannot be read, or a line is not UTF-8; names the line.
    """
    number = 0
    try:
        with Path(path).open("rb") as file:
            for number, raw in enumerate(file, start=1):
                if line := raw.decode("utf-8").strip():
                    yield number, line
    except UnicodeDecodeError as error:
        raise BBError(
            f"not UTF-8 ({error.reason})", where=f"{path}:{number}", fix="save it as UTF-8"
        ) from error
    except OSError as error:
        what = "file does not exist" if isinstance(error, FileNotFoundError) else str(error)
        raise BBError(what, where=str(path), fix="give a JSONL file of traces") from error


def decode_trace(line: str, *, where: str) -> Trace:
    """The trace of one line.

    Args:
        line: JSON.
        where: file and line, for errors.

    Raises:
        BBError: it is no trace.
    """
    return trace_from_json(decode_json(line, where=where), where=where)


def trace_from_json(value: Any, *, where: str) -> Trace:
    """Check a JSON value and make the trace.

    Raises:
        BBError: a field is missing, unknown or of another type.
    """
    _check_fields(value, _TRACE_FIELDS, where)
    steps = []
    for i, item in enumerate(value["steps"]):
        _check_fields(item, _STEP_FIELDS, f"{where}: steps/{i}")
        steps.append(TraceStep(**item))
    return Trace(**{**value, "steps": tuple(steps)})


def _check_fields(value: Any, fields: Mapping[str, type | tuple[type, ...]], where: str) -> None:
    """Check that `value` is an object with exactly these fields of these types."""
    if not isinstance(value, dict):
        raise BBError("must be an object", where=where, fix=f"with {', '.join(fields)}")
    missing = [name for name in fields if name not in value]
    unknown = [name for name in value if name not in fields]
    if missing or unknown:
        what = f"has no {missing[0]!r}" if missing else f"unknown field {unknown[0]!r}"
        raise BBError(what, where=where, fix=f"use {', '.join(fields)}")
    for name, kind in fields.items():
        if not isinstance(value[name], kind):
            raise BBError(
                f"{name} is of type {type(value[name]).__name__}",
                where=where,
                fix="record the trace again",
            )
