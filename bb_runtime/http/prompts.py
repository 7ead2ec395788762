"""The prompt of a conversation, with its tools.

Through the tokenizer's chat template where it has one; tools that the template leaves out are
told in a system message. Without a template the conversation is the request that a rail knows
(`bb_core.prompt`): one user message as it is, more of them one a line with their roles.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from jinja2.exceptions import TemplateError

from bb_core.prompt import format_prompt
from bb_runtime.engine import Engine
from bb_runtime.http.bodies import ChatBody
from bb_runtime.http.refusal import HttpError
from bb_runtime.http.tool_bodies import (
    AssistantMessage,
    Called,
    Message,
    NamedChoice,
    PlainMessage,
    Tool,
    ToolMessage,
    content_text,
)
from bb_runtime.http.tool_row import TAG

_TO_CALL = f"""To call tools, write {TAG} and a list, such as
{TAG}[{{"name":"NAME","arguments":{{}}}}]"""


def chat_prompt(engine: Engine, body: ChatBody) -> str:
    """The prompt that the model continues with its answer.

    Raises:
        HttpError: the template refuses the conversation.
    """
    tools = list(body.tools or ()) if body.may_call else []
    messages = [_as_data(message) for message in body.messages]
    if not engine.tokenizer.chat_template:
        return format_prompt(_plain(body.messages, tools, body))
    bare = _render(engine, messages, None)
    if not tools:
        return bare
    told = _render(engine, messages, [tool.model_dump(exclude_none=True) for tool in tools])
    if told != bare:
        return told
    system = {"role": "system", "content": _told(tools, body)}
    return _render(engine, [system, *messages], None)


def _render(engine: Engine, messages: Sequence[dict[str, Any]], tools: Any) -> str:
    try:
        return str(
            engine.tokenizer.apply_chat_template(
                list(messages), tools=tools, tokenize=False, add_generation_prompt=True
            )
        )
    except (TemplateError, TypeError, ValueError) as error:
        raise HttpError(
            400,
            f"the chat template of {engine.name} refuses this conversation: {error}",
            where="messages",
            fix="change roles or their order",
        ) from error


def _as_data(message: Message) -> dict[str, Any]:
    """A message as chat templates expect it: arguments of calls as objects."""
    match message:
        case PlainMessage():
            role = "system" if message.role == "developer" else message.role
            return {"role": role, "content": content_text(message.content)}
        case ToolMessage():
            content = content_text(message.content)
            return {"role": "tool", "tool_call_id": message.tool_call_id, "content": content}
        case AssistantMessage():
            data: dict[str, Any] = {"role": "assistant", "content": content_text(message.content)}
            if message.tool_calls:
                data["tool_calls"] = [_called(call) for call in message.tool_calls]
            return data


def _called(call: Called) -> dict[str, Any]:
    function = {"name": call.function.name, "arguments": json.loads(call.function.arguments)}
    return {"id": call.id, "type": "function", "function": function}


def _plain(messages: Sequence[Message], tools: Sequence[Tool], body: ChatBody) -> str:
    """A conversation without a template."""
    lines = [_told(tools, body)] if tools else []
    if len(messages) == 1 and messages[0].role == "user":
        return "\n".join([*lines, content_text(messages[0].content)])
    return "\n".join([*lines, *(_line(message) for message in messages)])


def _line(message: Message) -> str:
    said = content_text(message.content)
    if isinstance(message, AssistantMessage) and message.tool_calls:
        calls = [
            {"name": call.function.name, "arguments": json.loads(call.function.arguments)}
            for call in message.tool_calls
        ]
        said += TAG + json.dumps(calls, separators=(",", ":"), ensure_ascii=False)
    return f"{message.role}: {said}"


def _told(tools: Sequence[Tool], body: ChatBody) -> str:
    """The tools, one a line, and how to call them."""
    lines = [
        json.dumps(tool.function.model_dump(exclude_none=True), ensure_ascii=False)
        for tool in tools
    ]
    choice = body.tool_choice
    if isinstance(choice, NamedChoice):
        how = f"Write the arguments of {choice.function.name} as JSON."
    elif choice == "required":
        how = 'Write a list of calls: [{"name":"NAME","arguments":{}}]'
    else:
        how = _TO_CALL
    return "\n".join(["Tools:", *lines, how])
