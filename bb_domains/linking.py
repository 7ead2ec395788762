"""References in traces: an argument that an earlier answer named becomes `"$b.id"`.

What goes over a wire are identifiers; what plans write, and what can be learned from, are
references to the steps that found them. With a plan schema its handles say which arguments refer to
what; without one, an argument refers to the first answer in which its value stood under the name of
an identifier, unless the user or an earlier argument said it before.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

from bb_core.plan import MAX_STEPS, step_id
from bb_core.trace import Trace, TraceStep
from bb_domains.schema import PlanSchema

MOST_DEPTH = 8
"""Identifiers deeper in an answer are not looked for."""

LEAST_CHARACTERS = 3
"""A shorter value names too much to be a reference."""

_IDENTIFIER = re.compile(r"(.*[_-])?(id|uuid|guid|key|ref|handle)|.*[a-z](Id|ID|Uuid|Key)")
_WORD = re.compile(r"[A-Za-z0-9_]+")


def link(trace: Trace, schema: PlanSchema | None = None) -> Trace:
    """The trace with references in place of identifiers; what is a reference already stays.

    Args:
        trace: with what went over the wire.
        schema: whose handles say which arguments refer; None finds them.
    """
    steps: list[TraceStep] = []
    for step in trace.steps:
        args = {
            name: _reference(trace, steps, step.tool, name, value, schema) or value
            for name, value in step.args.items()
        }
        steps.append(replace(step, args=args))
    return replace(trace, steps=tuple(steps))


def split_long(trace: Trace) -> Iterator[Trace]:
    """A trace in parts of as many steps as a plan may have; later parts have numbered names."""
    for part, start in enumerate(range(0, max(1, len(trace.steps)), MAX_STEPS)):
        name = f"{trace.id}.{part}" if part else trace.id
        yield replace(trace, id=name, steps=trace.steps[start : start + MAX_STEPS])


def _reference(
    trace: Trace,
    earlier: Sequence[TraceStep],
    tool: str,
    arg: str,
    value: Any,
    schema: PlanSchema | None,
) -> str | None:
    if not isinstance(value, str | int) or isinstance(value, bool):
        return None
    if schema is not None:
        declared = schema.tools[tool].handles.get(arg) if tool in schema.tools else None
        return _at(earlier, value, declared.path) if declared else None
    if len(str(value)) < LEAST_CHARACTERS or _said(trace, earlier, value):
        return None
    for i, step in enumerate(earlier[:MAX_STEPS]):
        for path, found in _leaves(step.result) if step.ok else ():
            named = _IDENTIFIER.fullmatch(path.rpartition(".")[2])
            if named and type(found) is type(value) and found == value:
                return f"${step_id(i)}.{path}"
    return None


def _at(earlier: Sequence[TraceStep], value: str | int, path: str) -> str | None:
    """The last answer before that has the value at a path."""
    for i in reversed(range(len(earlier))):
        found = earlier[i].result
        for part in path.split("."):
            found = found.get(part) if isinstance(found, Mapping) else None
        if earlier[i].ok and found is not None and str(found) == str(value):
            return f"${step_id(i)}.{path}"
    return None


def _said(trace: Trace, earlier: Sequence[TraceStep], value: str | int) -> bool:
    """Whether the user or a call said a value before any answer did."""
    if str(value) in trace.request:
        return True
    for step in earlier:
        if value in step.args.values():
            return True
        if step.ok and any(found == value for _, found in _leaves(step.result)):
            return False
    return False


def _leaves(value: Any, path: str = "") -> Iterator[tuple[str, Any]]:
    """Scalars of an answer by dotted path; references cannot go into lists."""
    if not isinstance(value, Mapping) or path.count(".") >= MOST_DEPTH:
        return
    for key, item in value.items():
        if not _WORD.fullmatch(str(key)):
            continue
        place = f"{path}.{key}" if path else str(key)
        if isinstance(item, Mapping):
            yield from _leaves(item, place)
        elif isinstance(item, str | int) and not isinstance(item, bool):
            yield place, item
