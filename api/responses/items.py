"""Items of a conversation, as `/v1/responses` takes them; other kinds are refused by name."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from enginehouse.api.boundary import ReturnedModel
from pydantic import Discriminator, Field, Tag

Status = Literal["in_progress", "completed", "incomplete"]
_MOST_ID_CHARACTERS = 256
_Id = Annotated[str, Field(min_length=1, max_length=_MOST_ID_CHARACTERS)]


class InputText(ReturnedModel):
    """Text that is told to the model."""

    type: Literal["input_text"]
    text: str


class OutputText(ReturnedModel):
    """Text that the model has said; what else stands with it is not read."""

    type: Literal["output_text"]
    text: str
    annotations: list[dict[str, Any]] | None = None
    logprobs: list[dict[str, Any]] | None = None


class Refusal(ReturnedModel):
    """What the model has said instead of an answer."""

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


class MessageItem(ReturnedModel):
    """What somebody said; `phase` is accepted and has no effect."""

    type: Literal["message"] = "message"
    role: Literal["user", "assistant", "system", "developer"]
    content: Content
    id: _Id | None = None
    status: Status | None = None
    phase: Literal["commentary", "final_answer"] | None = None


class FunctionCallItem(ReturnedModel):
    """A call that the model made."""

    type: Literal["function_call"]
    call_id: _Id
    name: Annotated[str, Field(min_length=1)]
    arguments: str
    id: _Id | None = None
    status: Status | None = None


class FunctionOutputItem(ReturnedModel):
    """What came of it."""

    type: Literal["function_call_output"]
    call_id: _Id
    output: Content
    id: _Id | None = None
    status: Status | None = None


class ReasoningText(ReturnedModel):
    """A piece of reasoning."""

    type: Literal["reasoning_text", "summary_text"]
    text: str


class ReasoningItem(ReturnedModel):
    """What the model thought; accepted where it was said, and not shown to the model again."""

    type: Literal["reasoning"]
    id: _Id | None = None
    summary: Annotated[list[ReasoningText], Field(default_factory=list)]
    content: list[ReasoningText] | None = None
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
