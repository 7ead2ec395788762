"""Short schemas that would mean very much work are refused."""

from __future__ import annotations

import socket

import pytest

from bb_domains.errors import LowerError
from bb_domains.json_schema import effort, regex
from bb_domains.json_schema.compile import compile_schema
from bb_domains.json_schema.validate import InvalidText, Oracle

NAMES = {f"p{i}": {} for i in range(900)}


@pytest.mark.parametrize(
    "schema",
    [
        {
            "properties": NAMES,
            "dependentSchemas": {f"p{i}": {"minProperties": i} for i in range(9)},
        },
        {"type": "string", "not": {"pattern": "a?" * 4000 + "a" * 4000}, "minLength": 5},
    ],
)
def test_too_much_work_is_refused(schema):
    with pytest.raises(LowerError, match="is too much work"):
        compile_schema({"type": "object", **schema})


def test_a_large_schema_is_not_too_much_work():
    assert "p899" in compile_schema({"type": "object", "properties": NAMES}).lark


def test_a_long_keyword_is_not_compared_with_all_others():
    assert compile_schema({"type": "null", "x" * 60_000: 1}).annotations


def test_steps_are_bounded_inside_a_block_only():
    with effort.bounded(3):
        effort.spend(3)
        with effort.bounded(1):
            effort.spend()
        with pytest.raises(LowerError, match="is too much work"):
            effort.spend()
    effort.spend(10**9)


def test_what_was_remembered_is_forgotten():
    regex.derive(regex.literal("abc"), ord("a"))
    assert regex.derive.cache_info().currsize
    with effort.bounded(10**9):
        effort.spend(10**8)
    assert not regex.derive.cache_info().currsize


@pytest.mark.parametrize(
    "schema",
    [
        {"not": {"pattern": "^(a|a)*$"}},
        {"anyOf": [{"pattern": "^(a|a)*$"}, {"type": "string"}]},
    ],
)
def test_a_text_that_takes_too_long_to_judge_is_refused(schema, monkeypatch):
    """`re` would try 2^40 ways, with no other thread running."""
    monkeypatch.setattr("bb_domains.json_schema.validate.LONGEST_S", 0.05)
    with pytest.raises(InvalidText, match=r"takes longer than 0\.05 s to judge"):
        Oracle(schema).check('"' + "a" * 40 + '!"')


@pytest.mark.parametrize("word", ["additionalProperties", "unevaluatedProperties"])
def test_other_properties_are_those_that_no_pattern_finds(word):
    oracle = Oracle(
        {"properties": {"a": {}}, "patternProperties": {"^b": {"type": "null"}}, word: False}
    )
    assert oracle.check('{"a":1,"bc":null}')
    with pytest.raises(InvalidText, match="property 'c' is not allowed"):
        oracle.check('{"c":1}')
    with pytest.raises(InvalidText, match="1 is not of type 'null'"):
        oracle.check('{"bc":1}')


def test_a_reference_is_never_fetched():
    with socket.create_server(("127.0.0.1", 0)) as listening:
        listening.settimeout(0)
        there = f"http://127.0.0.1:{listening.getsockname()[1]}/x"
        with pytest.raises(InvalidText, match="cannot be judged"):
            Oracle({"properties": {"a": {"$ref": there}}}).check('{"a":1}')
        with pytest.raises(BlockingIOError):
            listening.accept()
