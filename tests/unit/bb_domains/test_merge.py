"""Merging schemas that must hold together."""

from __future__ import annotations

from typing import Any

import pytest

from bb_domains.errors import LowerError
from bb_domains.merge import merge, merge_all


@pytest.mark.parametrize(
    ("one", "two", "both"),
    [
        ({"minimum": 1}, {"minimum": 2}, {"minimum": 2}),
        ({"maxLength": 5}, {"maxLength": 3}, {"maxLength": 3}),
        ({"enum": [1, 2, 3]}, {"enum": [3, 2]}, {"enum": [2, 3]}),
        ({"type": "number"}, {"type": "integer"}, {"type": "integer"}),
        ({"type": ["string", "null"]}, {"type": "null"}, {"type": "null"}),
        ({"required": ["a"]}, {"required": ["b", "a"]}, {"required": ["a", "b"]}),
        (
            {"properties": {"a": {"minimum": 1}}},
            {"properties": {"a": {"maximum": 2}, "b": {}}},
            {"properties": {"a": {"minimum": 1, "maximum": 2}, "b": {}}},
        ),
        ({"items": {"minimum": 1}}, {"items": {"minimum": 0}}, {"items": {"minimum": 1}}),
        ({"title": "x"}, {"title": "y"}, {"title": "x"}),
        (
            {"additionalProperties": False},
            {"additionalProperties": {}},
            {"additionalProperties": False},
        ),
    ],
)
def test_merged(one: dict[str, Any], two: dict[str, Any], both: dict[str, Any]) -> None:
    assert merge(one, two, "/p") == both


@pytest.mark.parametrize(
    ("one", "two", "message"),
    [
        ({"type": "string"}, {"type": "null"}, "/p/type: no value satisfies both 'type'"),
        ({"enum": [1]}, {"enum": [2]}, "no value satisfies both 'enum'"),
        ({"format": "date"}, {"format": "uuid"}, "/p/format: 'format' is given twice"),
        (
            {"additionalProperties": False, "properties": {"a": {}}},
            {"properties": {"b": {}}},
            "property 'b' is forbidden by additionalProperties",
        ),
    ],
)
def test_contradictions_are_refused(one: dict[str, Any], two: dict[str, Any], message: str) -> None:
    with pytest.raises(LowerError, match=message):
        merge(one, two, "/p")


def test_nested_parts_are_merged_with_their_pointers() -> None:
    schema = {"allOf": [{"allOf": [{"type": "string"}]}, {"allOf": [{"type": "null"}]}]}
    with pytest.raises(LowerError, match="/p/allOf/1/type"):
        merge_all(schema, "/p")
