"""The `openai` client against a server of its own, over a real socket."""

from __future__ import annotations

import asyncio
import contextlib
import json
import socket
import threading
import time

import jsonschema
import openai
import pytest
import uvicorn

from bb_runtime.engine import Engine, EngineLimits
from bb_runtime.http.app import create_app
from bb_runtime.http.keys import Key, Keys, key_hash
from bb_runtime.http.limits import ServerLimits

KEY = "bb-test"
HI = [{"role": "user", "content": "hi"}]
ORDER = {
    "type": "object",
    "properties": {"number": {"type": "integer", "minimum": 1000, "maximum": 9999}},
    "required": ["number"],
    "additionalProperties": False,
}
TOOL = {"type": "function", "function": {"name": "get_order", "parameters": ORDER, "strict": True}}
WAIT_S = 30


@contextlib.contextmanager
def running(app):
    """Serve an app in a thread; gives its URL."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        server = uvicorn.Server(uvicorn.Config(app, log_config=None))
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listening]})
        thread.start()
        try:
            yield f"http://127.0.0.1:{listening.getsockname()[1]}/v1"
        finally:
            server.should_exit = True
            thread.join(WAIT_S)
    assert not thread.is_alive()


@pytest.fixture(scope="module")
def engine(model, tokenizer):
    return Engine(model, tokenizer, "tiny", EngineLimits(max_rows=2, max_waiting=2))


@pytest.fixture(scope="module")
def url(engine):
    keys = Keys({key_hash(KEY): Key(name="test", sha256=key_hash(KEY))})
    with running(
        create_app(engine, ServerLimits(max_new_tokens=3000, drain_s=5), keys=keys)
    ) as url:
        yield url


@pytest.fixture
def client(url):
    with openai.OpenAI(base_url=url, api_key=KEY, max_retries=0, timeout=WAIT_S) as client:
        yield client


def until(condition):
    until_s = time.monotonic() + WAIT_S
    while not condition():
        assert time.monotonic() < until_s
        threading.Event().wait(0.005)


def test_models(client):
    assert [model.id for model in client.models.list()] == ["tiny"]
    assert client.models.retrieve("tiny").owned_by == "builderbrain"


def test_chat(client):
    made = client.chat.completions.create(model="tiny", messages=HI, max_completion_tokens=6)
    assert made.choices[0].message.role == "assistant" and made.choices[0].message.content
    assert made.choices[0].finish_reason == "length" and made.usage.completion_tokens == 6


def test_a_stream_is_the_answer(client):
    asked = {"model": "tiny", "messages": HI, "max_tokens": 20, "seed": 7, "temperature": 0.9}
    whole = client.chat.completions.create(**asked)
    stream = client.chat.completions.create(
        **asked, stream=True, stream_options={"include_usage": True}
    )
    chunks = list(stream)
    text = "".join(c.choices[0].delta.content or "" for c in chunks if c.choices)
    assert text == whole.choices[0].message.content
    assert chunks[-1].usage == whole.usage


def test_completions(client):
    made = client.completions.create(model="tiny", prompt="hi", max_tokens=5, logprobs=1, n=2)
    assert len(made.choices) == 2 and len(made.choices[0].logprobs.tokens) == 5


@pytest.mark.parametrize(
    "choice", ["required", {"type": "function", "function": {"name": "get_order"}}]
)
def test_tools(client, choice):
    asked = {"model": "tiny", "messages": HI, "tools": [TOOL], "tool_choice": choice,
             "max_tokens": 256}  # fmt: skip
    (found,) = client.chat.completions.create(**asked).choices
    assert found.finish_reason == "tool_calls"
    for call in found.message.tool_calls:
        jsonschema.validate(json.loads(call.function.arguments), ORDER)
    messages = [
        *HI,
        found.message.model_dump(exclude_none=True),
        *({"role": "tool", "tool_call_id": call.id, "content": "ok"}
          for call in found.message.tool_calls),
    ]  # fmt: skip
    again = client.chat.completions.create(**asked | {"messages": messages, "tool_choice": "auto",
                                                      "max_tokens": 64})  # fmt: skip
    assert again.choices[0].message.content is not None


def test_the_clients_own_stream_helper_puts_calls_together(client):
    with client.chat.completions.stream(
        model="tiny", messages=HI, tools=[TOOL], tool_choice="required", max_tokens=256
    ) as stream:
        done = [event for event in stream if event.type == "tool_calls.function.arguments.done"]
        final = stream.get_final_completion()
    assert [event.name for event in done] == ["get_order"] * len(done) and done
    for call in final.choices[0].message.tool_calls:
        jsonschema.validate(json.loads(call.function.arguments), ORDER)


def test_json_schema_strict(client):
    format_ = {
        "type": "json_schema",
        "json_schema": {"name": "order", "strict": True, "schema": ORDER},
    }
    made = client.chat.completions.create(
        model="tiny", messages=HI, response_format=format_, max_tokens=64
    )
    jsonschema.validate(json.loads(made.choices[0].message.content), ORDER)


def test_structured_outputs(client):
    made = client.chat.completions.create(
        model="tiny", messages=HI, extra_body={"structured_outputs": {"choice": ["left", "right"]}}
    )
    assert made.choices[0].message.content in ("left", "right")


def test_errors_are_the_clients_own(client, url):
    def ask(**more):
        return client.chat.completions.create(**{"model": "tiny", "messages": HI} | more)

    with pytest.raises(openai.NotFoundError, match="no model 'big' here") as found:
        ask(model="big")
    assert found.value.code == "model_not_found" and found.value.param == "model"
    with pytest.raises(openai.BadRequestError, match="logit_bias"):
        ask(logit_bias={"1": 5})
    with pytest.raises(openai.BadRequestError, match="max_tokens is 5000; use 3000 or fewer"):
        ask(max_tokens=5000)
    stranger = openai.OpenAI(base_url=url, api_key="bb-no", max_retries=0)
    with stranger, pytest.raises(openai.AuthenticationError, match="no valid API key"):
        stranger.models.list()
    raw = client.with_raw_response.models.list()
    assert raw.headers["x-request-id"]


def test_a_stream_that_is_closed_is_cancelled(client, engine):
    before = engine.stats().ended.get("cancelled", 0)
    stream = client.chat.completions.create(
        model="tiny", messages=HI, max_tokens=3000, stream=True, temperature=2.0
    )
    for chunk in stream:
        if chunk.choices and chunk.choices[0].delta.content:
            break
    stream.close()
    until(lambda: engine.stats().ended.get("cancelled", 0) == before + 1)
    until(lambda: engine.stats().running == 0)


def test_a_client_that_goes_away_is_not_worked_for(url, engine):
    before = engine.stats().ended.get("cancelled", 0)

    async def leave():
        async with openai.AsyncOpenAI(base_url=url, api_key=KEY, max_retries=0) as client:
            asking = asyncio.ensure_future(
                client.chat.completions.create(
                    model="tiny", messages=HI, max_tokens=3000, temperature=2.0
                )
            )
            while not engine.stats().running:
                await asyncio.sleep(0)
            asking.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await asking

    asyncio.run(leave())
    until(lambda: engine.stats().ended.get("cancelled", 0) == before + 1)


def test_a_deadline_ends_an_answer_where_it_is(client):
    made = client.chat.completions.create(
        model="tiny", messages=HI, max_tokens=3000, temperature=2.0, extra_body={"deadline_s": 0.05}
    )
    assert made.choices[0].finish_reason == "length"
    assert made.choices[0].model_extra["stop_reason"] == "deadline"
    assert made.usage.completion_tokens < 3000


def test_too_many_requests_are_told_when_to_come_back(url):
    async def crowd():
        async with openai.AsyncOpenAI(base_url=url, api_key=KEY, max_retries=0) as client:
            asked = [
                client.completions.create(model="tiny", prompt="x", max_tokens=200, n=2)
                for _ in range(24)
            ]
            return await asyncio.gather(*asked, return_exceptions=True)

    found = asyncio.run(crowd())
    refused = [error for error in found if isinstance(error, openai.RateLimitError)]
    assert refused and all(int(error.response.headers["retry-after"]) >= 1 for error in refused)
    done = [made for made in found if not isinstance(made, BaseException)]
    assert len(done) + len(refused) == 24 and done
