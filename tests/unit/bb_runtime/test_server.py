"""The HTTP interface on a tiny untrained model."""

from __future__ import annotations

import json
import re
import threading

import jsonschema
import pytest
from fastapi.testclient import TestClient

from bb_runtime.bodies import PlanBody
from bb_runtime.engine import Engine
from bb_runtime.errors import PlanRefused
from bb_runtime.server import ServerLimits, create_app

LIMITS = ServerLimits(max_body_bytes=4096, max_new_tokens=64, hosts=("testserver",))
SCHEMA = {"type": "object", "properties": {"a": {"enum": [1, 2]}}, "required": ["a"],
          "additionalProperties": False}  # fmt: skip


@pytest.fixture
def engine(model, tokenizer):
    return Engine(model, tokenizer, "tiny")


@pytest.fixture
def client(engine):
    with TestClient(create_app(engine, LIMITS)) as client:
        yield client


def test_health_and_models(client):
    assert client.get("/health").json() == {"status": "ok", "model": "tiny", "plans": False}
    assert client.get("/v1/models").json()["data"] == [{"id": "tiny", "object": "model"}]


def test_completion_counts_its_tokens(client):
    answer = client.post("/v1/completions", json={"prompt": "hello", "max_tokens": 5}).json()
    assert answer["object"] == "text_completion" and answer["model"] == "tiny"
    assert answer["usage"]["completion_tokens"] == 5
    assert answer["usage"]["total_tokens"] == answer["usage"]["prompt_tokens"] + 5
    assert answer["choices"][0]["finish_reason"] == "length"


def test_a_seed_makes_sampling_repeatable(client):
    body = {"prompt": "hello", "max_tokens": 12, "temperature": 1.5}
    text = [
        client.post("/v1/completions", json=body | {"seed": seed}).json()["choices"][0]["text"]
        for seed in (1, 1, 2)
    ]
    assert text[0] == text[1] != text[2]


def test_json_schema_is_honoured(client):
    body = {
        "messages": [{"role": "user", "content": "hi"}],
        "response_format": {"type": "json_schema", "json_schema": {"name": "x", "schema": SCHEMA}},
    }
    answer = client.post("/v1/chat/completions", json=body).json()
    jsonschema.validate(json.loads(answer["choices"][0]["message"]["content"]), SCHEMA)
    assert answer["choices"][0]["finish_reason"] == "stop"


@pytest.mark.parametrize(
    ("constraint", "pattern"),
    [
        ({"grammar": "start: /[0-9]{3}/"}, "[0-9]{3}"),
        ({"json": {"type": "integer", "minimum": 7, "maximum": 8}}, "[78]"),
    ],
)
def test_structured_outputs_are_honoured(client, constraint, pattern):
    body = {"prompt": "hi", "structured_outputs": constraint}
    text = client.post("/v1/completions", json=body).json()["choices"][0]["text"]
    assert re.fullmatch(pattern, text)


def test_json_object_begins_as_one(client):
    body = {"prompt": "hi", "max_tokens": 8, "response_format": {"type": "json_object"}}
    assert client.post("/v1/completions", json=body).json()["choices"][0]["text"].startswith("{")


@pytest.mark.parametrize(
    ("extra", "status", "message"),
    [
        ({"stream": True}, 422, "body.stream: .*only what is documented"),
        ({"n": 2}, 422, "body.n: "),
        ({"stop": ["x"]}, 422, "body.stop: Extra inputs are not permitted"),
        ({"max_tokens": 65}, 400, "max_tokens is 65; use 64 or fewer"),
        ({"model": "other"}, 400, "no model 'other' here; use tiny"),
        ({"prompt": ""}, 422, "body.prompt"),
        ({"response_format": {"type": "regex"}}, 422, "body.response_format"),
        ({"structured_outputs": {}}, 422, "exactly one of json and grammar"),
        ({"structured_outputs": {"grammar": "start: foo"}}, 400, "unknown name: \"foo\""),
        ({"structured_outputs": {"json": {"type": "strng"}}}, 400, "not valid at /type"),
        ({"structured_outputs": {"json": {"maxLenght": 1}}}, 400, "unknown keyword 'maxLenght'"),
        (
            {"structured_outputs": {"json": {}}, "response_format": {"type": "text"}},
            422,
            "not both",
        ),
    ],
)  # fmt: skip
def test_what_is_not_honoured_is_refused(client, extra, status, message):
    answer = client.post("/v1/completions", json={"prompt": "hi"} | extra)
    assert answer.status_code == status
    assert re.search(message, answer.json()["error"]["message"])


def test_chat_without_a_template_takes_one_user_message(client):
    messages = [{"role": "system", "content": "be brief"}, {"role": "user", "content": "hi"}]
    answer = client.post("/v1/chat/completions", json={"messages": messages})
    assert answer.status_code == 400
    assert "no chat template; send exactly one message" in answer.json()["error"]["message"]


def test_large_bodies_are_refused(client):
    body = json.dumps({"prompt": "x" * 5000})
    assert client.post("/v1/completions", content=body).status_code == 413

    def chunks():
        yield body[:3000].encode()
        yield body[3000:].encode()

    answer = client.post("/v1/completions", content=chunks())
    assert answer.status_code == 413
    assert "larger than 4096 bytes" in answer.json()["error"]["message"]


def test_other_hosts_are_refused(client):
    assert client.get("/health", headers={"host": "evil.example"}).status_code == 400


def test_plans_only_where_a_domain_is_served(engine, client):
    assert client.post("/v1/plans", json={"request": "x"}).status_code == 404

    def answer(body: PlanBody, budget: int):
        if body.request == "bad":
            raise PlanRefused("b", "tool", "no tool 'x'", "use y")
        return {"budget": budget}

    with TestClient(create_app(engine, LIMITS, answer)) as client:
        assert client.post("/v1/plans", json={"request": "x"}).json() == {"budget": 64}
        refused = client.post("/v1/plans", json={"request": "bad"})
        assert refused.status_code == 422
        assert refused.json()["error"]["message"] == "plan: step b: tool: no tool 'x'; use y"


def test_too_many_requests_are_told_so(engine):
    inside, release = threading.Event(), threading.Event()

    def answer(_body: PlanBody, _budget: int):
        inside.set()
        release.wait(20)
        return {}

    limits = ServerLimits(max_waiting=0, hosts=("testserver",))
    with TestClient(create_app(engine, limits, answer)) as client:
        first = threading.Thread(target=lambda: client.post("/v1/plans", json={"request": "x"}))
        first.start()
        assert inside.wait(20)
        busy = client.post("/v1/completions", json={"prompt": "x", "max_tokens": 1})
        release.set()
        first.join()
        assert busy.status_code == 503
        assert client.post("/v1/completions", json={"prompt": "x", "max_tokens": 1}).is_success


def test_a_chat_template_is_used_and_its_special_tokens_are_not_doubled(model, tokenizer):
    from copy import deepcopy

    templated = deepcopy(tokenizer)
    templated.chat_template = (
        "<eos>{% for m in messages %}[{{ m.role }}]{{ m.content }}{% endfor %}[assistant]"
    )
    engine = Engine(model, templated, "tiny")
    messages = [{"role": "system", "content": "be brief"}, {"role": "user", "content": "hi"}]
    expected = tokenizer("<eos>[system]be brief[user]hi[assistant]", add_special_tokens=False)
    with TestClient(create_app(engine, LIMITS)) as client:
        body = {"messages": messages, "max_tokens": 3}
        answer = client.post("/v1/chat/completions", json=body).json()
    assert answer["usage"]["prompt_tokens"] == len(expected["input_ids"])
