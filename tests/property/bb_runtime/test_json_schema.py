"""Random schemas: the masks accept exactly what the oracle does, whatever the keywords combined."""

from __future__ import annotations

import json
from contextlib import suppress
from itertools import permutations, product

import pytest
import torch
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st
from llguidance import LLMatcher

from bb_domains.json_schema.dialect import constraining
from bb_domains.json_schema.validate import InvalidText
from bb_runtime.errors import MaskError
from bb_runtime.json_schema import schema_constraint
from bb_runtime.masks import compile_matcher, n_mask_words, schema_rows, wrap_tokenizer

NAMES = st.sampled_from(["a", "b", "ab"])
SMALL = st.integers(0, 2)
SCALARS = st.one_of(st.none(), st.booleans(), st.integers(-1, 3), st.sampled_from(["", "a", "ab"]))
VALUES = st.recursive(
    SCALARS,
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(NAMES, inner, max_size=3)),
    max_leaves=5,
)
LEAVES = st.one_of(
    st.booleans(),
    st.builds(lambda k: {"type": k}, st.sampled_from(["null", "integer", "string", "object"])),
    st.builds(lambda v: {"enum": v}, st.lists(VALUES, min_size=1, max_size=3)),
    st.builds(lambda n: {"minimum": n}, SMALL),
    st.builds(lambda n: {"exclusiveMaximum": n}, SMALL),
    st.builds(lambda n: {"minLength": n}, SMALL),
    st.builds(lambda p: {"pattern": p}, st.sampled_from(["^a", "b$", "^(?!ab)", "^$"])),
    st.builds(lambda n: {"maxItems": n}, SMALL),
    st.builds(lambda n: {"minProperties": n}, SMALL),
    st.builds(lambda n: {"maxProperties": n}, SMALL),
    st.builds(lambda n: {"required": [n]}, NAMES),
    st.builds(lambda a, b: {"dependentRequired": {a: [b]}}, NAMES, NAMES),
    st.just({"type": "array", "uniqueItems": True}),
)


def composed(inner):
    some = st.lists(inner, min_size=1, max_size=2)
    return st.one_of(
        st.builds(lambda s: {"not": s}, inner),
        st.builds(lambda s: {"allOf": s}, some),
        st.builds(lambda s: {"anyOf": s}, some),
        st.builds(lambda s: {"oneOf": s}, some),
        st.builds(lambda a, b, c: {"if": a, "then": b, "else": c}, inner, inner, inner),
        st.builds(lambda s: {"items": s}, inner),
        st.builds(lambda a, b: {"prefixItems": [a], "items": b}, inner, inner),
        st.builds(lambda s, n: {"contains": s, "minContains": n}, inner, SMALL),
        st.builds(lambda s: {"contains": s, "maxContains": 1}, inner),
        st.builds(lambda n, s: {"properties": {n: s}}, NAMES, inner),
        st.builds(
            lambda n, s, t: {"properties": {n: s}, "additionalProperties": t}, NAMES, inner, inner
        ),
        st.builds(lambda s: {"patternProperties": {"^a": s}}, inner),
        st.builds(lambda s: {"propertyNames": s}, inner),
        st.builds(lambda n, s: {"dependentSchemas": {n: s}}, NAMES, inner),
        st.builds(
            lambda n, s: {"type": "object", "properties": {n: s}, "required": [n]}, NAMES, inner
        ),
    )


SCHEMAS = st.recursive(LEAVES, composed, max_leaves=5).map(lambda s: {"allOf": [s]})
SETTINGS = settings(
    max_examples=120,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)


def compiled(schema):
    try:
        return schema_constraint(schema)
    except MaskError as error:
        assume("cannot be negated" not in str(error) and "alternatives" not in str(error))
        if "allows no value" in str(error):
            return None
        raise


def orders(value):
    """A value with its members in every order."""
    if isinstance(value, list):
        return [list(items) for items in product(*map(orders, value))]
    if isinstance(value, dict):
        return [
            dict(zip(names, parts, strict=True))
            for names in permutations(value)
            for parts in product(*(orders(value[name]) for name in names))
        ]
    return [value]


def accepted(wrapped, matcher, guard, value):
    matcher = matcher.deep_copy()
    text = json.dumps(value, separators=(",", ":"))
    is_in = matcher.consume_tokens(wrapped.tokenize_str(text)) and matcher.is_accepting()
    return is_in and (guard is None or guard.feed(text.encode()) is not None)


@SETTINGS
@given(schema=SCHEMAS, values=st.lists(VALUES, min_size=4, max_size=8))
def test_grammar_and_oracle_agree(tokenizer, schema, values):
    constraint = compiled(schema)
    valid = []
    for value in values:
        try:
            if constraint is not None:
                constraint.oracle.check(json.dumps(value))
            valid.append(constraint is not None)
        except InvalidText:
            valid.append(False)
    if constraint is None:
        return
    wrapped = wrap_tokenizer(tokenizer)
    grammar = LLMatcher.grammar_from_lark(constraint.grammar.lark)
    matcher = compile_matcher(wrapped, grammar, "JSON Schema")
    for value, is_valid in zip(values, valid, strict=True):
        found = [accepted(wrapped, matcher, constraint.grammar.guard, o) for o in orders(value)]
        assert is_valid or not any(found), (schema, value)
        # Where only some alternatives ask for unique items, the guard asks for them always.
        if "uniqueItems" not in json.dumps(schema):
            assert any(found) or not is_valid, (schema, value)


KEYWORDS = sorted(constraining() | {"$defs", "$id", "$anchor", "$schema", "definitions"})
JUNK = st.recursive(
    st.one_of(SCALARS, st.floats(), st.sampled_from(["#", "#/$defs/a", "object", "^(a|b)*$", "("])),
    lambda inner: st.one_of(
        st.lists(inner, max_size=3),
        st.dictionaries(st.one_of(NAMES, st.sampled_from(KEYWORDS)), inner, max_size=4),
    ),
    max_leaves=12,
)


@SETTINGS
@given(schema=st.dictionaries(st.sampled_from(KEYWORDS), JUNK, max_size=4))
def test_hostile_schemas_compile_or_are_refused(schema):
    with suppress(MaskError):
        assert schema_constraint(schema).grammar.lark.startswith("start: ")


def written(tokenizer, row, generator):
    """Write a text of random tokens; how many it took, without the end of sequence."""
    wrapped, tokens = wrap_tokenizer(tokenizer), 0
    while not row.finished:
        tokens += len(row.take_forced())
        if not row.finished:
            noise = torch.randn(wrapped.vocab_size, generator=generator)
            scores = row.within_budget(row.allowed_scores(noise, n_mask_words(wrapped)))
            assert bool((scores > -torch.inf).any())
            assert row.consume(int(scores.argmax()))
            tokens += not row.finished
    row.check()
    return tokens


@SETTINGS
@given(schema=SCHEMAS, seed=st.integers(0, 2**32 - 1), more=st.integers(0, 30))
def test_random_texts_end_within_the_budget_and_validate(tokenizer, schema, seed, more):
    """From the least budget on; a lesser one is refused before the first token."""
    assume(compiled(schema) is not None)
    generator = torch.Generator().manual_seed(seed)
    with pytest.raises(MaskError, match="give a budget of at least") as refused:
        schema_rows(tokenizer, schema, 1)()
    least = int(refused.value.fix.split()[-1])
    for budget in (least, least + more):
        assert written(tokenizer, schema_rows(tokenizer, schema, budget)(), generator) < budget
