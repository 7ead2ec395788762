"""Completions and chats over HTTP, on a tiny untrained model."""

from __future__ import annotations

import json
import re

import jsonschema
import pytest
from fastapi.testclient import TestClient

from bb_runtime.engine import Engine
from bb_runtime.http.app import create_app
from bb_runtime.http.limits import ServerLimits

LIMITS = ServerLimits(
    max_body_bytes=16384, max_new_tokens=96, max_constraint=4096, hosts=("testserver",)
)
SCHEMA = {"type": "object", "properties": {"a": {"enum": [1, 2]}}, "required": ["a"],
          "additionalProperties": False}  # fmt: skip
HI = {"messages": [{"role": "user", "content": "hi"}]}


@pytest.fixture(scope="module")
def client(model, tokenizer):
    with TestClient(create_app(Engine(model, tokenizer, "tiny"), LIMITS)) as client:
        yield client


def complete(client, **body):
    answer = client.post("/v1/completions", json={"prompt": "hello", **body})
    assert answer.status_code == 200, answer.text
    return answer.json()


def chat(client, **body):
    answer = client.post("/v1/chat/completions", json=HI | body)
    assert answer.status_code == 200, answer.text
    return answer.json()


def events(client, path, body):
    """The data of a stream's events, which must end with [DONE]."""
    with client.stream("POST", path, json=body | {"stream": True}) as answer:
        assert answer.headers["content-type"].startswith("text/event-stream")
        lines = [line.removeprefix("data: ") for line in answer.iter_lines() if line]
    assert lines[-1] == "[DONE]"
    return [json.loads(line) for line in lines[:-1]]


def test_health_and_models(client):
    assert client.get("/health").json() == {"status": "ok", "model": "tiny", "plans": False}
    assert client.get("/ready").json() == {"status": "ready"}
    (found,) = client.get("/v1/models").json()["data"]
    assert found["id"] == "tiny" and found["object"] == "model"
    assert client.get("/v1/models/tiny").json() == found
    missing = client.get("/v1/models/other")
    assert missing.status_code == 404
    assert missing.json()["error"]["code"] == "model_not_found"


def test_a_completion_counts_its_tokens(client):
    answer = complete(client, max_tokens=5)
    assert answer["object"] == "text_completion" and answer["model"] == "tiny"
    assert answer["usage"]["completion_tokens"] == 5
    assert answer["usage"]["total_tokens"] == answer["usage"]["prompt_tokens"] + 5
    assert answer["choices"][0]["finish_reason"] == "length"


def test_tokens_are_a_prompt_too(client, tokenizer):
    tokens = tokenizer("hello")["input_ids"]
    assert (
        complete(client, prompt=tokens, max_tokens=5)["choices"]
        == complete(client, max_tokens=5)["choices"]
        == complete(client, prompt=["hello"], max_tokens=5)["choices"]
    )


def test_a_seed_makes_sampling_repeatable(client):
    text = [
        complete(client, max_tokens=12, temperature=1.5, seed=seed)["choices"][0]["text"]
        for seed in (1, 1, 2)
    ]
    assert text[0] == text[1] != text[2]


def test_n_choices_have_streams_of_their_own(client):
    answer = complete(client, max_tokens=12, temperature=1.5, seed=1, n=3)
    texts = [choice["text"] for choice in answer["choices"]]
    assert [choice["index"] for choice in answer["choices"]] == [0, 1, 2]
    assert len(set(texts)) == 3 and answer["usage"]["completion_tokens"] == 36


def test_a_stop_string_ends_the_text_and_is_no_part_of_it(client):
    whole = complete(client, max_tokens=24)["choices"][0]["text"]
    stop = whole[len(whole) // 2 :][:2]
    found = complete(client, max_tokens=24, stop=[stop])["choices"][0]
    assert found["text"] == whole[: whole.index(stop)] and found["finish_reason"] == "stop"


def test_logprobs_of_a_completion(client):
    answer = complete(client, max_tokens=4, logprobs=2)["choices"][0]
    told = answer["logprobs"]
    assert "".join(told["tokens"]) == answer["text"]
    assert len(told["token_logprobs"]) == 4 and all(value <= 0 for value in told["token_logprobs"])
    assert [len(top) for top in told["top_logprobs"]] == [2] * 4
    assert told["text_offset"][0] == 0 and told["text_offset"][1] == len(told["tokens"][0])


def test_logprobs_of_a_chat(client):
    found = chat(client, max_tokens=4, logprobs=True, top_logprobs=2)["choices"][0]
    told = found["logprobs"]["content"]
    assert bytes(byte for entry in told for byte in entry["bytes"]).decode(errors="replace")
    best = told[0]["top_logprobs"]
    assert len(best) == 2 and best[0]["logprob"] >= best[1]["logprob"]
    assert told[0]["logprob"] == best[0]["logprob"]
    assert not told[0]["forced"] and told[0]["allowed"] > 256  # nothing is masked here
    assert chat(client, max_tokens=4)["choices"][0]["logprobs"] is None


def test_json_schema_is_honoured(client):
    format_ = {"type": "json_schema", "json_schema": {"name": "x", "schema": SCHEMA}}
    (choice,) = chat(client, response_format=format_)["choices"]
    jsonschema.validate(json.loads(choice["message"]["content"]), SCHEMA)
    assert choice["finish_reason"] == "stop"


@pytest.mark.parametrize(
    ("constraint", "pattern"),
    [
        ({"grammar": "start: /[0-9]{3}/"}, "[0-9]{3}"),
        ({"regex": "[ab]{4}"}, "[ab]{4}"),
        ({"choice": ["yes", "n\"o"]}, "yes|n\"o"),
        ({"json": {"type": "integer", "minimum": 7, "maximum": 8}}, "[78]"),
        ({"json": '{"const": "x"}'}, '"x"'),
        ({"json_object": True}, r"\{.*\}"),
    ],
)  # fmt: skip
def test_structured_outputs_are_honoured(client, constraint, pattern):
    (choice,) = complete(client, structured_outputs=constraint)["choices"]
    assert re.fullmatch(pattern, choice["text"], re.DOTALL)
    assert choice["finish_reason"] == "stop"


@pytest.mark.parametrize(
    ("extra", "message"),
    [
        ({"frequency_penalty": 0.5}, "frequency_penalty: "),
        ({"logit_bias": {"5": 1}}, "logit_bias: "),
        ({"guided_json": {}}, "guided_json: Extra inputs are not permitted"),
        ({"max_tokens": 97}, "max_tokens is 97; use 96 or fewer"),
        ({"prompt": ""}, "prompt"),
        ({"prompt": ["a", "b"]}, "several prompts; send a request for each"),
        ({"n": 0}, "n: "),
        ({"n": 65}, "n: "),
        ({"stop": ""}, "none of them empty"),
        ({"echo": True}, "echo: "),
        ({"response_format": {"type": "regex"}}, "response_format"),
        ({"structured_outputs": {}}, "exactly one of json, regex, choice, grammar"),
        ({"structured_outputs": {"regex": "a", "choice": ["a"]}}, "exactly one of"),
        ({"structured_outputs": {"grammar": "start: foo"}}, 'unknown name: "foo"'),
        ({"structured_outputs": {"regex": "("}}, "regular expression is refused"),
        ({"structured_outputs": {"json": {"type": "strng"}}}, "/type"),
        ({"structured_outputs": {"json": {"maxLenght": 1}}}, "maxLenght"),
        ({"structured_outputs": {"json": "{"}}, "json: .*is not JSON"),
        (
            {"structured_outputs": {"json": '{"type": "string", "type": "integer"}'}},
            "json: .*an object has a key twice; write it once",
        ),
        ({"structured_outputs": {"json": '{"enum": [NaN]}'}}, "json: .*NaN is no number"),
        ({"structured_outputs": {"json": '{"const": "\\ud800"}'}}, "half a surrogate pair"),
        ({"structured_outputs": {"regex": "a", "whitespace_pattern": " "}}, "whitespace_pattern"),
        ({"structured_outputs": {"json": {}}, "response_format": {"type": "text"}}, "not both"),
        ({"structured_outputs": {"regex": "a+"}, "stop": "a"}, "could cut a constrained answer"),
        ({"structured_outputs": {"regex": "a" * 5000}}, "constraint has 50.. characters"),
        ({"stream_options": {"include_usage": True}}, "needs stream: true"),
    ],
)
def test_what_is_not_honoured_is_refused(client, extra, message):
    answer = client.post("/v1/completions", json={"prompt": "hi"} | extra)
    assert answer.status_code == 400
    error = answer.json()["error"]
    assert error["type"] == "invalid_request_error" and re.search(message, error["message"])


def test_a_stream_says_what_the_answer_says(client):
    body = {"prompt": "hello", "max_tokens": 20, "n": 2, "temperature": 1.0, "seed": 3}
    whole = client.post("/v1/completions", json=body).json()
    found = events(client, "/v1/completions", body | {"stream_options": {"include_usage": True}})
    for choice in whole["choices"]:
        parts = [c for e in found for c in e["choices"] if c["index"] == choice["index"]]
        assert "".join(part["text"] for part in parts) == choice["text"]
        assert [p["finish_reason"] for p in parts if p["finish_reason"]] == ["length"]
    assert found[-1]["choices"] == [] and found[-1]["usage"] == whole["usage"]
    assert len({event["id"] for event in found}) == 1


def test_a_chat_streams_role_text_and_end(client):
    body = HI | {"max_tokens": 12, "logprobs": True}
    whole = chat(client, max_tokens=12, logprobs=True)["choices"][0]
    found = [event["choices"][0] for event in events(client, "/v1/chat/completions", body)]
    assert found[0]["delta"] == {"role": "assistant", "content": ""}
    text = "".join(choice["delta"].get("content", "") for choice in found)
    assert text == whole["message"]["content"]
    told = [entry for c in found if c["logprobs"] for entry in c["logprobs"]["content"]]
    assert told == whole["logprobs"]["content"]
    assert found[-1]["finish_reason"] == whole["finish_reason"]
