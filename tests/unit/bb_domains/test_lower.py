"""What is refused when JSON Schemas are lowered, and what comes out."""

from __future__ import annotations

from typing import Any

import pytest

from bb_domains.bounds import Bounds, levels
from bb_domains.errors import LowerError
from bb_domains.lower import lower
from bb_domains.rules import Alt, Lit, Opt, Rx, Seq
from bb_domains.schema import Limits

FULL = levels(Limits())[0]


@pytest.mark.parametrize(
    ("schema", "message"),
    [
        ({"type": "string", "pattern": "a"}, "/p/pattern: keyword 'pattern' is not supported"),
        ({"type": "array", "items": {"type": "null"}, "uniqueItems": True}, "'uniqueItems'"),
        ({"type": "object", "patternProperties": {}}, "'patternProperties'"),
        ({"not": {"type": "null"}}, "keyword 'not'"),
        ({"if": {}, "type": "null"}, "keyword 'if'"),
        ({"$ref": "#/x"}, r"keyword '\$ref'"),
        ({}, "/p: has no type; declare one in the overlay"),
        (False, "False is no schema"),
        ({"type": "file"}, "/p/type: unknown type 'file'"),
        ({"type": "string", "format": "uri"}, "/p/format: format 'uri' is not supported; use date"),
        (
            {"type": "string", "format": "date", "maxLength": 5},
            "format 'date' is not supported with",
        ),
        (
            {"type": "string", "format": "email", "maxLength": 5},
            "format 'email' is not supported with",
        ),
        (
            {"type": "string", "minLength": 5, "maxLength": 3},
            "/p/minLength: minLength is too large",
        ),
        ({"type": "string", "minLength": 5000}, "minLength is too large"),
        ({"type": "array", "minItems": 1}, "has no items"),
        (
            {"type": "array", "items": {"type": "null"}, "minItems": 3, "maxItems": 2},
            "minItems is too",
        ),
        (
            {"type": "object", "required": ["x"]},
            "/p/required: required property 'x' is not declared",
        ),
        (
            {"type": "object", "properties": {"x": {"type": "file"}}},
            "/p/properties/x/type: unknown",
        ),
        ({"type": "array", "items": {}}, "/p/items: has no type"),
        ({"type": "integer", "minimum": 3, "maximum": 2}, "allows no number"),
        ({"type": "integer", "format": "int99"}, "format 'int99' is not supported"),
        ({"type": "integer", "minimum": 10**16}, "more than 15 digits"),
        ({"type": "integer", "multipleOf": 0.5}, "/p/multipleOf: multipleOf 0.5 is not supported"),
        ({"type": "number", "multipleOf": 0.001}, "use a multiple of 0.01"),
        ({"type": "integer", "multipleOf": 7}, "allows .* numbers; narrow minimum"),
        ({"type": "integer", "multipleOf": 7, "minimum": 1, "maximum": 6}, "allows 0 numbers"),
        ({"enum": []}, "/p: allows no value"),
        ({"enum": ["a"], "type": "integer"}, "allows no value"),
        ({"const": "$a.id"}, "looks like a reference"),
        (
            {"anyOf": [{"type": "string"}, {"const": "x"}]},
            "/p/anyOf: alternatives 0 and 1 are not told",
        ),
        ({"oneOf": [{"type": "integer"}, {"type": "number"}]}, "/p/oneOf: alternatives 0 and 1"),
        ({"anyOf": [{"type": "object", "properties": {}}, {"type": "object"}]}, "not told apart"),
    ],
)
def test_refusals_name_the_pointer_and_the_keyword(schema: Any, message: str) -> None:
    with pytest.raises(LowerError, match=message):
        lower(schema, FULL, "/p")


def test_annotations_say_nothing() -> None:
    plain = {"type": "boolean"}
    noisy = {**plain, "description": "x", "example": 3, "x-thing": 1, "title": "t", "default": 1}
    assert lower(noisy, FULL) == lower(plain, FULL) == Alt((Lit("true"), Lit("false")))


def test_types_are_deduced_from_keywords() -> None:
    assert lower({"properties": {"a": {"type": "null"}}, "required": ["a"]}, FULL) == Lit(
        '{"a":null}'
    )
    assert lower({"items": {"type": "null"}, "maxItems": 0}, FULL) == Lit("[]")


def test_keywords_of_other_types_are_true() -> None:
    assert lower({"type": "null", "minimum": 3}, FULL) == Lit("null")


def test_a_list_of_types_is_an_alternative() -> None:
    rule = lower({"type": ["string", "null"], "maxLength": 0}, FULL)
    assert rule == Alt((Rx("EMPTY", '""', 2, 2, 1), Lit("null")))


def test_properties_keep_their_order_and_optional_ones_may_be_absent() -> None:
    schema = {
        "type": "object",
        "properties": {"a": {"const": 1}, "b": {"const": 2}, "c": {"const": 3}},
        "required": ["b"],
    }
    expected = Seq((Lit("{"), Opt(Lit('"a":1,')), Lit('"b":2'), Opt(Lit(',"c":3')), Lit("}")))
    assert lower(schema, FULL) == expected


def test_objects_may_be_told_apart_by_a_constant() -> None:
    def kind(name: str) -> dict[str, Any]:
        return {"type": "object", "properties": {"k": {"const": name}}, "required": ["k"]}

    assert lower({"oneOf": [kind("a"), kind("b")]}, FULL) == Alt(
        (Lit('{"k":"a"}'), Lit('{"k":"b"}'))
    )


def test_keywords_beside_alternatives_hold_in_each() -> None:
    schema = {"anyOf": [{"type": "string"}, {"type": "null"}], "maxLength": 0}
    assert lower(schema, FULL).most == len("null")


def test_parts_of_all_of_hold_together() -> None:
    schema = {"allOf": [{"type": "integer", "minimum": 3}, {"maximum": 4, "minimum": 1}]}
    assert lower(schema, FULL) == Rx("INT", "[3-4]", 1, 1, 2)


def test_an_enum_keeps_what_its_other_keywords_allow() -> None:
    assert lower({"enum": [1, "x", None], "type": ["integer", "null"]}, FULL) == Alt(
        (Lit("null"), Lit("1"))
    )


def test_levels_shrink_to_the_shortest_texts() -> None:
    schema = {
        "type": "object",
        "properties": {"s": {"type": "string"}, "o": {"type": "string"}},
        "required": ["s"],
    }
    sizes = [lower(schema, level).most for level in levels(Limits())]
    assert sizes == sorted(sizes, reverse=True)
    assert sizes[-1] == len('{"s":"\\""}')


def test_a_declared_minimum_length_outlives_every_level() -> None:
    tight = Bounds(1, 0, 1, optional=False)
    assert lower({"type": "string", "minLength": 5}, tight).least == 7
