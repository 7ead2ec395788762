"""The text that calls of tools are written in, and the constraint that keeps the model to it.

    tool_choice     the model writes
    auto            any text; after the tag `<tool_call>`, a list of calls, which ends the answer
    required        a list of one or more calls
    a name          the arguments of the one call

A list of calls is `[{"name":"f","arguments":{…}},…]`, with one call where parallel calls are off.
The arguments always validate against the tool's parameters, and the list ends within the budget:
with "auto" the tag itself can be written only while the shortest call still fits.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

from transformers import PreTrainedTokenizerBase

from bb_runtime.constraints import keep_to_schema
from bb_runtime.errors import MaskError
from bb_runtime.http.tool_bodies import NamedChoice, Tool, ToolChoice
from bb_runtime.http.tool_row import keep_calls_after_tag
from bb_runtime.job import Constraint
from bb_runtime.json_schema import schema_constraint

MAX_CALLS = 16

_NAMING = ("$id", "id", "$anchor", "$dynamicRef", "$dynamicAnchor", "$recursiveRef")
_MAPS = (
    "properties", "patternProperties", "$defs", "definitions", "dependentSchemas", "dependencies",
)  # fmt: skip
_VALUES = ("const", "enum", "default", "examples", "example", "required", "type")

CallForm = Literal["tagged", "list", "arguments"]
"""How calls stand in the text: after a tag, as a list, or as the arguments of one call."""


def call_form(choice: ToolChoice | None) -> CallForm:
    """The form that a tool choice gives the text."""
    if isinstance(choice, NamedChoice):
        return "arguments"
    return "list" if choice == "required" else "tagged"


def keep_to_tools(
    tokenizer: PreTrainedTokenizerBase,
    tools: Sequence[Tool],
    choice: ToolChoice | None,
    *,
    parallel: bool,
    max_new_tokens: int,
) -> Constraint:
    """Text whose calls are calls of these tools.

    Raises:
        MaskError: the parameters of a tool cannot be kept, by tool, name and JSON pointer.
    """
    for tool in tools:
        _check_parameters(tool)
    if isinstance(choice, NamedChoice):
        (chosen,) = (tool for tool in tools if tool.function.name == choice.function.name)
        return keep_to_schema(tokenizer, parameters(tool=chosen), max_new_tokens)
    schema = calls_schema(tools, parallel=parallel)
    if choice == "required":
        return keep_to_schema(tokenizer, schema, max_new_tokens)
    return keep_calls_after_tag(tokenizer, schema, max_new_tokens)


def parameters(tool: Tool) -> dict[str, Any]:
    """The JSON Schema of a tool's arguments, which are an object whatever it says."""
    schema = tool.function.parameters
    if not schema:
        return {"type": "object", "properties": {}, "additionalProperties": False}
    return schema if "type" in schema or "$ref" in schema else {"type": "object", **schema}


def calls_schema(tools: Sequence[Tool], *, parallel: bool) -> dict[str, Any]:
    """The JSON Schema of a list of calls.

    Raises:
        MaskError: the tools' schemas cannot be part of one.
    """
    calls = [
        {
            "type": "object",
            "properties": {"name": {"const": tool.function.name}, "arguments": _ref(i)},
            "required": ["name", "arguments"],
            "additionalProperties": False,
        }
        for i, tool in enumerate(tools)
    ]
    return {
        **_dialect(tools),
        "type": "array",
        "items": calls[0] if len(calls) == 1 else {"anyOf": calls},
        "minItems": 1,
        "maxItems": MAX_CALLS if parallel else 1,
        "$defs": {str(i): moved(parameters(tool), i) for i, tool in enumerate(tools)},
    }


def _ref(i: int) -> dict[str, Any]:
    return {"$ref": f"#/$defs/{i}"}


def _dialect(tools: Sequence[Tool]) -> dict[str, Any]:
    found = {schema["$schema"] for schema in map(parameters, tools) if "$schema" in schema}
    if len(found) > 1:
        raise MaskError(
            f"the tools are written in {len(found)} dialects of JSON Schema",
            where="tools",
            fix="give all parameters the same $schema, or none",
        )
    return {"$schema": found.pop()} if found else {}


def moved(schema: Any, i: int, *, is_root: bool = True) -> Any:
    """A schema as definition number `i` of a larger one, its own references mended.

    Raises:
        MaskError: it refers by name, which would mean something else there.
    """
    if isinstance(schema, list):
        return [moved(item, i, is_root=False) for item in schema]
    if not isinstance(schema, dict):
        return schema
    found: dict[str, Any] = {}
    for key, value in schema.items():
        if key in _NAMING:
            raise MaskError(
                f"parameters with {key} cannot stand beside other tools",
                where="tools",
                fix="refer by JSON pointer, as in #/$defs/name",
            )
        if key == "$schema" and is_root:
            continue
        if key == "$ref" and isinstance(value, str) and value.startswith("#"):
            found[key] = f"#/$defs/{i}{value[1:]}"
        elif key in _MAPS and isinstance(value, dict):
            found[key] = {name: moved(part, i, is_root=False) for name, part in value.items()}
        elif key in _VALUES:
            found[key] = value
        else:
            found[key] = moved(value, i, is_root=False)
    return found


def _check_parameters(tool: Tool) -> None:
    """Refuse parameters under the tool's own name, before they are part of something larger."""
    try:
        schema_constraint(parameters(tool))
    except MaskError as error:
        raise MaskError(
            error.what, where=f"tools: {tool.function.name}: parameters", fix=error.fix
        ) from error
