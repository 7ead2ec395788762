"""Texts of calls: how a step is written, and how few or many bytes each tool needs for it.

    {"plan":[ {"id":"a","tool":" login","args":{}} , {"id":"b","tool":" … ]}
    PLAN_OPEN     step_open(i)       call text         step_open(i+1)      PLAN_CLOSE

A call text starts after `"tool":"` and ends with the brace that closes the step.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from bb_core.plan import step_id
from bb_domains.bounds import levels
from bb_domains.errors import SchemaError
from bb_domains.lower import lower, lower_object
from bb_domains.merge import merge_all
from bb_domains.rules import (
    Alt,
    Lit,
    Rule,
    Rx,
    Slot,
    count_texts,
    seq,
)
from bb_domains.schema import Limits, PlanSchema, Tool
from bb_domains.validate import check_schema

PLAN_OPEN = '{"plan":['
PLAN_CLOSE = "]}"


def step_open(i: int) -> str:
    """The text before the call of step `i`, counted from 0; the plan's opening included."""
    return f'{"," if i else PLAN_OPEN}{{"id":"{step_id(i)}","tool":"'


def reference(step: str, path: str) -> str:
    """The JSON text of a reference to a handle."""
    return f'"${step}.{path}"'


@dataclass(frozen=True)
class CallText:
    """The texts of one tool's calls at one level of bounds."""

    rule: Rule
    least: int
    most: int


@dataclass(frozen=True)
class ToolTexts:
    """All levels of one tool, loosest first, and the number of keys it can write (None: many)."""

    levels: tuple[CallText, ...]
    n_keys: int | None


def tool_texts(name: str, tool: Tool, limits: Limits) -> ToolTexts:
    """Lower the arguments of one tool at every level.

    Raises:
        LowerError: its argument schema says something the grammar cannot keep.
        SchemaError: its key is no scalar.
    """
    pointer = f"/tools/{name}/args"
    check_schema(tool.args, pointer)
    args = merge_all(tool.plan_args(), pointer)
    found: list[CallText] = []
    n_keys: int | None = None
    for bounds in levels(limits):
        given: dict[str, Rule] = {
            arg: Slot(arg, _reference_terminal(handle.path)) for arg, handle in tool.handles.items()
        }
        if tool.binds and tool.binds.key:
            key = tool.binds.key
            rule = lower(args["properties"][key], bounds, f"{pointer}/properties/{key}")
            if not isinstance(rule, Lit | Rx | Alt):
                raise SchemaError("a key must be a scalar", where=pointer, fix="use another key")
            given[key] = Slot(key, rule)
            n_keys = count_texts(rule) if not found else n_keys
        text = seq(Lit(f'{name}","args":'), lower_object(args, bounds, pointer, given), Lit("}"))
        call = CallText(text, text.least, text.most)
        if not found or call.most < found[-1].most:
            found.append(call)
    return ToolTexts(tuple(found), n_keys)


def all_texts(schema: PlanSchema) -> Mapping[str, ToolTexts]:
    """Lower every tool of a domain."""
    return {name: tool_texts(name, tool, schema.limits) for name, tool in schema.tools.items()}


def _reference_terminal(path: str) -> Rx:
    pattern = reference("?", path).replace(".", r"\.").replace("$?", r"\$[a-z]")
    length = len(reference("a", path))
    return Rx("REF", pattern, length, length)
