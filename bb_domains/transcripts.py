"""Importing logs of orchestrators as traces: chats with tool calls, run trees, event histories.

    chat        OpenAI's chat completions (`tool_calls`, role `tool`), its responses
                (`function_call`, `function_call_output`) and Anthropic's messages (`tool_use`,
                `tool_result`): one conversation an object, with `messages` (or `input`), or a list
    langchain   run trees as LangChain's tracers and LangSmith export them: runs of type `tool`
                with `inputs`, `outputs`, `error`, in `child_runs` or by `parent_run_id`
    temporal    workflow histories as `temporal workflow show --output json` writes them: activities
                scheduled, started, and completed, failed, timed out or cancelled

A file is JSON or JSONL. A call without an answer is left out. Identifiers become references
(`linking`); a conversation longer than a plan may be is divided.
"""

from __future__ import annotations

import base64
import binascii
import datetime
import json
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from bb_core.errors import BBError
from bb_core.files import decode_json, read_text
from bb_core.trace import Trace, TraceStep
from bb_domains.linking import link, split_long
from bb_domains.schema import PlanSchema
from bb_domains.tool_lists import tool_name

_REFUSAL = re.compile(r"\s*(error|exception|traceback|failed)\b", re.IGNORECASE)


@dataclass(frozen=True)
class _Call:
    """A call and what came of it."""

    tool: str
    args: Mapping[str, Any]
    result: Any
    ok: bool
    t_s: float = 0.0


@dataclass(frozen=True)
class _Workflow:
    """One conversation, run or history."""

    name: str
    request: str
    calls: tuple[_Call, ...]


def import_log(
    path: str | Path, form: str, domain: str, schema: PlanSchema | None = None
) -> list[Trace]:
    """Read a log.

    Args:
        path: a JSON or JSONL file.
        form: one of `FORMATS`.
        domain: name of the domain that the traces are of.
        schema: says which arguments are handles; None finds them.

    Raises:
        BBError: there is no such format, or the file is not of it; names the place.
    """
    if form not in FORMATS:
        raise BBError(f"no format {form!r}", where="--format", fix=f"use {', '.join(FORMATS)}")
    items = list(_items(path))
    traces = []
    for i, flow in enumerate(FORMATS[form](items, str(path))):
        if not flow.calls:
            continue
        steps = tuple(TraceStep(tool_name(c.tool), *_rest(c)) for c in flow.calls)
        whole = Trace(flow.name or f"{Path(path).stem}-{i:05d}", domain, "", flow.request, steps)
        traces += [link(part, schema) for part in split_long(whole)]
    return _named_apart(traces)


def _rest(call: _Call) -> tuple[Mapping[str, Any], Any, bool, float]:
    return call.args, call.result, call.ok, call.t_s


def _named_apart(traces: Sequence[Trace]) -> list[Trace]:
    seen: dict[str, int] = {}
    named = []
    for trace in traces:
        count = seen.setdefault(trace.id, 0)
        seen[trace.id] += 1
        named.append(replace(trace, id=f"{trace.id}#{count}") if count else trace)
    return named


def _items(path: str | Path) -> Iterator[Any]:
    """The values of a file: one JSON value, the members of a list, or one a line."""
    text = read_text(path)
    try:
        value = json.loads(text)
    except ValueError:
        for number, line in enumerate(text.split("\n"), 1):
            if line.strip():
                yield decode_json(line, where=f"{path}:{number}")
        return
    yield from value if isinstance(value, list) else [value]


def _chats(items: Sequence[Any], where: str) -> Iterator[_Workflow]:
    if items and all(isinstance(item, Mapping) and _is_message(item) for item in items):
        items = [{"messages": items}]  # one conversation, message by message
    for number, item in enumerate(items):
        place = f"{where}: {number}"
        if isinstance(item, list):
            item = {"messages": item}
        listed = _first(item, ("messages", "input", "conversation"), place)
        if not isinstance(listed, list):
            raise BBError("is no conversation", where=place, fix="see bb_domains/transcripts.py")
        name = str(item.get("id") or item.get("conversation_id") or "")
        yield _chat(name, [m for m in listed if isinstance(m, Mapping)], place)


def _is_message(item: Mapping[str, Any]) -> bool:
    return "role" in item or item.get("type") in ("function_call", "function_call_output")


def _chat(name: str, messages: Sequence[Mapping[str, Any]], where: str) -> _Workflow:
    asked: dict[str, tuple[str, Mapping[str, Any]]] = {}
    answers: dict[str, tuple[Any, bool]] = {}
    said: list[str] = []
    for message in messages:
        if message.get("role") == "user":
            said += _texts(message.get("content"))
        for number, tool, args in _calls_in(message, where):
            asked[number] = (tool, args)
        for number, content, failed in _answers_in(message):
            answers[number] = _answer(content, failed)
    calls = (
        _Call(tool, args, *answers[number])
        for number, (tool, args) in asked.items()
        if number in answers
    )
    return _Workflow(name, "\n".join(said), tuple(calls))


def _calls_in(
    message: Mapping[str, Any], where: str
) -> Iterator[tuple[str, str, Mapping[str, Any]]]:
    for call in message.get("tool_calls") or ():
        function = call.get("function") or {}
        yield (
            str(call.get("id")),
            str(function.get("name")),
            _args(function.get("arguments"), where),
        )
    if message.get("type") == "function_call":
        number = str(message.get("call_id") or message.get("id"))
        yield number, str(message.get("name")), _args(message.get("arguments"), where)
    for part in _parts(message):
        if part.get("type") == "tool_use":
            yield str(part.get("id")), str(part.get("name")), _args(part.get("input"), where)


def _answers_in(message: Mapping[str, Any]) -> Iterator[tuple[str, Any, bool]]:
    if message.get("role") == "tool":
        yield str(message.get("tool_call_id")), message.get("content"), False
    if message.get("type") == "function_call_output":
        yield str(message.get("call_id")), message.get("output"), False
    for part in _parts(message):
        if part.get("type") == "tool_result":
            failed = part.get("is_error") is True
            yield str(part.get("tool_use_id")), part.get("content"), failed


def _parts(message: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    content = message.get("content")
    return [p for p in content if isinstance(p, Mapping)] if isinstance(content, list) else []


def _texts(content: Any) -> list[str]:
    if isinstance(content, str):
        return [content]
    parts = content if isinstance(content, list) else []
    return [str(p["text"]) for p in parts if isinstance(p, Mapping) and "text" in p]


def _args(value: Any, where: str) -> Mapping[str, Any]:
    found = decode_json(value or "{}", where=where) if isinstance(value, str) else value or {}
    if not isinstance(found, Mapping):
        raise BBError("arguments must be an object", where=where, fix="mend the log")
    return found


def _answer(content: Any, failed: bool) -> tuple[Any, bool]:
    """An answer as data, and whether the call succeeded."""
    text = "\n".join(_texts(content)) if isinstance(content, str | list) else ""
    value = _decoded(text) if text else content if isinstance(content, Mapping) else {}
    if isinstance(value, Mapping):
        error = value.get("error")
        bad = failed or value.get("isError") is True or (bool(error) and error is not False)
        return dict(value), not bad
    if isinstance(value, str):
        refused = failed or bool(_REFUSAL.match(value))
        return ({"reason": value} if refused else {"text": value}), not refused
    return {"value": value}, not failed


def _decoded(text: str) -> Any:
    try:
        return json.loads(text)
    except ValueError:
        return text


def _runs(items: Sequence[Any], where: str) -> Iterator[_Workflow]:
    by_root: dict[str, list[Mapping[str, Any]]] = {}
    for number, item in enumerate(items):
        if not isinstance(item, Mapping) or "run_type" not in item:
            what, fix = "is no run", "export runs with run_type, inputs and outputs"
            raise BBError(what, where=f"{where}: {number}", fix=fix)
        root = str(item.get("trace_id") or item.get("parent_run_id") or item.get("id") or number)
        by_root.setdefault(root, []).append(item)
    for root, runs in by_root.items():
        flat = [run for item in runs for run in _flat(item)]
        tools = [run for run in flat if run.get("run_type") == "tool"]
        tools.sort(key=lambda run: _seconds(run.get("start_time")))
        asked = next((run for run in flat if not run.get("parent_run_id")), flat[0])
        yield _Workflow(root, _asked(asked.get("inputs")), tuple(map(_run_call, tools)))


def _flat(run: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    yield run
    for child in run.get("child_runs") or ():
        yield from _flat(child)


def _run_call(run: Mapping[str, Any]) -> _Call:
    inputs = run.get("inputs") or {}
    args = _decoded(inputs["input"]) if set(inputs) == {"input"} else inputs
    if isinstance(args, str):
        args = _literal(args)
    outputs = run.get("outputs") or {}
    content = outputs.get("output", outputs)
    if isinstance(content, Mapping) and "content" in content:  # a message of a tool
        content = content["content"]
    result, ok = _answer(content, failed=False)
    if run.get("error"):
        result, ok = {"reason": str(run["error"])[:500]}, False
    t_s = max(0.0, _seconds(run.get("end_time")) - _seconds(run.get("start_time")))
    named = args if isinstance(args, Mapping) else {"input": args}
    return _Call(str(run.get("name")), named, result, ok, round(t_s, 6))


def _literal(text: str) -> Any:
    """Arguments that a tracer wrote as Python's repr."""
    import ast

    try:
        return ast.literal_eval(text)
    except (ValueError, SyntaxError, RecursionError, MemoryError):
        return text


def _asked(inputs: Any) -> str:
    """What the user said, in the inputs of the outermost run."""
    if not isinstance(inputs, Mapping):
        return ""
    for key in ("input", "question", "query"):
        if isinstance(inputs.get(key), str):
            return str(inputs[key])
    messages = inputs.get("messages")
    for message in messages if isinstance(messages, list) else ():
        if isinstance(message, Mapping):
            kind = message.get("role") or message.get("type")
            if kind in ("user", "human"):
                return "\n".join(_texts(message.get("content")))
    return ""


def _seconds(time: Any) -> float:
    if isinstance(time, int | float):
        return time / 1000 if time > 1e11 else float(time)
    try:
        found = datetime.datetime.fromisoformat(_six_places(str(time)))
    except ValueError:
        return 0.0
    return found.replace(tzinfo=found.tzinfo or datetime.UTC).timestamp()


def _six_places(text: str) -> str:
    return re.sub(r"(\.\d{6})\d+", r"\1", text)


def _histories(items: Sequence[Any], where: str) -> Iterator[_Workflow]:
    for number, item in enumerate(items):
        place = f"{where}: {number}"
        events = _first(item, ("events",), place)
        if not isinstance(events, list):
            raise BBError("is no history", where=place, fix="use --output json")
        yield _history([e for e in events if isinstance(e, Mapping)], place)


_ENDS = {
    "COMPLETED": True,
    "FAILED": False,
    "TIMED_OUT": False,
    "CANCELED": False,
}


def _history(events: Sequence[Mapping[str, Any]], where: str) -> _Workflow:
    name, request = "", ""
    scheduled: dict[str, Mapping[str, Any]] = {}
    times: dict[str, float] = {}
    calls: list[_Call] = []
    for event in events:
        kind = _event_kind(event)
        if kind == "WORKFLOW_EXECUTION_STARTED":
            told = event.get("workflowExecutionStartedEventAttributes") or {}
            name = str(told.get("workflowId") or told.get("originalExecutionRunId") or "")
            request = next((v for v in _payloads(told.get("input")) if isinstance(v, str)), "")
        elif kind == "ACTIVITY_TASK_SCHEDULED":
            number = str(event.get("eventId"))
            scheduled[number] = event.get("activityTaskScheduledEventAttributes") or {}
            times[number] = _seconds(event.get("eventTime"))
        elif kind.startswith("ACTIVITY_TASK_") and kind[14:] in _ENDS:
            key = "activityTask" + "".join(p.title() for p in kind[14:].split("_"))
            told = event.get(f"{key}EventAttributes") or {}
            number = str(told.get("scheduledEventId"))
            if number not in scheduled:
                fix = "export the whole history"
                raise BBError(f"no activity {number} was scheduled", where=where, fix=fix)
            t_s = max(0.0, _seconds(event.get("eventTime")) - times[number])
            calls.append(_activity(scheduled[number], told, _ENDS[kind[14:]], round(t_s, 6)))
    return _Workflow(name, request, tuple(calls))


def _event_kind(event: Mapping[str, Any]) -> str:
    """`EVENT_TYPE_ACTIVITY_TASK_SCHEDULED` and `ActivityTaskScheduled` as one."""
    kind = str(event.get("eventType", "")).removeprefix("EVENT_TYPE_")
    if kind.isupper():
        return kind
    return re.sub(r"(?<=[a-z])(?=[A-Z])", "_", kind).upper()


def _activity(told: Mapping[str, Any], ended: Mapping[str, Any], ok: bool, t_s: float) -> _Call:
    kind = told.get("activityType") or {}
    inputs = _payloads(told.get("input"))
    one = inputs[0] if len(inputs) == 1 and isinstance(inputs[0], Mapping) else None
    args = one if one is not None else {f"arg{i}": value for i, value in enumerate(inputs)}
    if ok:
        result, _ = _answer(_only(_payloads(ended.get("result"))), failed=False)
    else:
        failure = ended.get("failure") or {}
        result = {"reason": str(failure.get("message") or "no answer")[:500]}
    return _Call(str(kind.get("name")), args, result, ok, t_s)


def _only(values: Sequence[Any]) -> Any:
    return values[0] if len(values) == 1 else list(values) or {}


def _payloads(value: Any) -> list[Any]:
    """Payloads as data: base64 of JSON, or shown as JSON already."""
    listed = value.get("payloads") if isinstance(value, Mapping) else value
    return [_payload(each) for each in listed] if isinstance(listed, list) else []


def _payload(each: Any) -> Any:
    if not isinstance(each, Mapping) or not isinstance(each.get("data"), str):
        return each
    try:
        return _decoded(base64.b64decode(each["data"], validate=True).decode())
    except (binascii.Error, UnicodeDecodeError):
        return each["data"]


def _first(item: Any, keys: Iterable[str], where: str) -> Any:
    if isinstance(item, Mapping):
        for key in keys:
            if key in item:
                return item[key]
    known = " or ".join(keys)
    raise BBError(f"has no {known}", where=where, fix="see bb_domains/transcripts.py")


FORMATS: Mapping[str, Callable[[Sequence[Any], str], Iterator[_Workflow]]] = {
    "chat": _chats,
    "langchain": _runs,
    "temporal": _histories,
}
