"""What logs of orchestrators have in common: calls, their answers, times.

Logs come from elsewhere: whatever is not of the expected shape counts as absent here.
"""

from __future__ import annotations

import datetime
import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, NoReturn

from bb_core.errors import BBError

LEAST_MILLISECONDS, MOST_MILLISECONDS = 10**11, 10**14  # 1973 to 5138; smaller are seconds

_REFUSAL = re.compile(r"\s*(error|exception|traceback|failed)\b", re.IGNORECASE)


def mapping(value: Any) -> Mapping[str, Any]:
    """The value if it is a mapping, else an empty one."""
    return value if isinstance(value, Mapping) else {}


def listed(value: Any) -> list[Any]:
    """The value if it is a list, else an empty one."""
    return value if isinstance(value, list) else []


@dataclass(frozen=True)
class Call:
    """A call and what came of it; `t_s` in seconds, 0 if nobody measured."""

    tool: str
    args: Mapping[str, Any]
    result: Any
    ok: bool
    t_s: float = 0.0


@dataclass(frozen=True)
class Workflow:
    """One conversation, run or history."""

    name: str
    request: str
    calls: tuple[Call, ...]


def answer_of(content: Any, failed: bool) -> tuple[Any, bool]:
    """An answer as data, and whether the call succeeded."""
    text = "\n".join(texts_of(content)) if isinstance(content, str | list) else ""
    value = decoded(text) if text else content if isinstance(content, Mapping) else {}
    if isinstance(value, Mapping):
        error = value.get("error")
        bad = failed or value.get("isError") is True or (bool(error) and error is not False)
        return dict(value), not bad
    if isinstance(value, str):
        refused = failed or bool(_REFUSAL.match(value))
        return ({"reason": value} if refused else {"text": value}), not refused
    return {"value": value}, not failed


def texts_of(content: Any) -> list[str]:
    """The texts of a message: one text, or parts that have texts."""
    if isinstance(content, str):
        return [content]
    return [str(p["text"]) for p in listed(content) if "text" in mapping(p)]


def decoded(text: str) -> Any:
    """The JSON value of a text, or the text if it is none."""

    def refuse(name: str) -> NoReturn:
        raise ValueError(name)

    try:
        return json.loads(text, parse_constant=refuse)
    except (ValueError, RecursionError):
        return text


def seconds(time: Any) -> float:
    """A point in time in seconds: a number (of milliseconds if large) or ISO 8601; 0 if neither."""
    if isinstance(time, int | float):
        known = 0 <= time < MOST_MILLISECONDS
        return (time / 1000 if time > LEAST_MILLISECONDS else float(time)) if known else 0.0
    try:
        found = datetime.datetime.fromisoformat(_six_places(str(time)))
    except ValueError:
        return 0.0
    return found.replace(tzinfo=found.tzinfo or datetime.UTC).timestamp()


def _six_places(text: str) -> str:
    return re.sub(r"(\.\d{6})\d+", r"\1", text)


def first_of(item: Any, keys: Iterable[str], where: str) -> Any:
    """The value of the first of these keys that there is.

    Raises:
        BBError: there is none.
    """
    if isinstance(item, Mapping):
        for key in keys:
            if key in item:
                return item[key]
    known = " or ".join(keys)
    raise BBError(f"has no {known}", where=where, fix="see bb_domains/transcripts.py")
