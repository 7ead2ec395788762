"""The function-calling data as JSON Schemas and calls, for the rows that need them.

Data: the Berkeley Function-Calling Leaderboard [Patil et al.], under `bfcl/` of the data folder.
Its type names are those of three programming languages; here they become JSON Schema's.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

CATEGORIES = (
    "simple_python",
    "simple_java",
    "simple_javascript",
    "multiple",
    "parallel",
    "parallel_multiple",
    "irrelevance",
    "multi_turn_base",
)
_TYPES = {
    "dict": "object",
    "hashmap": "object",
    "object": "object",
    "float": "number",
    "double": "number",
    "number": "number",
    "integer": "integer",
    "int": "integer",
    "long": "integer",
    "string": "string",
    "char": "string",
    "boolean": "boolean",
    "bool": "boolean",
    "array": "array",
    "arraylist": "array",
    "tuple": "array",
    "list": "array",
}
_API_FILES = {
    "GorillaFileSystem": "gorilla_file_system",
    "MathAPI": "math_api",
    "MessageAPI": "message_api",
    "TwitterAPI": "posting_api",
    "TicketAPI": "ticket_api",
    "TradingBot": "trading_bot",
    "TravelAPI": "travel_booking",
    "VehicleControlAPI": "vehicle_control",
}


@dataclass(frozen=True)
class Task:
    """One request with its functions.

    Attributes:
        name: the entry's id.
        request: what the user asks first.
        functions: (name, JSON Schema of the arguments).
        is_parallel: whether several calls may be made at once.
        calls: the calls of the ground truth; empty where there is none.
    """

    name: str
    request: str
    functions: tuple[tuple[str, dict[str, Any]], ...]
    is_parallel: bool
    calls: tuple[dict[str, Any], ...]

    @property
    def schema(self) -> dict[str, Any]:
        """One call to one of the functions, or a list of one to four calls."""
        options = [
            {
                "type": "object",
                "properties": {"name": {"const": name}, "arguments": arguments},
                "required": ["name", "arguments"],
                "additionalProperties": False,
            }
            for name, arguments in self.functions
        ]
        one: dict[str, Any] = options[0] if len(options) == 1 else {"anyOf": options}
        if not self.is_parallel:
            return one
        return {"type": "array", "items": one, "minItems": 1, "maxItems": 4}


def json_schema(part: Any) -> Any:
    """A parameter's description as JSON Schema; unknown type names allow anything."""
    found: dict[str, Any] = {}
    kind = _TYPES.get(str(part.get("type", "")).lower())
    if kind is not None:
        found["type"] = kind
    for keyword in ("enum", "minimum", "maximum", "minItems", "maxItems", "pattern"):
        if keyword in part:
            found[keyword] = part[keyword]
    if isinstance(part.get("items"), dict):
        found["items"] = json_schema(part["items"])
    if isinstance(part.get("properties"), dict) and kind in (None, "object"):
        found["properties"] = {n: json_schema(p) for n, p in part["properties"].items()}
        found["required"] = [n for n in part.get("required", ()) if n in found["properties"]]
        found["additionalProperties"] = False
    return found


def tasks(data: Path, category: str) -> Iterator[Task]:
    """The tasks of one category."""
    folder = data / "bfcl"
    answers = _answers(folder / "answers" / f"{category}.jsonl")
    for entry in _lines(folder / f"{category}.jsonl"):
        functions = entry.get("function")
        if functions is None:
            files = [_API_FILES[api] for api in entry["involved_classes"]]
            functions = [f for name in files for f in _api(folder, name)]
        yield Task(
            entry["id"],
            _request(entry["question"]),
            tuple((f["name"], json_schema(f["parameters"])) for f in functions),
            category.startswith("parallel"),
            answers.get(entry["id"], ()),
        )


def _lines(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines() if line]


def _api(folder: Path, name: str) -> list[dict[str, Any]]:
    return _lines(folder / "multi_turn_func_doc" / f"{name}.jsonl")


def _request(question: Any) -> str:
    first = question[0] if isinstance(question[0], list) else question
    return "\n".join(str(message["content"]) for message in first if message["role"] == "user")


def _answers(path: Path) -> dict[str, tuple[dict[str, Any], ...]]:
    """The first acceptable value of each argument; arguments that may be left out are."""
    if not path.exists() or "multi_turn" in path.name:
        return {}
    found = {}
    for entry in _lines(path):
        calls = []
        for call in entry["ground_truth"]:
            ((name, arguments),) = call.items()
            chosen = {
                key: _plain(values[0]) for key, values in arguments.items() if values[0] != ""
            }
            calls.append({"name": name, "arguments": chosen})
        found[entry["id"]] = tuple(calls)
    return found


def _plain(value: Any) -> Any:
    """Nested arguments list their acceptable values too."""
    if isinstance(value, dict):
        return {
            k: _plain(v[0]) if isinstance(v, list) and v else _plain(v) for k, v in value.items()
        }
    return value
