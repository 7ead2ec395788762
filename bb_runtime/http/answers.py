"""Answers in the OpenAI protocol, whole and in chunks, from the parts that the engine hands out."""

from __future__ import annotations

import time
import uuid
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, Protocol

from bb_runtime.engine import Completion, Engine, Part, Reason
from bb_runtime.http.bodies import ChatBody
from bb_runtime.http.channels import ChannelUse
from bb_runtime.http.logprobs import LegacyLogprobs, chat_logprobs
from bb_runtime.http.tool_bodies import NamedChoice
from bb_runtime.http.tool_calls import call_form
from bb_runtime.http.tool_stream import CallBegun, CallGoesOn, CallReader, Event, Said


class Writer(Protocol):
    """Writes one answer, whole or in chunks, never both."""

    id: str

    def whole(self, made: Sequence[Completion]) -> dict[str, Any]:
        """The answer."""
        ...

    def begin(self) -> Iterator[dict[str, Any]]:
        """The chunks before the first part."""
        ...

    def chunks(self, part: Part) -> Iterator[dict[str, Any]]:
        """The chunks of a part."""
        ...

    def usage_chunk(self, usage: dict[str, int]) -> dict[str, Any]:
        """The last chunk, which tells the usage."""
        ...


class _Head:
    """What all chunks of an answer have in common."""

    def __init__(self, engine: Engine, prefix: str, kind: str, n: int) -> None:
        self.id = f"{prefix}-{uuid.uuid4().hex}"
        self.n = n
        self._kind, self._model, self._created = kind, engine.name, int(time.time())

    def data(self, choices: list[dict[str, Any]], suffix: str = "") -> dict[str, Any]:
        return {
            "id": self.id,
            "object": self._kind + suffix,
            "created": self._created,
            "model": self._model,
            "choices": choices,
        }


class CompletionWriter:
    """Answers of `/v1/completions`.

    Args:
        engine: decodes.
        n: choices.
        with_logprobs: whether they were asked for.
        channel: that the request named, or None.
    """

    def __init__(
        self, engine: Engine, n: int, *, with_logprobs: bool, channel: ChannelUse | None = None
    ) -> None:
        self._head = _Head(engine, "cmpl", "text_completion", n)
        self.id = self._head.id
        self._channel = channel
        self._told = [LegacyLogprobs(engine.tokenizer) for _ in range(n)] if with_logprobs else None

    def whole(self, made: Sequence[Completion]) -> dict[str, Any]:
        """The answer."""
        choices = [{"text": one.text, **self._end(choice, one)} for choice, one in enumerate(made)]
        return self._head.data(choices) | {"usage": usage_of(made)}

    def begin(self) -> Iterator[dict[str, Any]]:
        """Nothing comes before the text."""
        return iter(())

    def chunks(self, part: Part) -> Iterator[dict[str, Any]]:
        """One chunk, where there is something to tell."""
        if part.text or part.logprobs or part.reason is not None:
            yield self._head.data([{"text": part.text, **self._end(part.choice, part)}])

    def usage_chunk(self, usage: dict[str, int]) -> dict[str, Any]:
        """The last chunk, which tells the usage."""
        return self._head.data([]) | {"usage": usage}

    def _end(self, choice: int, one: Completion | Part) -> dict[str, Any]:
        told = self._told[choice].add(one.logprobs) if self._told is not None else None
        end = _reason(one.reason, called=False)
        return {"index": choice, "logprobs": told, **end, **_channel(self._channel, one)}


class ChatWriter:
    """Answers of `/v1/chat/completions`.

    Args:
        engine: decodes.
        body: what was asked.
        channel: that the request named, or None.
    """

    def __init__(self, engine: Engine, body: ChatBody, channel: ChannelUse | None = None) -> None:
        n = body.n or 1
        self._head = _Head(engine, "chatcmpl", "chat.completion", n)
        self.id = self._head.id
        self._tokenizer, self._channel = engine.tokenizer, channel
        self._with_logprobs = body.n_logprobs is not None
        self._readers: list[CallReader] | None = None
        if body.may_call:
            chosen = body.tool_choice
            name = chosen.function.name if isinstance(chosen, NamedChoice) else ""
            self._readers = [CallReader(call_form(chosen), name) for _ in range(n)]

    def whole(self, made: Sequence[Completion]) -> dict[str, Any]:
        """The answer."""
        choices = []
        for choice, one in enumerate(made):
            message = self._message(choice, self._events(choice, one.text, is_last=True))
            end = _reason(one.reason, called="tool_calls" in message)
            found = {"index": choice, "message": message, **end, **_channel(self._channel, one)}
            choices.append(found | {"logprobs": self._logprobs(one.logprobs)})
        return self._head.data(choices) | {"usage": usage_of(made)}

    def begin(self) -> Iterator[dict[str, Any]]:
        """The role of each choice."""
        for choice in range(self._head.n):
            yield self._chunk(choice, {"role": "assistant", "content": ""})

    def chunks(self, part: Part) -> Iterator[dict[str, Any]]:
        """The chunks of a part; log-probabilities are told with the first of them."""
        is_last = part.reason is not None
        deltas = [
            self._delta(part.choice, event)
            for event in self._events(part.choice, part.text, is_last=is_last)
        ]
        logprobs = self._logprobs(part.logprobs)
        if logprobs and not deltas:
            deltas = [{}]
        for position, delta in enumerate(deltas):
            yield self._chunk(part.choice, delta, logprobs=None if position else logprobs)
        if is_last:
            called = self._readers is not None and self._readers[part.choice].n_calls > 0
            end = _reason(part.reason, called=called) | _channel(self._channel, part)
            yield self._chunk(part.choice, {}, end)

    def usage_chunk(self, usage: dict[str, int]) -> dict[str, Any]:
        """The last chunk, which tells the usage."""
        return self._head.data([], ".chunk") | {"usage": usage}

    def _events(self, choice: int, text: str, *, is_last: bool) -> Iterable[Event]:
        if self._readers is not None:
            return self._readers[choice].add(text, is_last=is_last)
        return [Said(text)] if text else []

    def _message(self, choice: int, events: Iterable[Event]) -> dict[str, Any]:
        said, calls = "", list[dict[str, Any]]()
        for event in events:
            match event:
                case Said():
                    said += event.text
                case CallBegun():
                    calls.append(self._call(choice, event))
                case CallGoesOn():
                    calls[event.index]["function"]["arguments"] += event.arguments
        message: dict[str, Any] = {"role": "assistant", "content": said, "refusal": None}
        if calls:
            message |= {"content": said or None, "tool_calls": calls}
        return message

    def _call(self, choice: int, begun: CallBegun) -> dict[str, Any]:
        name = f"call_{self.id[-12:]}_{choice}_{begun.index}"
        return {
            "id": name,
            "type": "function",
            "function": {"name": begun.name, "arguments": ""},
        }

    def _delta(self, choice: int, event: Event) -> dict[str, Any]:
        match event:
            case Said():
                return {"content": event.text}
            case CallBegun():
                return {"tool_calls": [{"index": event.index, **self._call(choice, event)}]}
            case CallGoesOn():
                function = {"arguments": event.arguments}
                return {"tool_calls": [{"index": event.index, "function": function}]}

    def _chunk(
        self,
        choice: int,
        delta: dict[str, Any],
        end: dict[str, Any] | None = None,
        logprobs: dict[str, Any] | None = None,
    ) -> dict[str, Any]:
        found = {"index": choice, "delta": delta, "logprobs": logprobs}
        return self._head.data([found | (end or {"finish_reason": None})], ".chunk")

    def _logprobs(self, entries: Any) -> dict[str, Any] | None:
        if not self._with_logprobs or not entries:
            return None
        return chat_logprobs(self._tokenizer, entries)


def usage_of(made: Sequence[Completion]) -> dict[str, int]:
    """Tokens read and generated; the prompt of several choices counts once."""
    return usage(made[0].prompt_tokens, sum(one.completion_tokens for one in made))


def usage(prompt_tokens: int, completion_tokens: int) -> dict[str, int]:
    """Usage as the protocol counts it."""
    return {
        "prompt_tokens": prompt_tokens,
        "completion_tokens": completion_tokens,
        "total_tokens": prompt_tokens + completion_tokens,
    }


def _channel(channel: ChannelUse | None, one: Completion | Part) -> dict[str, Any]:
    """What became of the channel, once the choice has ended."""
    if channel is None or one.reason is None:
        return {}
    return channel.told(one.reason, one.energy)


def _reason(reason: Reason | None, *, called: bool) -> dict[str, Any]:
    """Why a choice ended; the protocol has no word for a deadline, so `stop_reason` says it."""
    if reason is None:
        return {"finish_reason": None}
    if reason == "stop":
        return {"finish_reason": "tool_calls" if called else "stop"}
    return {"finish_reason": "length", **({} if reason == "length" else {"stop_reason": reason})}
