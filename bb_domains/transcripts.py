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

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from bb_core.errors import BBError
from bb_core.files import decode_json, read_text
from bb_core.trace import Trace, TraceStep
from bb_domains.histories import histories
from bb_domains.linking import link, split_long
from bb_domains.logged_calls import Call, Workflow, answer_of, first_of, listed, mapping, texts_of
from bb_domains.run_trees import run_trees
from bb_domains.schema import PlanSchema
from bb_domains.tool_lists import tool_name

UNNAMED = "unnamed"


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
        steps = tuple(TraceStep(tool_name(c.tool) or UNNAMED, *_rest(c)) for c in flow.calls)
        whole = Trace(flow.name or f"{Path(path).stem}-{i:05d}", domain, "", flow.request, steps)
        traces += [link(part, schema) for part in split_long(whole)]
    return _named_apart(traces)


def _rest(call: Call) -> tuple[Mapping[str, Any], Any, bool, float]:
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
    if _is_one_value(text):
        value = decode_json(text, where=str(path))
        yield from value if isinstance(value, list) else [value]
        return
    for number, line in enumerate(text.split("\n"), 1):
        if line.strip():
            yield decode_json(line, where=f"{path}:{number}")


def _is_one_value(text: str) -> bool:
    """Whether a text is one JSON value and not one a line."""
    try:
        decode_json(text, where="")
    except BBError:
        return False
    return True


def _chats(items: Sequence[Any], where: str) -> Iterator[Workflow]:
    if items and all(isinstance(item, Mapping) and _is_message(item) for item in items):
        items = [{"messages": items}]  # one conversation, message by message
    for number, item in enumerate(items):
        place = f"{where}: {number}"
        if isinstance(item, list):
            item = {"messages": item}
        messages = first_of(item, ("messages", "input", "conversation"), place)
        if not isinstance(messages, list):
            raise BBError("is no conversation", where=place, fix="see bb_domains/transcripts.py")
        name = str(item.get("id") or item.get("conversation_id") or "")
        yield _chat(name, [*map(mapping, messages)], place)


def _is_message(item: Mapping[str, Any]) -> bool:
    return "role" in item or item.get("type") in ("function_call", "function_call_output")


def _chat(name: str, messages: Sequence[Mapping[str, Any]], where: str) -> Workflow:
    asked: dict[str, tuple[str, Mapping[str, Any]]] = {}
    answers: dict[str, tuple[Any, bool]] = {}
    said: list[str] = []
    for message in messages:
        if message.get("role") == "user":
            said += texts_of(message.get("content"))
        for number, tool, args in _calls_in(message, where):
            asked[number] = (tool, args)
        for number, content, failed in _answers_in(message):
            answers[number] = answer_of(content, failed)
    calls = (
        Call(tool, args, *answers[number])
        for number, (tool, args) in asked.items()
        if number in answers
    )
    return Workflow(name, "\n".join(said), tuple(calls))


def _calls_in(
    message: Mapping[str, Any], where: str
) -> Iterator[tuple[str, str, Mapping[str, Any]]]:
    for call in map(mapping, listed(message.get("tool_calls"))):
        function = mapping(call.get("function"))
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
    return [*map(mapping, listed(message.get("content")))]


def _args(value: Any, where: str) -> Mapping[str, Any]:
    found = decode_json(value or "{}", where=where) if isinstance(value, str) else value or {}
    if not isinstance(found, Mapping):
        raise BBError("arguments must be an object", where=where, fix="mend the log")
    return found


FORMATS: Mapping[str, Callable[[Sequence[Any], str], Iterator[Workflow]]] = {
    "chat": _chats,
    "langchain": run_trees,
    "temporal": histories,
}
