"""Bodies of `/v1/completions` and `/v1/chat/completions`: what of the OpenAI protocol is honoured.

Whatever is not listed here is refused with 400, not ignored. Fields that cannot be honoured are
listed with the one value that asks for nothing, because clients send it.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, model_validator

from bb_runtime.http.plain_json import plain_json
from bb_runtime.http.tool_bodies import Message, Tool, ToolChoice, check_tool_choice

MAX_TEXT = 64 * 1024


class Strict(BaseModel):
    """A body in which unknown fields are refused."""

    model_config = ConfigDict(extra="forbid", populate_by_name=True)


class JsonSchemaFormat(Strict):
    """`json_schema` of a `response_format`; `schema` is the constraint."""

    name: str = "response"
    description: str | None = None
    strict: bool | None = True
    schema_: dict[str, Any] = Field(alias="schema")


class TextFormat(Strict):
    """No constraint."""

    type: Literal["text"]


class JsonObjectFormat(Strict):
    """Any JSON object."""

    type: Literal["json_object"]


class SchemaFormat(Strict):
    """JSON that validates against a schema."""

    type: Literal["json_schema"]
    json_schema: JsonSchemaFormat


ResponseFormat = Annotated[
    TextFormat | JsonObjectFormat | SchemaFormat, Field(discriminator="type")
]


def _parsed(value: Any) -> Any:
    """A schema that was sent as text, as vLLM allows."""
    return plain_json(value) if isinstance(value, str) else value


class StructuredOutputs(Strict):
    """A constraint as vLLM spells it: exactly one of JSON Schema, regex, choice, grammar, object.

    A grammar is Lark as llguidance reads it; its start rule is `start`.
    """

    json_: Annotated[dict[str, Any] | None, BeforeValidator(_parsed)] = Field(
        default=None, alias="json"
    )
    regex: str | None = Field(default=None, min_length=1, max_length=MAX_TEXT)
    choice: list[str] | None = Field(default=None, min_length=1, max_length=4096)
    grammar: str | None = Field(default=None, min_length=1, max_length=MAX_TEXT)
    json_object: Literal[True] | None = None

    @model_validator(mode="after")
    def _one(self) -> StructuredOutputs:
        given = [self.json_, self.regex, self.choice, self.grammar, self.json_object]
        if sum(value is not None for value in given) != 1:
            raise ValueError("give exactly one of json, regex, choice, grammar and json_object")
        return self


class StreamOptions(Strict):
    """What a stream tells besides its text."""

    include_usage: bool = False
    include_obfuscation: Literal[False] | None = None


class Asking(Strict):
    """What both completion bodies share.

    Attributes:
        max_tokens: budget; None for the server's.
        temperature: 0, the default, chooses the likeliest token.
        seed: None draws one where the temperature is above 0.
        deadline_s: seconds after which the answer ends where it is, with finish_reason "length"
            and stop_reason "deadline"; not part of the OpenAI protocol.
        channel: what kind of text this is, by the plan schema of a domain (`channels`); not part
            of the OpenAI protocol.
        domain: whose channel; None for the server's first.
    """

    model: str | None = None
    max_tokens: int | None = Field(default=None, ge=1)
    temperature: float | None = Field(default=0.0, ge=0.0, le=5.0)
    top_p: float | None = Field(default=1.0, gt=0.0, le=1.0)
    seed: int | None = Field(default=None, ge=-(2**63), lt=2**63)
    n: int | None = Field(default=1, ge=1, le=64)
    stop: str | list[str] | None = None
    stream: bool | None = False
    stream_options: StreamOptions | None = None
    response_format: ResponseFormat | None = None
    structured_outputs: StructuredOutputs | None = None
    deadline_s: float | None = Field(default=None, gt=0, le=86400)
    channel: str | None = Field(default=None, min_length=1, max_length=64)
    domain: str | None = Field(default=None, min_length=1, max_length=64)
    user: str | None = None
    # The one value that asks for nothing.
    frequency_penalty: Literal[0] | None = None
    presence_penalty: Literal[0] | None = None
    logit_bias: dict[str, float] | None = Field(default=None, max_length=0)

    @model_validator(mode="after")
    def _consistent(self) -> Asking:
        if self.structured_outputs and self.response_format:
            raise ValueError("give response_format or structured_outputs, not both")
        if self.domain is not None and self.channel is None:
            raise ValueError("domain needs a channel; plans of a domain are asked for at /v1/plans")
        if self.stream_options is not None and not self.stream:
            raise ValueError("stream_options needs stream: true")
        if len(self.stops) > 16 or not all(self.stops):
            raise ValueError("give at most 16 stop strings, none of them empty")
        if self.stops and self.is_constrained:
            raise ValueError("a stop string could cut a constrained answer; leave one of them out")
        return self

    @property
    def stops(self) -> tuple[str, ...]:
        """The stop strings."""
        if self.stop is None:
            return ()
        return (self.stop,) if isinstance(self.stop, str) else tuple(self.stop)

    @property
    def is_constrained(self) -> bool:
        """Whether the whole text must keep to something."""
        format_ = self.response_format
        free = format_ is None or isinstance(format_, TextFormat)
        return self.structured_outputs is not None or not free


class CompletionBody(Asking):
    """`POST /v1/completions`; one prompt, as text or as tokens."""

    prompt: str | list[int] | list[str] = Field(min_length=1)
    logprobs: int | None = Field(default=None, ge=0, le=20)
    echo: Literal[False] | None = None
    suffix: Literal[""] | None = None
    best_of: Literal[1] | None = None

    @model_validator(mode="after")
    def _one_prompt(self) -> CompletionBody:
        if isinstance(self.prompt, list) and isinstance(self.prompt[0], str):
            if len(self.prompt) > 1:
                raise ValueError("several prompts; send a request for each")
            if not self.prompt[0]:
                raise ValueError("the prompt is empty")
        return self

    @property
    def one_prompt(self) -> str | list[int]:
        """The prompt."""
        if isinstance(self.prompt, str):
            return self.prompt
        first = self.prompt[0]
        return first if isinstance(first, str) else [int(token) for token in self.prompt]

    @property
    def n_logprobs(self) -> int | None:
        """Likeliest tokens to tell beside each; None for no log-probabilities."""
        return self.logprobs


class ChatBody(Asking):
    """`POST /v1/chat/completions`."""

    messages: list[Message] = Field(min_length=1)
    max_completion_tokens: int | None = Field(default=None, ge=1)
    logprobs: bool | None = None
    top_logprobs: int | None = Field(default=None, ge=0, le=20)
    tools: list[Tool] | None = Field(default=None, max_length=128)
    tool_choice: ToolChoice | None = None
    parallel_tool_calls: bool | None = None
    # The one value that asks for nothing.
    store: Literal[False] | None = None
    metadata: dict[str, str] | None = None
    service_tier: Literal["auto", "default"] | None = None
    modalities: list[Literal["text"]] | None = None

    @model_validator(mode="after")
    def _consistent_chat(self) -> ChatBody:
        if None not in (self.max_tokens, self.max_completion_tokens):
            raise ValueError("give max_tokens or max_completion_tokens, not both")
        if self.top_logprobs is not None and not self.logprobs:
            raise ValueError("top_logprobs needs logprobs: true")
        check_tool_choice(self.tools or [], self.tool_choice, self.parallel_tool_calls)
        if self.may_call and (self.is_constrained or self.stops):
            raise ValueError(
                "tools cannot be combined with stop, response_format or structured_outputs; "
                'leave one of them out, or set tool_choice to "none"'
            )
        return self

    @property
    def may_call(self) -> bool:
        """Whether the answer may hold calls of tools."""
        return bool(self.tools) and self.tool_choice != "none"

    @property
    def n_logprobs(self) -> int | None:
        """Likeliest tokens to tell beside each; None for no log-probabilities."""
        return (self.top_logprobs or 0) if self.logprobs else None
