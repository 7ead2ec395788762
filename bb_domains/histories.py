"""Workflow histories as `temporal workflow show --output json` writes them."""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from bb_core.errors import BBError
from bb_domains.logged_calls import (
    Call,
    Workflow,
    answer_of,
    decoded,
    first_of,
    listed,
    mapping,
    seconds,
)

_ENDS = {"COMPLETED": True, "FAILED": False, "TIMED_OUT": False, "CANCELED": False}


def histories(items: Sequence[Any], where: str) -> Iterator[Workflow]:
    """The activities of each history.

    Raises:
        BBError: something is no history, or one without its beginning.
    """
    for number, item in enumerate(items):
        place = f"{where}: {number}"
        events = first_of(item, ("events",), place)
        if not isinstance(events, list):
            raise BBError("is no history", where=place, fix="use --output json")
        yield _history([e for e in events if isinstance(e, Mapping)], place)


def _history(events: Sequence[Mapping[str, Any]], where: str) -> Workflow:
    name, request = "", ""
    scheduled: dict[str, Mapping[str, Any]] = {}
    times: dict[str, float] = {}
    calls: list[Call] = []
    for event in events:
        kind = _event_kind(event)
        if kind == "WORKFLOW_EXECUTION_STARTED":
            told = mapping(event.get("workflowExecutionStartedEventAttributes"))
            name = str(told.get("workflowId") or told.get("originalExecutionRunId") or "")
            request = next((v for v in _payloads(told.get("input")) if isinstance(v, str)), "")
        elif kind == "ACTIVITY_TASK_SCHEDULED":
            number = str(event.get("eventId"))
            scheduled[number] = mapping(event.get("activityTaskScheduledEventAttributes"))
            times[number] = seconds(event.get("eventTime"))
        elif kind.startswith("ACTIVITY_TASK_") and kind[14:] in _ENDS:
            key = "activityTask" + "".join(p.title() for p in kind[14:].split("_"))
            told = mapping(event.get(f"{key}EventAttributes"))
            number = str(told.get("scheduledEventId"))
            if number not in scheduled:
                fix = "export the whole history"
                raise BBError(f"no activity {number} was scheduled", where=where, fix=fix)
            t_s = max(0.0, seconds(event.get("eventTime")) - times[number])
            calls.append(_activity(scheduled[number], told, _ENDS[kind[14:]], round(t_s, 6)))
    return Workflow(name, request, tuple(calls))


def _event_kind(event: Mapping[str, Any]) -> str:
    """`EVENT_TYPE_ACTIVITY_TASK_SCHEDULED` and `ActivityTaskScheduled` as one."""
    kind = str(event.get("eventType", "")).removeprefix("EVENT_TYPE_")
    if kind.isupper():
        return kind
    return re.sub(r"(?<=[a-z])(?=[A-Z])", "_", kind).upper()


def _activity(told: Mapping[str, Any], ended: Mapping[str, Any], ok: bool, t_s: float) -> Call:
    kind = mapping(told.get("activityType"))
    inputs = _payloads(told.get("input"))
    one = inputs[0] if len(inputs) == 1 and isinstance(inputs[0], Mapping) else None
    args = one if one is not None else {f"arg{i}": value for i, value in enumerate(inputs)}
    if ok:
        result, _ = answer_of(_only(_payloads(ended.get("result"))), failed=False)
    else:
        failure = mapping(ended.get("failure"))
        result = {"reason": str(failure.get("message") or "no answer")[:500]}
    return Call(str(kind.get("name")), args, result, ok, t_s)


def _only(values: Sequence[Any]) -> Any:
    return values[0] if len(values) == 1 else list(values) or {}


def _payloads(value: Any) -> list[Any]:
    """Payloads as data: base64 of JSON, or shown as JSON already."""
    payloads = value.get("payloads") if isinstance(value, Mapping) else value
    return [_payload(each) for each in listed(payloads)]


def _payload(each: Any) -> Any:
    if not isinstance(each, Mapping) or not isinstance(each.get("data"), str):
        return each
    try:
        return decoded(base64.b64decode(each["data"], validate=True).decode())
    except (binascii.Error, UnicodeDecodeError):
        return each["data"]
