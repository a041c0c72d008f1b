"""Items of a conversation, as `/v1/responses` takes them; other kinds are refused by name."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Discriminator, Field, Tag

Status = Literal["in_progress", "completed", "incomplete"]
_MOST_ID_CHARACTERS = 256
_Id = Annotated[str, Field(min_length=1, max_length=_MOST_ID_CHARACTERS)]


class InputText(BaseModel):
    """Text that is told to the model."""

    model_config = ConfigDict(extra="forbid")

    type: Literal["input_text"]
    text: str


class OutputText(BaseModel):
    """Text that the model has said; what else stands with it is not read."""

    model_config = ConfigDict(extra="forbid")

    type: Literal["output_text"]
    text: str
    annotations: list[dict[str, Any]] | None = None
    logprobs: list[dict[str, Any]] | None = None


class Refusal(BaseModel):
    """What the model has said instead of an answer."""

    model_config = ConfigDict(extra="forbid")

    type: Literal["refusal"]
    refusal: str


def _type_of(value: Any) -> str:
    """A part's type; tags have brackets, so that they are no part of an error's field name."""
    found = value.get("type") if isinstance(value, dict) else getattr(value, "type", None)
    return f"part[{found}]"


Part = Annotated[
    Annotated[InputText, Tag("part[input_text]")]
    | Annotated[OutputText, Tag("part[output_text]")]
    | Annotated[Refusal, Tag("part[refusal]")],
    Discriminator(
        _type_of,
        custom_error_type="part_type",
        custom_error_message="the type must be input_text, output_text or refusal: this model "
        "reads text alone",
    ),
]


def _text_or_list(value: Any) -> str:
    return "list[item]" if isinstance(value, list) else "text[str]"


Content = Annotated[
    Annotated[str, Tag("text[str]")] | Annotated[list[Part], Tag("list[item]")],
    Discriminator(_text_or_list),
]


class MessageItem(BaseModel):
    """What somebody said; `phase` is accepted and has no effect."""

    model_config = ConfigDict(extra="forbid")

    type: Literal["message"] = "message"
    role: Literal["user", "assistant", "system", "developer"]
    content: Content
    id: _Id | None = None
    status: Status | None = None
    phase: Literal["commentary", "final_answer"] | None = None


class FunctionCallItem(BaseModel):
    """A call that the model made."""

    model_config = ConfigDict(extra="forbid")

    type: Literal["function_call"]
    call_id: _Id
    name: Annotated[str, Field(min_length=1)]
    arguments: str
    id: _Id | None = None
    status: Status | None = None


class FunctionOutputItem(BaseModel):
    """What came of it."""

    model_config = ConfigDict(extra="forbid")

    type: Literal["function_call_output"]
    call_id: _Id
    output: Content
    id: _Id | None = None
    status: Status | None = None


class ReasoningText(BaseModel):
    """A piece of reasoning."""

    model_config = ConfigDict(extra="forbid")

    type: Literal["reasoning_text", "summary_text"]
    text: str


class ReasoningItem(BaseModel):
    """What the model thought; accepted where it was said, and not shown to the model again."""

    model_config = ConfigDict(extra="forbid")

    type: Literal["reasoning"]
    id: _Id | None = None
    summary: list[ReasoningText] = []
    content: list[ReasoningText] | None = None
    encrypted_content: None = None
    status: Status | None = None


def _kind_of(value: Any) -> str:
    if isinstance(value, dict):
        return f"item[{value.get('type', 'message')}]"
    return f"item[{getattr(value, 'type', None)}]"


Item = Annotated[
    Annotated[MessageItem, Tag("item[message]")]
    | Annotated[FunctionCallItem, Tag("item[function_call]")]
    | Annotated[FunctionOutputItem, Tag("item[function_call_output]")]
    | Annotated[ReasoningItem, Tag("item[reasoning]")],
    Discriminator(
        _kind_of,
        custom_error_type="item_type",
        custom_error_message="the type must be message, function_call, function_call_output or "
        "reasoning: there are no other items here",
    ),
]

Input = Annotated[
    Annotated[str, Tag("text[str]")]
    | Annotated[list[Item], Field(min_length=1), Tag("list[item]")],
    Discriminator(_text_or_list),
]
