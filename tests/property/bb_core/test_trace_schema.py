"""The documented schema takes what the loader takes, and refuses what it refuses."""

import json

import jsonschema
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bb_core.errors import BBError
from bb_core.trace import SCHEMA, Trace, TraceStep, decode_trace, trace_from_json, trace_line

VALIDATOR = jsonschema.Draft202012Validator(json.loads(SCHEMA.read_text()))
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-9, 9) | st.text(max_size=3),
    lambda inner: (
        st.lists(inner, max_size=2) | st.dictionaries(st.text(max_size=2), inner, max_size=2)
    ),
    max_leaves=4,
)
OBJECTS = st.dictionaries(st.text(max_size=3), VALUES, max_size=2)
WORDS = st.text(max_size=5)
STEPS = st.builds(TraceStep, WORDS, OBJECTS, VALUES, st.booleans(), st.floats(0, 9))
TRACES = st.builds(
    Trace, WORDS, WORDS, WORDS, WORDS, st.lists(STEPS, max_size=2).map(tuple),
    OBJECTS, OBJECTS, OBJECTS,
)  # fmt: skip


def test_the_schema_is_one():
    jsonschema.Draft202012Validator.check_schema(VALIDATOR.schema)


@given(TRACES)
def test_every_trace_keeps_to_it(trace):
    line = trace_line(trace)
    assert VALIDATOR.is_valid(json.loads(line))
    assert decode_trace(line, where="x") == trace


@given(TRACES, st.data())
def test_both_refuse_the_same_changes(trace, data):
    value = json.loads(trace_line(trace))
    place = data.draw(st.sampled_from([value, *value["steps"]]))
    name = data.draw(st.sampled_from([*place, "extra"]))
    place[name] = data.draw(VALUES)
    try:
        trace_from_json(value, where="x")
        taken = True
    except BBError:
        taken = False
    assert VALIDATOR.is_valid(value) == taken


@pytest.mark.parametrize("name", json.loads(SCHEMA.read_text())["required"])
def test_no_field_may_be_left_out(name):
    value = json.loads(trace_line(Trace("t", "d", "", "r", ())))
    del value[name]
    assert not VALIDATOR.is_valid(value)
    with pytest.raises(BBError, match=rf"has no '{name}'"):
        trace_from_json(value, where="x")
