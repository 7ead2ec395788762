"""JSON Schema keywords under the masks: what is accepted, what is not, what is refused by name."""

from __future__ import annotations

import json

import pytest
from llguidance import LLMatcher

from bb_domains.json_schema.validate import InvalidText, Oracle
from bb_runtime.constraints import keep_to_lark, keep_to_regex, keep_to_schema
from bb_runtime.errors import MaskError
from bb_runtime.json_schema import schema_constraint
from bb_runtime.masks import compile_matcher, wrap_tokenizer


def accepts(tokenizer, schema, value, **options):
    constraint = schema_constraint(schema, **options)
    wrapped = wrap_tokenizer(tokenizer)
    grammar = LLMatcher.grammar_from_lark(constraint.grammar.lark)
    matcher = compile_matcher(wrapped, grammar, "JSON Schema")
    text = json.dumps(value, separators=(",", ":"), ensure_ascii=False)
    is_in = matcher.consume_tokens(wrapped.tokenize_str(text)) and matcher.is_accepting()
    guard = constraint.grammar.guard
    return is_in and (guard is None or guard.feed(text.encode()) is not None)


def either(*parts):
    return {"oneOf": list(parts)}


OBJECT = {"type": "object", "properties": {"a": {"type": "integer"}, "b": {"type": "string"}}}
CLOSED = {**OBJECT, "additionalProperties": False}
KEYWORDS = {
    "not type": ({"not": {"type": "string"}}, [1, None, [], {}], ["x", ""]),
    "not enum": (
        {"type": "string", "not": {"enum": ["no", "never"]}},
        ["yes", "n", "nope", ""],
        ["no", "never"],
    ),
    "not pattern": (
        {"type": "string", "not": {"pattern": "^[a-z]+$"}},
        ["", "A", "a1"],
        ["a", "abc"],
    ),
    "not required": ({**CLOSED, "not": {"required": ["a"]}}, [{}, {"b": "x"}], [{"a": 1}]),
    "not properties": (
        {**CLOSED, "not": {"properties": {"a": {"minimum": 5}}}},
        [{"a": 4}],
        [{"a": 5}, {}, {"b": "x"}],
    ),
    "not items": (
        {"type": "array", "not": {"items": {"type": "integer"}}},
        [["x"], [1, "x", 2]],
        [[], [1, 2]],
    ),
    "not number": (
        {"type": "integer", "not": {"minimum": 3, "maximum": 7}},
        [2, 8, -5],
        [3, 5, 7],
    ),
    "not integer": ({"type": "number", "not": {"type": "integer"}}, [1.5, -0.25], [1, 0]),
    "one of types": (either({"type": "integer"}, {"type": "number"}), [1.5], [1, "x"]),
    "one of bounds": (
        {"type": "integer", **either({"maximum": 5}, {"minimum": 3})},
        [2, 6],
        [3, 5],
    ),
    "one of required": (
        {**CLOSED, **either({"required": ["a"]}, {"required": ["b"]})},
        [{"a": 1}, {"b": "x"}],
        [{}, {"a": 1, "b": "x"}],
    ),
    "if then else": (
        {
            **CLOSED,
            "if": {"properties": {"a": {"const": 1}}, "required": ["a"]},
            "then": {"required": ["b"]},
            "else": {"properties": {"b": False}},
        },
        [{"a": 1, "b": "x"}, {"a": 2}, {}],
        [{"a": 1}, {"a": 2, "b": "x"}, {"b": "x"}],
    ),
    "dependent required": (
        {**CLOSED, "dependentRequired": {"a": ["b"]}},
        [{}, {"b": "x"}, {"a": 1, "b": "x"}],
        [{"a": 1}],
    ),
    "dependent schemas": (
        {**CLOSED, "dependentSchemas": {"a": {"properties": {"b": {"maxLength": 1}}}}},
        [{"b": "xyz"}, {"a": 1, "b": "x"}],
        [{"a": 1, "b": "xyz"}],
    ),
    "property names": (
        {"type": "object", "propertyNames": {"pattern": "^[a-z]{2}$"}},
        [{}, {"ab": 1}],
        [{"abc": 1}, {"A": 2}],
    ),
    "pattern properties": (
        {
            "type": "object",
            "patternProperties": {"^a": {"type": "integer"}, "b$": {"minimum": 5}},
            "additionalProperties": {"type": "string"},
        },
        [{"a": 1}, {"b": 5}, {"ab": 7}, {"c": "x"}],
        [{"a": "x"}, {"ab": 1}, {"ab": "x"}, {"c": 1}],
    ),
    "contains": (
        {"type": "array", "items": {"type": "integer"}, "contains": {"minimum": 5}},
        [[5], [1, 9, 2]],
        [[], [1, 2]],
    ),
    "contains counted": (
        {"type": "array", "contains": {"const": "x"}, "minContains": 2, "maxContains": 3},
        [["x", 1, "x"], ["x", "x", "x"]],
        [["x"], ["x", "x", "x", "x"]],
    ),
    "contains at most": (
        {"type": "array", "contains": {"type": "string"}, "minContains": 0, "maxContains": 1},
        [[], [1], ["x", 1]],
        [["x", "y"]],
    ),
    "unique few": (
        {"type": "array", "items": {"enum": ["a", "b", 1]}, "uniqueItems": True},
        [[], ["b", "a"], [1, "a", "b"]],
        [["a", "a"]],
    ),
    "unique many": (
        {"type": "array", "uniqueItems": True},
        [[], ["a", "b", {"x": 1}], [1, True, 0, False, None]],
        [["a", "a"], [{"x": 1}, {"x": 1}], [1, 2.5, 1.0]],
    ),
    "unique inside": (
        {"properties": {"t": {"items": {"type": "array", "uniqueItems": True}}}},
        [{"t": [[1, 2], [1, 2]]}],
        [{"t": [[1, 1]]}],
    ),
    "sizes of objects": (
        {"type": "object", "minProperties": 2, "maxProperties": 3},
        [{"a": 1, "b": 2}, {"a": 1, "b": 2, "c": 3}],
        [{}, {"a": 1}, {"a": 1, "b": 2, "c": 3, "d": 4}],
    ),
    "sizes beside declared": (
        {**CLOSED, "minProperties": 1},
        [{"a": 1}, {"b": "x"}, {"a": 1, "b": "x"}],
        [{}],
    ),
    "prefix items": (
        {"prefixItems": [{"type": "integer"}, {"type": "string"}], "items": False, "minItems": 1},
        [[1], [1, "x"]],
        [[], ["x"], [1, "x", 2]],
    ),
    "multiple of": ({"type": "number", "multipleOf": 0.01}, [19.99, 0.1, 3], [0.125]),
    "multiple of seven": ({"type": "integer", "multipleOf": 7}, [0, 14, -7], [1, 15]),
    "bounds of decimals": (
        {"type": "number", "exclusiveMinimum": 0.5, "maximum": 12.25},
        [0.51, 1, 12.25, 12.2, 7.125],
        [0.5, 0, 12.26, 13, -1],
    ),
    "lookahead": (
        {"type": "string", "pattern": "^(?!admin)[a-z]+$"},
        ["user", "adm"],
        ["admin", "administrator", ""],
    ),
    "pattern and length": (
        {"type": "string", "pattern": "b", "minLength": 2, "maxLength": 3},
        ["ab", "abc"],
        ["b", "aaa", "abcd"],
    ),
    "characters": ({"type": "string", "maxLength": 1}, ["é", "\n", '"', "\\", "😀"], ["ab"]),
    "date": ({"type": "string", "format": "date"}, ["2024-02-29"], ["2023-02-29", "2024-1-1"]),
    "ipv6": ({"type": "string", "format": "ipv6"}, ["::1", "fe80::1:2"], ["1::2::3", ":::"]),
    "recursion": (
        {"$ref": "#/$defs/n", "$defs": {"n": {"type": "array", "items": {"$ref": "#/$defs/n"}}}},
        [[], [[], [[]]]],
        [[1], {}],
    ),
    "dynamic reference": (
        {
            "$dynamicAnchor": "node",
            "type": "object",
            "properties": {"next": {"$dynamicRef": "#node"}},
            "additionalProperties": False,
        },
        [{}, {"next": {"next": {}}}],
        [{"next": 1}, {"next": {"next": 1}}],
    ),
    "recursive reference": (
        {
            "$schema": "https://json-schema.org/draft/2019-09/schema",
            "$recursiveAnchor": True,
            "type": "array",
            "items": {"$recursiveRef": "#"},
        },
        [[], [[]]],
        [[1], {}],
    ),
    "const object": ({"const": {"a": [1, {"b": None}]}}, [{"a": [1, {"b": None}]}], [{}, 1]),
    "all of": (
        {"allOf": [OBJECT, {"required": ["a"]}, {"properties": {"a": {"minimum": 3}}}]},
        [{"a": 3}, {"a": 4, "b": "x"}],
        [{}, {"a": 2}],
    ),
    "draft 4": (
        {
            "$schema": "http://json-schema.org/draft-04/schema#",
            "type": "array",
            "items": [{"minimum": 3, "exclusiveMinimum": True, "type": "integer"}],
            "additionalItems": False,
        },
        [[], [4]],
        [[3], [4, 4]],
    ),
    "unevaluated": (
        {**OBJECT, "unevaluatedProperties": False},
        [{"a": 1}],
        [{"c": 1}],
    ),
}


@pytest.mark.parametrize("name", KEYWORDS)
def test_what_each_keyword_accepts(tokenizer, name):
    schema, valid, invalid = KEYWORDS[name]
    oracle = Oracle(schema)
    for value in valid:
        assert accepts(tokenizer, schema, value), value
        oracle.check(json.dumps(value))
    for value in invalid:
        assert not accepts(tokenizer, schema, value), value
        with pytest.raises(InvalidText):
            oracle.check(json.dumps(value))


@pytest.mark.parametrize(
    ("schema", "message"),
    [
        ({"items": {"not": {"uniqueItems": True}}}, "at /items/not/uniqueItems: .*be negated"),
        ({"type": "string", "format": "topic"}, "at /format: 'format' names 'topic'"),
        ({"type": "string", "pattern": r"(a)\1"}, "escape or backreference at character"),
        ({"type": "string", "pattern": r"\bword"}, "a word boundary at character"),
        ({"type": "string", "pattern": "(?<=a)b"}, "lookbehind at character"),
        ({"$ref": "https://example.org/other.json"}, "names nothing in this document"),
        ({"$ref": "#"}, "refers to itself without a value between"),
        ({"$dynamicRef": "#x"}, "reference '#x' names nothing in this document"),
        (
            {
                "$dynamicRef": "#x",
                "$defs": {"a": {"$dynamicAnchor": "x"}, "b": {"$id": "b", "$dynamicAnchor": "x"}},
            },
            "at /.dynamicRef: '.dynamicRef' may mean several schemas",
        ),
        ({"divisibleBy": 3}, "keyword 'divisibleBy' is not supported"),
        ({"properties": {"a": {"Required": ["b"]}}}, "unknown keyword 'Required' at /properties/a"),
        ({"type": "object", "required": ["a"], "properties": {"a": False}}, "allows no value"),
        ({"$schema": "https://example.org/mine", "type": "object"}, "dialect .* is unknown"),
        ({"allOf": [{}], "unevaluatedProperties": False}, "'unevaluatedProperties' beside 'allOf'"),
        ({"enum": [float("nan")]}, "no JSON"),
    ],
)
def test_what_cannot_be_kept_is_refused_by_name(schema, message):
    with pytest.raises(MaskError, match=message):
        schema_constraint(schema)


def test_unknown_formats_may_be_annotations(tokenizer):
    schema = {"type": "string", "format": "topic"}
    assert accepts(tokenizer, schema, "anything", unknown_formats="annotate")


def test_other_unknown_keywords_are_reported():
    schema = {"properties": {"a": {"javaType": "X", "type": "string"}}, "x-mine": 1}
    assert schema_constraint(schema).grammar.annotations == (("/properties/a", "javaType"),)


def test_alternatives_that_multiply_are_refused_in_time():
    parts = [{"anyOf": [{"required": [f"a{n}_{i}"]} for i in range(12)]} for n in range(12)]
    schema = {"type": "object", "not": {"anyOf": [{"not": part} for part in parts]}}
    with pytest.raises(MaskError, match="more than 512 alternatives"):
        schema_constraint(schema)


def test_the_oracle_refuses_repeated_keys_and_what_is_no_json():
    oracle = Oracle({"type": "object"})
    with pytest.raises(InvalidText, match="an object repeats a key"):
        oracle.check('{"a":1,"a":2}')
    with pytest.raises(InvalidText, match="is no JSON"):
        oracle.check('{"a":1')


def test_a_finished_text_that_the_oracle_refuses_is_not_handed_on():
    constraint = schema_constraint({"type": "integer"})
    with pytest.raises(MaskError, match="a finished text does not validate at /: 'x' is not"):
        constraint.check('"x"')


def test_declared_properties_in_any_order(tokenizer):
    schema = {**OBJECT, "required": ["b"]}
    for value in ({"b": "x", "a": 1}, {"a": 1, "b": "x"}, {"c": 0, "b": "x", "d": 0, "a": 1}):
        assert accepts(tokenizer, schema, value, order="any"), value
    assert not accepts(tokenizer, schema, {"b": "x", "a": 1})
    assert not accepts(tokenizer, schema, {"a": 1, "c": 0}, order="any")
    assert not accepts(tokenizer, schema, {"b": "x", "a": "x"}, order="any")


def test_half_a_surrogate_pair_is_refused(tokenizer):
    for keep in (
        lambda: keep_to_schema(tokenizer, {"const": "\ud800"}, 20),
        lambda: keep_to_lark(tokenizer, 'start: "\ud800"'),
        lambda: keep_to_regex(tokenizer, "\ud800"),
    ):
        with pytest.raises(MaskError, match="half a surrogate pair; write whole characters"):
            keep()


def test_the_oracle_judges_multiples_of_numbers_however_large():
    oracle = Oracle({"multipleOf": 0.5})
    assert oracle.check(str(10**60)) == 10**60 and oracle.check("1e300") == 1e300
    for text in ("0.25", "1e400", "-1e400"):
        with pytest.raises(InvalidText, match="is not a multiple of 0.5"):
            oracle.check(text)
