"""Messages, tools and tool choices of a chat request."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from bb_runtime.http.plain_json import plain_json

_NAME = r"^[A-Za-z0-9_.-]{1,64}$"


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", populate_by_name=True)


class TextPart(_Strict):
    """One part of a message's content; only text is served."""

    type: Literal["text"]
    text: str


Content = str | list[TextPart]


def content_text(content: Content | None) -> str:
    """A content as one text."""
    if content is None:
        return ""
    return content if isinstance(content, str) else "".join(part.text for part in content)


class CalledFunction(_Strict):
    """Name and arguments of a call that was made; the arguments are a JSON object as text."""

    name: str
    arguments: str

    @field_validator("arguments")
    @classmethod
    def _object(cls, text: str) -> str:
        if not isinstance(plain_json(text or "{}"), dict):
            raise ValueError("arguments are no JSON object")
        return text or "{}"


class Called(_Strict):
    """A call that an assistant message made."""

    id: str
    type: Literal["function"] = "function"
    function: CalledFunction


class PlainMessage(_Strict):
    """What the system, the developer or the user says."""

    role: Literal["system", "developer", "user"]
    content: Content
    name: str | None = None


class AssistantMessage(_Strict):
    """What the model said, or called."""

    role: Literal["assistant"]
    content: Content | None = None
    tool_calls: list[Called] | None = None
    name: str | None = None
    refusal: None = None
    # What answers of the protocol carry, and clients send back unread.
    annotations: list[Any] | None = Field(default=None, max_length=0)
    audio: None = None
    function_call: None = None

    @model_validator(mode="after")
    def _says_something(self) -> AssistantMessage:
        if self.content is None and not self.tool_calls:
            raise ValueError("an assistant message needs content or tool_calls")
        return self


class ToolMessage(_Strict):
    """What a called tool answered."""

    role: Literal["tool"]
    tool_call_id: str
    content: Content


Message = Annotated[PlainMessage | AssistantMessage | ToolMessage, Field(discriminator="role")]


class Function(_Strict):
    """A function that may be called; its arguments always keep to `parameters`."""

    name: str = Field(pattern=_NAME)
    description: str | None = None
    parameters: dict[str, Any] | None = None
    strict: bool | None = None


class Tool(_Strict):
    """A tool; functions are the only kind."""

    type: Literal["function"]
    function: Function


class ChosenFunction(_Strict):
    """The name of a function."""

    name: str


class NamedChoice(_Strict):
    """The one function that must be called."""

    type: Literal["function"]
    function: ChosenFunction


ToolChoice = Literal["none", "auto", "required"] | NamedChoice


def check_tool_choice(tools: list[Tool], choice: ToolChoice | None, parallel: bool | None) -> None:
    """Check that tools and choice belong together.

    Raises:
        ValueError: they do not.
    """
    names = [tool.function.name for tool in tools]
    if len(set(names)) < len(names):
        raise ValueError("two tools have the same name")
    if not tools and choice not in (None, "none"):
        raise ValueError("tool_choice needs tools")
    if not tools and parallel is not None:
        raise ValueError("parallel_tool_calls needs tools")
    if isinstance(choice, NamedChoice) and choice.function.name not in names:
        raise ValueError(f"tool_choice names {choice.function.name!r}, which is none of the tools")
