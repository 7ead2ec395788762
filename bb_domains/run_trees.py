"""Run trees as LangChain's tracers and LangSmith export them."""

from __future__ import annotations

import ast
import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from bb_core.errors import BBError
from bb_domains.logged_calls import (
    Call,
    Workflow,
    answer_of,
    decoded,
    listed,
    mapping,
    seconds,
    texts_of,
)


def run_trees(items: Sequence[Any], where: str) -> Iterator[Workflow]:
    """The runs of a log, those of one trace together.

    Raises:
        BBError: something is no run.
    """
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
        tools.sort(key=lambda run: seconds(run.get("start_time")))
        asked = next((run for run in flat if not run.get("parent_run_id")), flat[0])
        yield Workflow(root, _asked(asked.get("inputs")), tuple(map(_run_call, tools)))


def _flat(run: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    yield run
    for child in listed(run.get("child_runs")):
        yield from _flat(mapping(child))


def _run_call(run: Mapping[str, Any]) -> Call:
    inputs, outputs = mapping(run.get("inputs")), mapping(run.get("outputs"))
    args: Any = inputs["input"] if set(inputs) == {"input"} else inputs
    if isinstance(args, str):
        args = decoded(args)
    if isinstance(args, str):
        args = _literal(args)
    content = outputs.get("output", outputs)
    if isinstance(content, Mapping) and "content" in content:  # a message of a tool
        content = content["content"]
    result, ok = answer_of(content, failed=False)
    if run.get("error"):
        result, ok = {"reason": str(run["error"])[:500]}, False
    t_s = max(0.0, seconds(run.get("end_time")) - seconds(run.get("start_time")))
    named = args if isinstance(args, Mapping) else {"input": args}
    return Call(str(run.get("name")), named, result, ok, round(t_s, 6))


def _literal(text: str) -> Any:
    """Arguments that a tracer wrote as Python's repr; the text if they are not JSON then either."""
    try:
        value = ast.literal_eval(text)
        return json.loads(json.dumps(value, allow_nan=False))
    except (ValueError, TypeError, SyntaxError, RecursionError, MemoryError):
        return text


def _asked(inputs: Any) -> str:
    """What the user said, in the inputs of the outermost run."""
    if not isinstance(inputs, Mapping):
        return ""
    for key in ("input", "question", "query"):
        if isinstance(inputs.get(key), str):
            return str(inputs[key])
    for message in map(mapping, listed(inputs.get("messages"))):
        if (message.get("role") or message.get("type")) in ("user", "human"):
            return "\n".join(texts_of(message.get("content")))
    return ""
