"""Importing lists of tools that describe their arguments in JSON Schema.

Read are MCP's answer to `tools/list` (`inputSchema`), the tools of OpenAI's chat completions
(`{"type": "function", "function": {"parameters"}}`) and of Anthropic's messages (`input_schema`),
bare lists of functions (`parameters`), and a single JSON Schema of an object, whose title names the
tool. Type names of Python, Java and JavaScript that some collections use (`dict`, `float`,
`ArrayList`, `any`) are taken for JSON Schema's.

A list says nothing of what a tool changes: without MCP's `readOnlyHint` a tool is a write.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from bb_core.files import decode_json, read_text
from bb_domains.errors import DomainError, LowerError
from bb_domains.marks import Marked, read_marked
from bb_domains.merge import merge_all
from bb_domains.overlay import apply_overlay
from bb_domains.references import Document, write_pointer
from bb_domains.schema import PlanSchema, parse_schema

_ARGUMENTS = ("inputSchema", "input_schema", "parameters")
_TYPES = {
    **dict.fromkeys(("dict", "hashmap", "hashtable", "map"), "object"),
    **dict.fromkeys(("tuple", "list", "set", "array", "arraylist"), "array"),
    **dict.fromkeys(("int", "long", "short", "byte", "bigint"), "integer"),
    **dict.fromkeys(("float", "double"), "number"),
    **dict.fromkeys(("str", "char", "string"), "string"),
    **dict.fromkeys(("bool", "boolean"), "boolean"),
}
_FREE = "any"


def import_tools(
    source: str | Path | Mapping[str, Any] | list[Any],
    domain: str,
    overlay: str | Path | None = None,
) -> PlanSchema:
    """Make a plan schema of a list of tools.

    Args:
        source: a JSON file, or what it holds.
        domain: name of the domain.
        overlay: a YAML file that is merged over the result; see `overlay`.

    Returns:
        The plan schema; whether all arguments can be written is for the compiler to say.

    Raises:
        BBError: the file cannot be read or is not JSON.
        DomainError: it holds no tools; names the JSON pointer.
        SchemaError: overlay and list do not make a plan schema.
    """
    name = str(source) if isinstance(source, str | Path) else "tools"
    data = decode_json(read_text(source), where=name) if isinstance(source, str | Path) else source
    document = Document(data, name)
    tools: dict[str, Any] = {}
    for pointer, tool in _tools(data, name):
        called = tool_name(str(tool.get("name") or tool.get("title") or ""))
        where = f"{name}: {write_pointer(pointer)}"
        if not called:
            raise DomainError("a tool without a name", where=where, fix="name it")
        if called in tools:
            raise DomainError(f"tool {called!r} is there twice", where=where, fix="name them apart")
        tools[called] = _tool(document, pointer, tool)
    if not tools:
        raise DomainError("holds no tools", where=name, fix="see bb_domains/tool_lists.py")
    made = {"domain": domain, "tools": tools}
    marked = Marked(made, name)
    if overlay is not None:
        marked = apply_overlay(made, read_marked(overlay))
    return parse_schema(marked.data, marked)


def tool_name(text: str) -> str:
    """A tool's name in plans: `math.factorial` is `math_factorial`; empty if nothing is left."""
    name = re.sub(r"[^A-Za-z0-9]+", "_", text).strip("_")
    return f"_{name}" if name[:1].isdigit() else name


def _tools(data: Any, name: str) -> Iterator[tuple[tuple[str, ...], Mapping[str, Any]]]:
    """The tools of a document, each with where it is."""
    if isinstance(data, Mapping) and isinstance(data.get("result"), Mapping):  # a JSON-RPC answer
        for pointer, tool in _tools(data["result"], name):
            yield ("result", *pointer), tool
        return
    listed = data
    prefix: tuple[str, ...] = ()
    if isinstance(data, Mapping):
        key = next((k for k in ("tools", "functions") if isinstance(data.get(k), list)), None)
        listed, prefix = (data[key], (key,)) if key else ([data], ())
    if not isinstance(listed, list):
        raise DomainError("is no list of tools", where=name, fix="see bb_domains/tool_lists.py")
    for i, item in enumerate(listed):
        pointer = prefix if listed is not data and not prefix else (*prefix, str(i))
        if not isinstance(item, Mapping):
            where = f"{name}: {write_pointer(pointer)}"
            raise DomainError("is no tool", where=where, fix="write an object with a name")
        if isinstance(item.get("function"), Mapping):
            yield (*pointer, "function"), item["function"]
        else:
            yield pointer, item


def _tool(document: Document, pointer: tuple[str, ...], tool: Mapping[str, Any]) -> dict[str, Any]:
    key = next((key for key in _ARGUMENTS if isinstance(tool.get(key), Mapping)), None)
    if key is None and ("properties" in tool or tool.get("type") == "object"):
        args = _arguments(document, pointer)
    elif key is None:
        args = {"type": "object", "properties": {}, "additionalProperties": False}
    else:
        args = _arguments(document, (*pointer, key))
    hints = tool.get("annotations")
    reads = isinstance(hints, Mapping) and hints.get("readOnlyHint") is True
    described = " ".join(str(tool.get("description") or "").split())[:200]
    return {"description": described, "effect": "read" if reads else "write", "args": args}


def _arguments(document: Document, pointer: tuple[str, ...]) -> dict[str, Any]:
    where = f"{document.source}: {write_pointer(pointer)}"
    try:
        found = merge_all(_in_json_schema(document.expand(pointer)), write_pointer(pointer))
    except LowerError as error:
        place = f"{document.source}: {error.where}"
        raise DomainError(error.what, where=place, fix=error.fix) from error
    if found.setdefault("type", "object") != "object":
        raise DomainError("arguments must be an object", where=where, fix="write type: object")
    found.setdefault("properties", {})
    found.setdefault("additionalProperties", False)
    for noise in ("$schema", "$defs", "definitions", "title", "$id"):
        found.pop(noise, None)
    return found


def _in_json_schema(value: Any) -> Any:
    """A schema with the type names of Python replaced by JSON Schema's."""
    if isinstance(value, list):
        return [_in_json_schema(item) for item in value]
    if not isinstance(value, dict):
        return value
    fresh = {
        key: {name: _in_json_schema(part) for name, part in item.items()}
        if key == "properties" and isinstance(item, dict)
        else item
        if key in ("enum", "const", "default", "examples")
        else _in_json_schema(item)
        for key, item in value.items()
    }
    kind = fresh.get("type")
    if isinstance(kind, str):
        fresh["type"] = _TYPES.get(kind.lower(), kind)
        if kind == _FREE:
            del fresh["type"]
    return fresh
