"""Answers of `/v1/messages`, for the OpenAPI document only; answers are not validated with it."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, Field


class SaidBlock(BaseModel):
    """Text."""

    type: Literal["text"]
    text: str


class ThinkingBlock(BaseModel):
    """The model's reasoning; the signature is always empty."""

    type: Literal["thinking"]
    thinking: str
    signature: str


class UseBlock(BaseModel):
    """A tool call."""

    type: Literal["tool_use"]
    id: str
    name: str
    input: dict[str, Any]


class OutputTokens(BaseModel):
    """Details of the output tokens."""

    thinking_tokens: int


class MessageUsage(BaseModel):
    """Token usage of a message."""

    input_tokens: int
    cache_creation_input_tokens: int
    cache_read_input_tokens: int
    output_tokens: int
    output_tokens_details: OutputTokens
    service_tier: Literal["standard", "priority"]


class MessageBody(BaseModel):
    """A message."""

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
    """The token count of a request."""

    input_tokens: int


class InnerError(BaseModel):
    """Details of an error."""

    type: str
    message: str


class MessagesErrorBody(BaseModel):
    """An error."""

    type: Literal["error"]
    error: InnerError
    request_id: str | None
