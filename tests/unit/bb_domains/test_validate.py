"""JSON Schema validation with decimal multiples and asserted formats."""

from __future__ import annotations

from typing import Any

import pytest

from bb_domains.errors import LowerError
from bb_domains.validate import check_schema, is_valid


def test_hundredths_are_multiples_of_a_hundredth() -> None:
    refused = [n for n in range(1, 500) if not is_valid(n / 100, {"multipleOf": 0.01})]
    assert refused == []


@pytest.mark.parametrize(
    ("value", "schema", "expected"),
    [
        (0.005, {"multipleOf": 0.01}, False),
        ("0.005", {"multipleOf": 0.01}, True),
        (True, {"multipleOf": 2}, True),
        (10**60 + 1, {"multipleOf": 2}, False),
        (1e300, {"multipleOf": 0.01}, True),
        ("ana@example.com", {"format": "email"}, True),
        ("ana@example", {"format": "email"}, False),
        (7, {"format": "email"}, True),
        ("2024-02-29", {"format": "date"}, True),
        ("2023-02-29", {"format": "date"}, False),
        ("2024-02-29T10:00:00Z", {"format": "date-time"}, True),
        ("2024-02-30T10:00:00Z", {"format": "date-time"}, False),
        ("2024-02-29", {"format": "date-time"}, False),
        ("0123abcd-0123-0123-0123-0123456789ab", {"format": "uuid"}, True),
        ("0123abcd", {"format": "uuid"}, False),
        ("anything", {"format": "made-up"}, True),
    ],
)
def test_values(value: Any, schema: dict[str, Any], expected: bool) -> None:
    assert is_valid(value, schema) is expected


def test_what_is_no_schema_is_refused() -> None:
    schema = {"type": "object", "properties": {"x": {"minimum": "3"}}}
    with pytest.raises(LowerError, match="/t/properties/x/minimum: is no JSON Schema: '3' is not"):
        check_schema(schema, "/t")


@pytest.mark.parametrize("keyword", ["$ref", "$dynamicRef"])
def test_references_are_refused(keyword: str) -> None:
    schema = {"anyOf": [{"type": "null"}, {keyword: "http://127.0.0.1:9/x"}]}
    with pytest.raises(LowerError, match=r"/t/anyOf/1/\$\w+: is a reference; write the schema out"):
        check_schema(schema, "/t")


def test_a_property_may_be_called_like_a_reference() -> None:
    check_schema({"type": "object", "properties": {"$ref": {"type": "null"}}}, "/t")
