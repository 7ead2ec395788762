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
from bb_domains.schema import PlanSchema
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


def tool_texts(schema: PlanSchema, name: str) -> ToolTexts:
    """Lower the arguments of one tool at every level.

    Raises:
        LowerError: its argument schema says something the grammar cannot keep.
        SchemaError: its key is no scalar.
    """
    tool, pointer = schema.tools[name], f"/tools/{name}/args"
    check_schema(tool.args, pointer)
    args = merge_all(tool.plan_args(), pointer)
    found: list[CallText] = []
    n_keys: int | None = None
    for bounds in levels(schema.limits):
        given: dict[str, Rule] = {
            arg: Slot(arg, _reference_terminal(handle.path)) for arg, handle in tool.handles.items()
        }
        if tool.binds and tool.binds.key:
            key = tool.binds.key
            at = f"{pointer}/properties/{key}"
            rule = _key_rule(lower(args["properties"][key], bounds, at), at)
            given[key] = Slot(key, rule)
            count = count_texts(rule)
            n_keys = count if not found else n_keys
            if not _enough(count, n_keys, schema.objects[tool.binds.object].slots):
                continue
        text = seq(Lit(f'{name}","args":'), lower_object(args, bounds, pointer, given), Lit("}"))
        if not found or text.most < found[-1].most:
            found.append(CallText(text, text.least, text.most))
    return ToolTexts(tuple(found), n_keys)


def _key_rule(rule: Rule, pointer: str) -> Rx | Alt | Lit:
    parts = rule.items if isinstance(rule, Alt) else (rule,)
    if not isinstance(rule, Rx | Alt | Lit) or not all(isinstance(p, Rx | Lit) for p in parts):
        raise SchemaError("a key must be a scalar", where=pointer, fix="use another argument")
    return rule


def _enough(count: int | None, n_keys: int | None, slots: int) -> bool:
    """Whether a level has a key left for every slot, as far as the full level has."""
    needed = slots if n_keys is None else min(slots, n_keys)
    return count is None or count >= needed


def all_texts(schema: PlanSchema) -> Mapping[str, ToolTexts]:
    """Lower every tool of a domain."""
    return {name: tool_texts(schema, name) for name in schema.tools}


def _reference_terminal(path: str) -> Rx:
    pattern = reference("?", path).replace(".", r"\.").replace("$?", r"\$[a-z]")
    length = len(reference("a", path))
    return Rx("REF", pattern, length, length)
