"""Tools over HTTP: what the masks keep, and how calls are told."""

from __future__ import annotations

import json

import jsonschema
import numpy as np
import pytest
from fastapi.testclient import TestClient

from bb_runtime.engine import Engine, Sampling
from bb_runtime.errors import MaskError
from bb_runtime.http.app import create_app
from bb_runtime.http.limits import ServerLimits
from bb_runtime.http.tool_bodies import Function, Tool
from bb_runtime.http.tool_calls import calls_schema, keep_to_tools, moved
from bb_runtime.http.tool_row import TAG, TagRow, keep_calls_after_tag
from bb_runtime.masks import n_mask_words, vocabulary_of, wrap_tokenizer

LIMITS = ServerLimits(max_new_tokens=256, hosts=("testserver",))
ORDER = {
    "type": "object",
    "properties": {"number": {"type": "integer", "minimum": 1000, "maximum": 9999}},
    "required": ["number"],
    "additionalProperties": False,
}
NOTE = {
    "type": "object",
    "properties": {"note": {"$ref": "#/$defs/short"}},
    "required": ["note"],
    "additionalProperties": False,
    "$defs": {"short": {"type": "string", "pattern": "^[a-z]{1,8}$"}},
}
TOOLS = [
    {"type": "function", "function": {"name": "get_order", "parameters": ORDER}},
    {"type": "function", "function": {"name": "write_note", "parameters": NOTE}},
    {"type": "function", "function": {"name": "ping"}},
]
PARAMETERS = {"get_order": ORDER, "write_note": NOTE, "ping": {"maxProperties": 0}}
ASK = {"messages": [{"role": "user", "content": "hi"}], "tools": TOOLS}


@pytest.fixture(scope="module")
def client(model, tokenizer):
    with TestClient(create_app(Engine(model, tokenizer, "tiny"), LIMITS)) as client:
        yield client


def chat(client, **body):
    answer = client.post("/v1/chat/completions", json=ASK | body)
    assert answer.status_code == 200, answer.text
    return answer.json()["choices"]


def check_calls(message, finish_reason):
    assert finish_reason == "tool_calls" and message["content"] is None
    for call in message["tool_calls"]:
        function = call["function"]
        jsonschema.validate(json.loads(function["arguments"]), PARAMETERS[function["name"]])
    ids = [call["id"] for call in message["tool_calls"]]
    assert len(set(ids)) == len(ids)
    return [call["function"]["name"] for call in message["tool_calls"]]


@pytest.mark.parametrize("seed", range(4))
def test_required_calls_are_calls_of_the_tools(client, seed):
    choices = chat(client, tool_choice="required", temperature=1.2, seed=seed, n=2)
    for choice in choices:
        assert set(check_calls(choice["message"], choice["finish_reason"])) <= set(PARAMETERS)


def test_without_parallel_calls_there_is_one(client):
    for seed in range(6):
        (choice,) = chat(
            client, tool_choice="required", parallel_tool_calls=False, temperature=1.5, seed=seed
        )
        assert len(check_calls(choice["message"], choice["finish_reason"])) == 1


def test_a_named_function_is_called_once(client):
    named = {"type": "function", "function": {"name": "get_order"}}
    (choice,) = chat(client, tool_choice=named)
    assert check_calls(choice["message"], choice["finish_reason"]) == ["get_order"]


def test_none_calls_nothing(client):
    (choice,) = chat(client, tool_choice="none", max_tokens=8)
    assert "tool_calls" not in choice["message"] and choice["message"]["content"]


@pytest.mark.parametrize("choice", ["required", {"type": "function", "function": {"name": "ping"}}])
def test_streamed_calls_are_the_whole_ones(client, choice):
    body = ASK | {"tool_choice": choice, "temperature": 1.0, "seed": 5}
    (whole,) = client.post("/v1/chat/completions", json=body).json()["choices"]
    calls, reason = {}, None
    with client.stream("POST", "/v1/chat/completions", json=body | {"stream": True}) as answer:
        for line in answer.iter_lines():
            if not line or line == "data: [DONE]":
                continue
            (found,) = json.loads(line.removeprefix("data: "))["choices"]
            reason = found["finish_reason"] or reason
            for delta in found["delta"].get("tool_calls", ()):
                call = calls.setdefault(delta["index"], {"name": "", "arguments": ""})
                call["name"] += delta["function"].get("name", "")
                call["arguments"] += delta["function"].get("arguments", "")
                assert ("id" in delta) == ("name" in delta["function"])
    expected = [call["function"] for call in whole["message"]["tool_calls"]]
    assert list(calls.values()) == expected and reason == "tool_calls"


@pytest.mark.parametrize(
    ("extra", "message"),
    [
        ({"tools": []}, None),
        ({"tool_choice": "any"}, "tool_choice"),
        ({"tool_choice": {"type": "function", "function": {"name": "x"}}}, "none of the tools"),
        ({"tools": None, "tool_choice": "required"}, "tool_choice needs tools"),
        ({"tools": TOOLS[:1] * 2}, "two tools have the same name"),
        ({"tools": [{"type": "retrieval"}]}, "tools.0.type"),
        ({"stop": ["x"]}, "tools cannot be combined with stop"),
        ({"response_format": {"type": "json_object"}}, "tools cannot be combined"),
        ({"functions": []}, "functions: Extra inputs are not permitted"),
    ],
)
def test_tools_that_mean_nothing_are_refused(client, extra, message):
    body = {key: value for key, value in (ASK | extra).items() if value is not None}
    answer = client.post("/v1/chat/completions", json=body | {"max_tokens": 40})
    if message is None:
        assert answer.status_code == 200
    else:
        assert answer.status_code == 400 and message in answer.json()["error"]["message"]


def test_parameters_that_cannot_be_kept_are_refused_by_tool_and_place(client):
    bad = {"type": "function", "function": {"name": "f", "parameters": {"maxLenght": 1}}}
    answer = client.post("/v1/chat/completions", json=ASK | {"tools": [bad]})
    assert answer.status_code == 400
    message = answer.json()["error"]["message"]
    assert message.startswith("tools: f: parameters: ") and "maxLenght" in message


@pytest.fixture
def led(monkeypatch, tokenizer):
    """Leads every text of tool_choice auto to `Sure.` and the tag; an untrained model would not."""
    vocabulary = vocabulary_of(tokenizer)
    single = {found: token for token, found in enumerate(vocabulary.token_bytes)}
    own = TagRow.take_forced

    def take_forced(row):
        taken = []
        if not row._end:
            taken = [single[bytes([byte])] for byte in b"Sure." + TAG.encode()]
            assert all(row.consume(token) for token in taken)
        return [*taken, *own(row)]

    monkeypatch.setattr(TagRow, "take_forced", take_forced)


def test_auto_tells_text_and_then_calls(client, led):
    (choice,) = chat(client, tool_choice="auto", temperature=1.2, seed=3)
    message = choice["message"]
    assert message["content"] == "Sure." and choice["finish_reason"] == "tool_calls"
    for call in message["tool_calls"]:
        function = call["function"]
        jsonschema.validate(json.loads(function["arguments"]), PARAMETERS[function["name"]])
    body = ASK | {"temperature": 1.2, "seed": 3, "stream": True}
    said, arguments = "", ""
    with client.stream("POST", "/v1/chat/completions", json=body) as answer:
        for line in answer.iter_lines():
            if line and line != "data: [DONE]":
                (found,) = json.loads(line.removeprefix("data: "))["choices"]
                said += found["delta"].get("content") or ""
                for delta in found["delta"].get("tool_calls", ()):
                    arguments += delta["function"]["arguments"]
    assert said == "Sure."
    assert arguments == "".join(c["function"]["arguments"] for c in message["tool_calls"])


# -- the row that is free until its tag ----------------------------------------------------------


def tools(*names):
    return [Tool(type="function", function=Function(name=name, parameters=ORDER)) for name in names]


def feed(row, text, vocabulary):
    """Write bytes, one token each, under the row's masks."""
    single = {found: token for token, found in enumerate(vocabulary.token_bytes)}
    for byte in text:
        token = single[bytes([byte])]
        assert allowed(row, vocabulary)[token], (byte, text)
        assert row.consume(token)


def allowed(row, vocabulary):
    words = np.zeros((len(vocabulary.token_bytes) + 31) // 32, dtype=np.int32)
    row.fill(words)
    return np.unpackbits(words.view(np.uint8), bitorder="little").astype(bool)


@pytest.fixture
def row(tokenizer):
    return keep_to_tools(tokenizer, tools("f"), "auto", parallel=True, max_new_tokens=200)()


def test_before_the_tag_everything_may_be_written_and_the_text_may_end(row, tokenizer):
    vocabulary = vocabulary_of(tokenizer)
    assert allowed(row, vocabulary)[: len(vocabulary.token_bytes)].all()
    feed(row, b"Well, <tool", vocabulary)
    assert row.take_forced() == [] and not row.finished
    assert row.consume(tokenizer.eos_token_id) and row.finished


def test_after_the_tag_only_calls_may_be_written(row, tokenizer):
    vocabulary = vocabulary_of(tokenizer)
    feed(row, b"Well, " + TAG.encode(), vocabulary)
    forced = b"".join(vocabulary.token_bytes[token] for token in row.take_forced())
    assert forced.startswith(b'[{"name":"f","arguments":{"number":')
    assert not allowed(row, vocabulary)[tokenizer.eos_token_id]
    twin = row.fork()
    feed(twin, b"1042}}]"[: 7 - 0], vocabulary)
    assert allowed(twin, vocabulary)[tokenizer.eos_token_id]
    assert not row.finished


def test_the_tag_cannot_be_written_where_no_call_fits(tokenizer):
    schema = calls_schema(tools("f"), parallel=False)
    vocabulary = vocabulary_of(tokenizer)
    shortest = len(keep_calls_after_tag(tokenizer, schema, 200)()._language.way) + 1
    single = {found: token for token, found in enumerate(vocabulary.token_bytes)}
    begun = TAG[:-1].encode()
    for spare, fits in ((0, False), (1, True)):
        row = keep_calls_after_tag(tokenizer, schema, len(begun) + shortest + spare)()
        feed(row, begun, vocabulary)
        assert bool(allowed(row, vocabulary)[single[b">"]]) is fits


def test_a_token_that_goes_on_beyond_the_tag_is_masked(tokenizer):
    """In a vocabulary with such a token: `>` and a brace."""
    row = keep_to_tools(tokenizer, tools("f"), "auto", parallel=True, max_new_tokens=200)()
    vocabulary = vocabulary_of(tokenizer)
    feed(row, TAG[:-1].encode(), vocabulary)
    single = {found: token for token, found in enumerate(vocabulary.token_bytes)}
    found = [t for t, text in enumerate(vocabulary.token_bytes) if b">" in text[:-1]]
    mask = allowed(row, vocabulary)
    assert mask[single[b">"]] and not mask[found].any()
    assert n_mask_words(wrap_tokenizer(tokenizer)) * 32 == len(mask)


def test_a_model_that_is_led_to_the_tag_ends_with_a_call(model, tokenizer):
    """The whole way through the engine: the prompt's own text cannot lead an untrained model."""
    schema = calls_schema(tools("f"), parallel=False)
    make = keep_calls_after_tag(tokenizer, schema, 60)
    vocabulary = vocabulary_of(tokenizer)

    def after_tag():
        row = make()
        single = {found: token for token, found in enumerate(vocabulary.token_bytes)}
        for byte in TAG.encode():
            assert row.consume(single[bytes([byte])])
        return row

    sampling = Sampling(60, temperature=1.5, seed=2)
    (made,) = Engine(model, tokenizer, "x").complete("hi", sampling, after_tag)
    (call,) = json.loads(made.text)
    assert made.finished and call["name"] == "f"
    jsonschema.validate(call["arguments"], ORDER)


def test_no_call_fits_a_tiny_budget(tokenizer):
    with pytest.raises(MaskError, match="no call was found that fits 5 tokens; give a larger"):
        keep_to_tools(tokenizer, tools("f"), "auto", parallel=True, max_new_tokens=5)


# -- schemas of tools within one larger schema -----------------------------------------------------


def test_references_of_parameters_are_mended_and_values_are_not():
    schema = {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "properties": {"$ref": {"const": {"$ref": "#/x"}}, "a": {"$ref": "#/$defs/b"}},
        "items": [{"$ref": "#"}],
        "enum": [{"$ref": "#/y"}],
    }
    assert moved(schema, 3) == {
        "properties": {"$ref": {"const": {"$ref": "#/x"}}, "a": {"$ref": "#/$defs/3/$defs/b"}},
        "items": [{"$ref": "#/$defs/3"}],
        "enum": [{"$ref": "#/y"}],
    }


def test_references_by_name_are_refused_by_name():
    with pytest.raises(MaskError, match=r"parameters with \$anchor cannot stand beside other"):
        moved({"properties": {"a": {"$anchor": "x"}}}, 0)


def test_dialects_cannot_be_mixed():
    drafts = (
        "http://json-schema.org/draft-07/schema#",
        "https://json-schema.org/draft/2020-12/schema",
    )
    mixed = [
        Tool(type="function", function=Function(name=f"f{i}", parameters={"$schema": draft}))
        for i, draft in enumerate(drafts)
    ]
    with pytest.raises(MaskError, match="in 2 dialects of JSON Schema; give all parameters"):
        calls_schema(mixed, parallel=True)
