"""Items of a conversation in `/v1/responses`.

Item types that are not supported are rejected by name.

A client sends back the items that it received, from this server or from another one. Fields of an
item or part that are not used here are therefore ignored.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

from enginehouse.api.boundary import ReturnedModel
from pydantic import BeforeValidator, Discriminator, Field, Tag

_MOST_ID_CHARACTERS = 256
#: Databases cannot store NUL in text.
_CallId = Annotated[str, Field(min_length=1, max_length=_MOST_ID_CHARACTERS, pattern=r"^[^\x00]*$")]


def _none_if_empty(value: Any) -> Any:
    return None if value == "" else value


_Id = Annotated[_CallId | None, BeforeValidator(_none_if_empty)]
_STATUSES = frozenset({"in_progress", "completed", "incomplete"})


class InputText(ReturnedModel):
    """Text for the model."""

    type: Literal["input_text"]
    text: str


class OutputText(ReturnedModel):
    """Text that a model generated."""

    type: Literal["output_text"]
    text: str
    logprobs: list[dict[str, Any]] | None = None


class RefusalText(ReturnedModel):
    """A refusal that a model generated."""

    type: Literal["refusal"]
    refusal: str


def _type_of(value: Any) -> str:
    """A part's type as a tag. The brackets keep it out of the field names in errors."""
    found = value.get("type") if isinstance(value, dict) else getattr(value, "type", None)
    return f"part[{found}]"


Part = Annotated[
    Annotated[InputText, Tag("part[input_text]")]
    | Annotated[OutputText, Tag("part[output_text]")]
    | Annotated[RefusalText, Tag("part[refusal]")],
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


class _Item(ReturnedModel):
    id: _Id = None
    status: Any = None

    @property
    def state(self) -> str:
        """`status` as stored items have it."""
        return self.status if self.status in _STATUSES else "completed"


class MessageItem(_Item):
    """A message; `phase` is returned and has no effect."""

    type: Literal["message"] | None = "message"
    role: Literal["user", "assistant", "system", "developer"]
    content: Content
    phase: str | None = None


class FunctionCallItem(_Item):
    """A function call made by the model."""

    type: Literal["function_call"]
    call_id: _CallId
    name: Annotated[str, Field(min_length=1)]
    arguments: str


class FunctionOutputItem(_Item):
    """The result of a function call."""

    type: Literal["function_call_output"]
    call_id: _CallId
    output: Content


class ReasoningText(ReturnedModel):
    """A part of reasoning."""

    type: Literal["reasoning_text", "summary_text"]
    text: str


class ReasoningItem(_Item):
    """The model's earlier reasoning; it is accepted and not shown to the model again."""

    type: Literal["reasoning"]
    summary: list[ReasoningText] | None = None
    content: list[ReasoningText] | None = None


class ItemReference(ReturnedModel):
    """A reference to a stored item by its id."""

    type: Literal["item_reference"] | None = "item_reference"
    id: _CallId


def _kind_of(value: Any) -> str:
    if not isinstance(value, dict):
        return f"item[{getattr(value, 'type', None)}]"
    kind = value.get("type")
    if kind is None:
        # The type is optional for these two.
        alone = "id" in value and "role" not in value and "content" not in value
        kind = "item_reference" if alone else "message"
    return f"item[{kind}]"


Item = Annotated[
    Annotated[MessageItem, Tag("item[message]")]
    | Annotated[FunctionCallItem, Tag("item[function_call]")]
    | Annotated[FunctionOutputItem, Tag("item[function_call_output]")]
    | Annotated[ReasoningItem, Tag("item[reasoning]")]
    | Annotated[ItemReference, Tag("item[item_reference]")],
    Discriminator(
        _kind_of,
        custom_error_type="item_type",
        custom_error_message="the type must be message, function_call, function_call_output, "
        "reasoning or item_reference: there are no other items here",
    ),
]

Input = Annotated[
    Annotated[str, Tag("text[str]")]
    | Annotated[list[Item], Field(min_length=1), Tag("list[item]")],
    Discriminator(_text_or_list),
]
