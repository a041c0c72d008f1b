"""What `/v1/messages` gives, for the OpenAPI document; never checked when it is given."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, Field


class SaidBlock(BaseModel):
    """Text."""

    type: Literal["text"]
    text: str


class ThinkingBlock(BaseModel):
    """What the model thought; it is not signed."""

    type: Literal["thinking"]
    thinking: str
    signature: str


class UseBlock(BaseModel):
    """A call of a tool."""

    type: Literal["tool_use"]
    id: str
    name: str
    input: dict[str, Any]


class OutputTokens(BaseModel):
    """Of the output tokens."""

    thinking_tokens: int


class MessageUsage(BaseModel):
    """Tokens of a message."""

    input_tokens: int
    cache_creation_input_tokens: int
    cache_read_input_tokens: int
    output_tokens: int
    output_tokens_details: OutputTokens
    service_tier: Literal["standard", "priority"]


class MessageBody(BaseModel):
    """An answer."""

    id: str
    type: Literal["message"]
    role: Literal["assistant"]
    model: str
    content: list[Annotated[SaidBlock | ThinkingBlock | UseBlock, Field(discriminator="type")]]
    stop_reason: Literal[
        "end_turn",
        "max_tokens",
        "stop_sequence",
        "tool_use",
        "refusal",
        "model_context_window_exceeded",
    ]
    stop_sequence: str | None
    stop_details: dict[str, str | None] | None
    usage: MessageUsage


class CountedTokens(BaseModel):
    """Tokens of a request."""

    input_tokens: int


class InnerError(BaseModel):
    """What went wrong."""

    type: str
    message: str


class MessagesErrorBody(BaseModel):
    """An error."""

    type: Literal["error"]
    error: InnerError
    request_id: str | None
