"""Bodies of the HTTP interface: the parts of the OpenAI protocol that are honoured, and plans.

Whatever is not listed here is refused with 422, not ignored: a client that asks for streaming,
several choices or an unknown constraint must not believe that it got them.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", populate_by_name=True)


class JsonSchemaFormat(_Strict):
    """`json_schema` of a `response_format`; `schema` is the constraint."""

    name: str = "response"
    description: str = ""
    strict: bool = True
    schema_: dict[str, Any] = Field(alias="schema")


class TextFormat(_Strict):
    """No constraint."""

    type: Literal["text"]


class JsonObjectFormat(_Strict):
    """Any JSON object."""

    type: Literal["json_object"]


class SchemaFormat(_Strict):
    """JSON that validates against a schema."""

    type: Literal["json_schema"]
    json_schema: JsonSchemaFormat


ResponseFormat = Annotated[
    TextFormat | JsonObjectFormat | SchemaFormat, Field(discriminator="type")
]


class StructuredOutputs(_Strict):
    """A constraint as vLLM spells it: exactly one of a JSON Schema and a Lark grammar."""

    json_: dict[str, Any] | None = Field(default=None, alias="json")
    grammar: str | None = None

    @model_validator(mode="after")
    def _one(self) -> StructuredOutputs:
        if (self.json_ is None) == (self.grammar is None):
            raise ValueError("give exactly one of json and grammar")
        return self


class _Generation(_Strict):
    """What both completion bodies share."""

    model: str | None = None
    max_tokens: int | None = Field(default=None, ge=1)
    temperature: float = Field(default=0.0, ge=0.0, le=5.0)
    top_p: float = Field(default=1.0, gt=0.0, le=1.0)
    seed: int = Field(default=0, ge=0, lt=2**63)
    n: Literal[1] = 1
    stream: Literal[False] = False
    user: str = ""
    response_format: ResponseFormat | None = None
    structured_outputs: StructuredOutputs | None = None

    @model_validator(mode="after")
    def _one_constraint(self) -> _Generation:
        if self.structured_outputs and self.response_format:
            raise ValueError("give response_format or structured_outputs, not both")
        return self


class CompletionBody(_Generation):
    """`POST /v1/completions`."""

    prompt: str = Field(min_length=1)


class Message(_Strict):
    """One message of a conversation."""

    role: Literal["system", "user", "assistant"]
    content: str


class ChatBody(_Generation):
    """`POST /v1/chat/completions`."""

    messages: list[Message] = Field(min_length=1)


class PlanBody(_Strict):
    """`POST /v1/plans`: decode a plan under the masks, check it, and run it if asked."""

    request: str = Field(min_length=1)
    max_tokens: int | None = Field(default=None, ge=1)
    temperature: float = Field(default=0.0, ge=0.0, le=5.0)
    seed: int = Field(default=0, ge=0, lt=2**63)
    run: bool = False
    dry_run: bool = False
