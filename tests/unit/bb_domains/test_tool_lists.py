"""Lists of tools in JSON Schema become domains."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from bb_core.cli import run_app
from bb_domains.cli import app
from bb_domains.domain import load_domain, make_domain
from bb_domains.errors import DomainError
from bb_domains.grammar import parse_with_lark
from bb_domains.tool_lists import import_tools, tool_name

ARGS = {"type": "object", "properties": {"n": {"type": "integer"}}, "required": ["n"]}
PLAN = '{"plan":[{"id":"a","tool":"math_add","args":{"n":4}}]}'


@pytest.mark.parametrize(
    "data",
    [
        {"tools": [{"name": "math.add", "inputSchema": ARGS}]},
        {
            "jsonrpc": "2.0",
            "id": 1,
            "result": {"tools": [{"name": "math.add", "inputSchema": ARGS}]},
        },
        [{"type": "function", "function": {"name": "math.add", "parameters": ARGS}}],
        [{"name": "math.add", "input_schema": ARGS}],
        {"functions": [{"name": "math.add", "parameters": ARGS}]},
        {"title": "math add", **ARGS},
        {"name": "math.add", "parameters": {**ARGS, "type": "dict"}},
        [{"name": "math.add", "parameters": {**ARGS, "$schema": "https://json-schema.org/x"}}],
        [
            {
                "name": "math.add",
                "parameters": {**ARGS, "properties": {"n": {"type": "float"}}},
            }
        ],
    ],
)
def test_every_kind_of_list_is_read(data: Any) -> None:
    schema = import_tools(data, "sums")
    assert list(schema.tools) == ["math_add"]
    assert schema.tools["math_add"].effect == "write"
    domain = make_domain(schema)
    parse_with_lark(domain.grammar, PLAN)
    assert domain.name == "sums"


def test_hints_and_references_are_kept() -> None:
    tool = {
        "name": "look",
        "description": "Look\n something up.",
        "annotations": {"readOnlyHint": True, "idempotentHint": True},
        "inputSchema": {
            "type": "object",
            "properties": {"where": {"$ref": "#/tools/0/inputSchema/$defs/place"}},
            "$defs": {"place": {"enum": ["here", "there"]}},
        },
    }
    look = import_tools({"tools": [tool]}, "x").tools["look"]
    assert (look.effect, look.idempotent) == ("read", False)
    assert look.description == "Look something up."
    assert look.properties["where"] == {"enum": ["here", "there"]}


def test_a_tool_without_arguments_takes_none() -> None:
    assert import_tools([{"name": "ping"}], "x").tools["ping"].properties == {}


@pytest.mark.parametrize(
    ("data", "said"),
    [
        ([], r"tools: holds no tools"),
        ([1], r"tools: #/0: is no tool; write an object"),
        ([{"parameters": ARGS}], r"tools: #/0: a tool without a name"),
        ([{"name": "a b"}, {"name": "a.b"}], r"tools: #/1: tool 'a_b' is there twice"),
        ([{"name": "a", "parameters": {"type": "array"}}], r"/0/parameters: arguments must be an"),
    ],
)
def test_what_is_no_list_of_tools_is_refused(data: Any, said: str) -> None:
    with pytest.raises(DomainError, match=said):
        import_tools(data, "x")


@pytest.mark.parametrize(
    ("text", "name"), [("a.b-c", "a_b_c"), ("3d", "_3d"), ("ünder", "nder"), ("__", "")]
)
def test_names(text: str, name: str) -> None:
    assert tool_name(text) == name


def test_a_file_is_imported_with_an_overlay(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    source, overlay, out = (tmp_path / name for name in ("tools.json", "over.yaml", "my sums"))
    source.write_text(json.dumps([{"name": "math.add", "parameters": ARGS}]))
    overlay.write_text("fluents: {done: []}\ntools: {math_add: {effects: [done]}}\n")
    with pytest.raises(SystemExit) as stop:
        run_app(
            app,
            "bb domain",
            ["import-jsonschema", str(source), "--out", str(out), "--overlay", str(overlay)],
        )
    assert not stop.value.code
    assert "my_sums: 1 tools, written to" in capsys.readouterr().out
    domain = load_domain(out)
    assert domain.name == "my_sums"
    assert domain.schema.tools["math_add"].effects == ("done",)
