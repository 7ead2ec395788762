"""Plan schemas: what is read back, and what is refused with place and fix."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml

from bb_core.errors import BBError
from bb_domains.errors import SchemaError
from bb_domains.schema import (
    PlanSchema,
    json_schema,
    load_schema,
    parse_schema,
    schema_data,
    schema_yaml,
)

MINIMAL: dict[str, Any] = {"domain": "d", "tools": {"ping": {}}}


def test_a_schema_survives_writing_and_reading(shop: PlanSchema) -> None:
    assert parse_schema(yaml.safe_load(schema_yaml(shop))) == shop


def test_the_order_of_arguments_survives(shop: PlanSchema) -> None:
    again = parse_schema(yaml.safe_load(schema_yaml(shop)))
    assert list(again.tools["refund"].properties) == ["order", "amount", "reason", "remark"]


def test_a_schema_file_is_valid_under_its_own_json_schema(shop_dir: Path) -> None:
    data = yaml.safe_load((shop_dir / "plan_schema.yaml").read_text())
    jsonschema.validate(data, json_schema())
    with pytest.raises(jsonschema.ValidationError, match="oops"):
        jsonschema.validate({**data, "oops": 1}, json_schema())


def test_defaults_are_left_out(shop: PlanSchema) -> None:
    assert "idempotent" not in schema_data(shop)["tools"]["login"]


def test_places_take_a_bare_location(shop: PlanSchema) -> None:
    place = shop.tools["get_order"].place("number")
    assert (place.location, place.name) == ("path", "number")


def test_handles_are_written_as_references(shop: PlanSchema) -> None:
    args = shop.tools["confirm"].plan_args()
    assert args["properties"]["order"] == {"type": "string", "pattern": r"^\$[a-z]\.data\.id$"}
    assert args["required"] == ["customer", "order"]


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(BBError, match=r"nowhere\.yaml: file does not exist"):
        load_schema(tmp_path / "nowhere.yaml")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("domain: d\ntools: {a: {}\n", r"s\.yaml:3:1: not YAML"),
        ("[1]", r"s\.yaml:1:1: must be a mapping; start with domain:"),
        (
            "domain: d\ntool: {}\ntools: {a: {}}",
            r"s\.yaml:2:1: tool: unknown key 'tool'; use one of domain, v",
        ),
        (
            "domain: d\ntools:\n  a: {args: {}, per: x}",
            r"s\.yaml:3:17: tools\.a\.per: unknown key 'per'; .*pre",
        ),
        (
            "domain: d\ntools:\n  a: {binds: {objekt: x}}",
            r"objekt: unknown key 'objekt'; use one of object, key",
        ),
        ("tools: {a: {}}", r"s\.yaml:1:1: 'domain' is missing; add domain:"),
        (
            "domain: d\nlimits:\n  max_steps: 99\ntools: {a: {}}",
            r"s\.yaml:3:3: limits\.max_steps: .*less than or equal to 26; it is 99",
        ),
        (
            "domain: d\ndomain: e\ntools: {a: {}}",
            r"s\.yaml:2:1: key 'domain' is written twice; keep one",
        ),
        ("domain: d\ntools: {}", r"s\.yaml:2:1: tools: .*at least 1"),
    ],
)
def test_a_broken_file_names_its_place(tmp_path: Path, text: str, message: str) -> None:
    path = tmp_path / "s.yaml"
    path.write_text(text)
    with pytest.raises(BBError, match=message):
        load_schema(path)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"fluents": {"f": ["ordr"]}}, r"fluents\.f\.0: object type 'ordr' is not declared"),
        ({"fluents": {"a b": []}}, r"'a b' is no name"),
        ({"tools": {"t": {"args": {"type": "array"}}}}, "arguments must be of type object"),
        ({"tools": {"t": {"args": {"type": "object", "properties": 3}}}}, "must be a mapping"),
        (
            {"tools": {"t": {"args": {"type": "object", "required": ["x"]}}}},
            "'x' is no argument; declare it",
        ),
        ({"tools": {"t": {"places": {"x": "path"}}}}, "'x' is no argument"),
        (
            {"objects": {"o": {"slots": 1}}, "tools": {"t": {"handles": {"x": {"object": "o"}}}}},
            r"tools\.t\.handles\.x: 'x' is no argument; declare it in args",
        ),
        (
            {
                "objects": {"o": {"slots": 1}},
                "tools": {"t": {"binds": {"object": "o", "key": "x"}}},
            },
            r"tools\.t\.binds\.key: 'x' is no required argument",
        ),
        ({"tools": {"t": {"binds": {"object": "o"}}}}, "object type 'o' is not declared"),
        (
            {
                "tools": {
                    "t": {
                        "operation": {"method": "GET", "path": "/"},
                        "args": {"type": "object", "properties": {"x": {"type": "integer"}}},
                    }
                }
            },
            "argument 'x' has no place; write x: path, query, header or body",
        ),
        (
            {"limits": {"max_steps": 2}, "graph": {"min_steps": 3}},
            "graph.min_steps: is above limits.max_steps",
        ),
        (
            {
                "service": {
                    "base_url": "http://h",
                    "hosts": ["h"],
                    "bearer": {"tool": "no", "field": "t"},
                }
            },
            "no tool 'no'",
        ),
        (
            {"invariants": [{"name": "i", "never": "f(x)", "for": {"x": "o"}}]},
            "'o' is not declared",
        ),
        ({"service": {"base_url": "ftp://h", "hosts": ["h"]}}, "base_url"),
    ],
)
def test_contradictions_are_refused(change: dict[str, Any], message: str) -> None:
    with pytest.raises(SchemaError, match=message):
        parse_schema({**MINIMAL, **change})


def test_a_key_that_is_a_handle_is_refused(shop: PlanSchema) -> None:
    data = schema_data(shop)
    data["tools"]["confirm"]["binds"] = {"object": "order", "key": "order"}
    with pytest.raises(SchemaError, match=re.escape("'order' is a handle")):
        parse_schema(data)
