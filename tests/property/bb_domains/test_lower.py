"""Every text of a lowered schema is valid, canonical JSON within its bound, in both parsers."""

from __future__ import annotations

import json
import random
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from bb_core.plan import references
from bb_domains.bounds import Bounds, levels
from bb_domains.errors import PlanGrammarError
from bb_domains.grammar import parse_with_lark
from bb_domains.lower import lower
from bb_domains.numerals import value_text
from bb_domains.rules import Rule
from bb_domains.schema import Limits
from bb_domains.validate import check_schema, is_valid
from bb_domains.writer import Writer, write

LEVELS = levels(Limits(max_string=12, max_items=3, max_digits=4))


def ranges(step: Any) -> st.SearchStrategy[dict[str, Any]]:
    numbers = st.integers(-2000, 2000).map(lambda n: n * step)
    pair = st.tuples(numbers, numbers).map(sorted)
    return st.one_of(
        st.just({}),
        numbers.map(lambda n: {"minimum": n}),
        numbers.map(lambda n: {"exclusiveMaximum": n}),
        pair.map(lambda ends: {"minimum": ends[0], "maximum": ends[1]}),
    )


scalars = st.one_of(
    st.just({"type": "boolean"}),
    st.just({"type": "null"}),
    ranges(1).map(lambda r: {"type": "integer", **r}),
    ranges(0.5).map(lambda r: {"type": "number", "multipleOf": 0.01, **r}),
    ranges(0.25).map(lambda r: {"type": "number", **r}),
    st.tuples(st.integers(0, 4), st.integers(4, 20)).map(
        lambda n: {"type": "string", "minLength": n[0], "maxLength": n[1]}
    ),
    st.sampled_from(["date", "date-time", "uuid", "email"]).map(
        lambda form: {"type": "string", "format": form}
    ),
    st.lists(st.one_of(st.integers(), st.text(max_size=5), st.none()), min_size=1, max_size=4)
    .filter(lambda values: not references(values))
    .map(lambda values: {"enum": values}),
    st.just({"type": ["string", "integer", "null"], "maxLength": 3}),
    st.just({"oneOf": [{"type": "boolean"}, {"const": 3}, {"type": "string"}]}),
)
names = st.text(st.characters(min_codepoint=32, max_codepoint=300), min_size=1, max_size=4)


def objects(parts: st.SearchStrategy[Any]) -> st.SearchStrategy[dict[str, Any]]:
    members = st.dictionaries(names, st.tuples(parts, st.booleans()), max_size=4)
    return members.map(
        lambda found: {
            "type": "object",
            "properties": {name: part for name, (part, _) in found.items()},
            "required": [name for name, (_, needed) in found.items() if needed],
            "additionalProperties": False,
        }
    )


def arrays(parts: st.SearchStrategy[Any]) -> st.SearchStrategy[dict[str, Any]]:
    bounds = st.tuples(parts, st.integers(0, 2), st.integers(2, 5))
    return bounds.map(
        lambda b: {"type": "array", "items": b[0], "minItems": b[1], "maxItems": b[2]}
    )


schemas = st.recursive(scalars, lambda parts: objects(parts) | arrays(parts), max_leaves=6)


def grammar_of(rule: Rule) -> str:
    writer = Writer()
    fragment = writer.fragment(rule)
    return write([f"start: {fragment.text}"], writer.definitions(fragment.needs))


def lark_accepts(grammar: str, text: str) -> bool:
    try:
        parse_with_lark(grammar, text)
    except PlanGrammarError:
        return False
    return True


def mutated(text: str, rng: random.Random) -> str:
    at = rng.randrange(len(text))
    return rng.choice(
        [
            text[:at] + text[at + 1 :],
            text[:at] + rng.choice('0159-.,"\\{}[]$ aZn\n') + text[at:],
            text[:at] + rng.choice('0159-.,"\\{}[]$ aZn\x7f') + text[at + 1 :],
        ]
    )


@settings(max_examples=40, deadline=None, suppress_health_check=list(HealthCheck))
@given(schemas, st.sampled_from(LEVELS), st.integers(0, 2**32))
def test_texts_are_valid_canonical_and_bounded(
    walker: Any, schema: dict[str, Any], bounds: Bounds, seed: int
) -> None:
    check_schema(schema, "")
    rule, rng = lower(schema, bounds), random.Random(seed)
    grammar = grammar_of(rule)
    if rule.most == 0:
        return
    for _ in range(3):
        text = walker.sample(grammar, rng)
        value = json.loads(text)
        assert value_text(value) == text
        assert is_valid(value, schema)
        assert rule.least <= len(text) <= rule.most
        assert not references(value)
        assert lark_accepts(grammar, text)
        for _ in range(4):
            other = mutated(text, rng)
            assert walker.accepts(grammar, other) == lark_accepts(grammar, other), other


@settings(max_examples=40, deadline=None, suppress_health_check=list(HealthCheck))
@given(st.data(), schemas)
def test_levels_are_nested(walker: Any, data: st.DataObject, schema: dict[str, Any]) -> None:
    seed = data.draw(st.integers(0, 2**32))
    rules = [lower(schema, bounds) for bounds in LEVELS]
    assert [rule.most for rule in rules] == sorted((r.most for r in rules), reverse=True)
    text = walker.sample(grammar_of(rules[-1]), random.Random(seed))
    assert all(walker.accepts(grammar_of(rule), text) for rule in rules[:1])


integers = st.integers(-9999, 9999)
hundredths = st.integers(-999999, 999999).map(lambda n: n / 100)
plain = st.text(st.characters(min_codepoint=32, max_codepoint=126), max_size=12)


@settings(max_examples=80, deadline=None)
@given(st.one_of(integers, hundredths, plain))
def test_the_profile_is_complete(value: Any) -> None:
    """Whatever the profile can say, it says: numbers with two places, printable ASCII."""
    kind = {int: "integer", float: "number", str: "string"}[type(value)]
    bounds = Bounds(12, 3, 4)
    rule = lower({"type": kind}, bounds)
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    written = not (isinstance(value, str) and value.startswith("$"))
    assert lark_accepts(grammar_of(rule), value_text(value)) == written


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("ana.ruiz@example.com", True),
        ("a@b.cd", True),
        ("liam_o-k+1@mail.blue-kite.org", True),
        ("Ana@example.com", False),
        ("ana@example", False),
        ("@example.com", False),
        ("ana@-x.com", False),
        ("ana ruiz@example.com", False),
        (".ana@example.com", False),
        ("a" * 40 + "@example.com", False),
    ],
)
def test_email_addresses(text: str, expected: bool) -> None:
    rule = lower({"type": "string", "format": "email"}, levels(Limits())[0])
    assert lark_accepts(grammar_of(rule), json.dumps(text)) is expected


@pytest.mark.parametrize("bound", range(6, 60, 3))
def test_email_terminals_keep_their_bound(walker: Any, bound: int) -> None:
    schema = {"type": "string", "format": "email", "maxLength": bound}
    rule = lower(schema, Bounds(60, 1, 1))
    rng = random.Random(bound)
    for _ in range(5):
        text = walker.sample(grammar_of(rule), rng)
        assert len(json.loads(text)) <= bound
        assert is_valid(json.loads(text), schema)
