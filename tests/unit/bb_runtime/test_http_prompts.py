"""How a conversation and its tools are shown to a model."""

from __future__ import annotations

from copy import deepcopy

import pytest
from fastapi.testclient import TestClient

from bb_core.prompt import format_prompt
from bb_runtime.engine import Engine
from bb_runtime.http.app import create_app
from bb_runtime.http.bodies import ChatBody
from bb_runtime.http.limits import ServerLimits
from bb_runtime.http.prompts import chat_prompt
from bb_runtime.http.refusal import HttpError

TOOL = {"type": "function", "function": {"name": "f", "description": "does it",
        "parameters": {"type": "object", "properties": {"a": {"type": "integer"}}}}}  # fmt: skip
CALL = {"id": "call_1", "type": "function", "function": {"name": "f", "arguments": '{"a":1}'}}
TALK = [
    {"role": "developer", "content": "be brief"},
    {"role": "user", "content": [{"type": "text", "text": "h"}, {"type": "text", "text": "i"}]},
    {"role": "assistant", "content": None, "tool_calls": [CALL]},
    {"role": "tool", "tool_call_id": "call_1", "content": "done"},
]
PLAIN = "{% for m in messages %}[{{ m.role }}]{{ m.content }}{% endfor %}[assistant]"
WITH_TOOLS = (
    "{% for t in tools or [] %}<{{ t.function.name }}>{% endfor %}"
    "{% for m in messages %}[{{ m.role }}]{{ m.content }}"
    "{% for c in m.tool_calls or [] %}({{ c.function.arguments.a + 1 }}){% endfor %}{% endfor %}"
)


@pytest.fixture
def engine(model, tokenizer):
    """Makes an engine with a chat template, or without one."""

    def make(template=None):
        own = deepcopy(tokenizer)
        own.chat_template = template
        return Engine(model, own, "tiny")

    return make


def prompt(engine, messages, **more):
    return chat_prompt(engine, ChatBody.model_validate({"messages": messages, **more}))


def test_without_a_template_one_user_message_is_the_request(engine):
    assert prompt(engine(), TALK[1:2]) == format_prompt("hi")


def test_without_a_template_more_are_told_one_a_line(engine):
    assert prompt(engine(), TALK) == format_prompt(
        "developer: be brief\nuser: hi\n"
        'assistant: <tool_call>[{"name":"f","arguments":{"a":1}}]\ntool: done'
    )


def test_without_a_template_tools_are_told_before(engine):
    told = prompt(engine(), TALK[1:2], tools=[TOOL])
    assert '"name": "f", "description": "does it"' in told and "<tool_call>[" in told
    assert told.endswith("\nhi\n### Plan\n")
    required = prompt(engine(), TALK[1:2], tools=[TOOL], tool_choice="required")
    assert "Write a list of calls" in required
    named = {"type": "function", "function": {"name": "f"}}
    assert "Write the arguments of f" in prompt(
        engine(), TALK[1:2], tools=[TOOL], tool_choice=named
    )
    none = prompt(engine(), TALK[1:2], tools=[TOOL], tool_choice="none")
    assert none == format_prompt("hi")


def test_a_template_is_used_with_arguments_as_objects(engine):
    found = prompt(engine(WITH_TOOLS), TALK, tools=[TOOL])
    assert found == "<f>[system]be brief[user]hi[assistant](2)[tool]done"


def test_tools_that_a_template_leaves_out_are_told_in_a_system_message(engine):
    found = prompt(engine(PLAIN), TALK[1:2], tools=[TOOL])
    assert found.startswith("[system]Tools:\n{") and found.endswith("[user]hi[assistant]")


def test_a_template_that_refuses_is_a_400(engine):
    refusing = "{{ raise_exception('no tool messages') }}"
    with pytest.raises(HttpError, match="refuses this conversation: no tool messages") as found:
        prompt(engine(refusing), TALK)
    assert found.value.status == 400


@pytest.mark.parametrize(
    ("message", "said"),
    [
        ({"role": "assistant"}, "needs content or tool_calls"),
        ({"role": "robot", "content": "x"}, "role"),
        ({"role": "user", "content": [{"type": "image_url", "image_url": {}}]}, "type"),
        ({"role": "tool", "content": "x"}, "tool_call_id"),
        (TALK[2] | {"tool_calls": [CALL | {"function": {"name": "f", "arguments": "{"}}]}, "JSON"),
        (
            TALK[2] | {"tool_calls": [CALL | {"function": {"name": "f", "arguments": "1"}}]},
            "object",
        ),
    ],
)
def test_messages_that_mean_nothing_are_refused(engine, message, said):
    with TestClient(create_app(engine(), ServerLimits(hosts=("testserver",)))) as client:
        answer = client.post("/v1/chat/completions", json={"messages": [message]})
    assert answer.status_code == 400 and said in answer.json()["error"]["message"]


def test_special_tokens_of_a_template_are_not_doubled(engine, tokenizer):
    own = engine("<eos>" + PLAIN)
    expected = tokenizer("<eos>[user]hi[assistant]", add_special_tokens=False)["input_ids"]
    with TestClient(create_app(own, ServerLimits(hosts=("testserver",)))) as client:
        body = {"messages": TALK[1:2], "max_tokens": 3}
        answer = client.post("/v1/chat/completions", json=body).json()
    assert answer["usage"]["prompt_tokens"] == len(expected)
