"""Content blocks of `/v1/messages`; block types that are not supported are rejected by name.

A client sends back the blocks that it received. Fields of a block that are not used here
(`cache_control`, `citations`, `signature`, `caller`, …) are therefore ignored.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

from enginehouse.api.boundary import ReturnedModel
from pydantic import BeforeValidator, Discriminator, Field, Tag
from pydantic_core import PydanticCustomError

_Id = Annotated[str, Field(min_length=1, max_length=256)]


def _kind(value: Any) -> str:
    """A block's type as a tag. The brackets keep it out of the field names in errors."""
    found = value.get("type") if isinstance(value, dict) else getattr(value, "type", None)
    return f"block[{found}]"


def _text_or_list(value: Any) -> str:
    return "list[block]" if isinstance(value, list) else "text[str]"


def _of_kinds(what: str, *kinds: str) -> BeforeValidator:
    """Reject other types by name, where pydantic would only list the expected ones."""

    def check(value: Any) -> Any:
        kind = value.get("type") if isinstance(value, dict) else None
        if isinstance(kind, str) and kind not in kinds:
            raise PydanticCustomError(
                "unsupported_block",
                "{what} of type '{kind}' are not supported here: the model reads text only; "
                "there are {kinds}",
                {"what": what, "kind": kind, "kinds": ", ".join(kinds)},
            )
        return value

    return BeforeValidator(check)


_BY_KIND = Discriminator(
    _kind, custom_error_type="block", custom_error_message="it has to be an object with a type"
)
_TEXT_OR_BLOCKS = Discriminator(_text_or_list)
_Str = Annotated[str, Tag("text[str]")]


class TextBlock(ReturnedModel):
    """Text."""

    type: Literal["text"]
    text: str

    @property
    def said(self) -> str:
        """The text for the model."""
        return self.text


_Text = Annotated[
    Annotated[Annotated[TextBlock, Tag("block[text]")], _BY_KIND], _of_kinds("blocks", "text")
]
Texts = Annotated[_Str | Annotated[list[_Text], Tag("list[block]")], _TEXT_OR_BLOCKS]


class TextSource(ReturnedModel):
    """The text of a document."""

    type: Literal["text"]
    data: str

    @property
    def said(self) -> str:
        """See `TextBlock`."""
        return self.data


class ContentSource(ReturnedModel):
    """A document made of blocks."""

    type: Literal["content"]
    content: Texts

    @property
    def said(self) -> str:
        """See `TextBlock`."""
        return said(self.content)


class DocumentBlock(ReturnedModel):
    """A document whose text is part of the request."""

    type: Literal["document"]
    source: Annotated[
        Annotated[
            Annotated[TextSource, Tag("block[text]")]
            | Annotated[ContentSource, Tag("block[content]")],
            _BY_KIND,
        ],
        _of_kinds("sources of documents", "text", "content"),
    ]
    title: str | None = None
    context: str | None = None

    @property
    def said(self) -> str:
        """See `TextBlock`."""
        return "\n".join(part for part in (self.title, self.context, self.source.said) if part)


class SearchResultBlock(ReturnedModel):
    """A search result that the caller provides."""

    type: Literal["search_result"]
    source: str
    title: str
    content: Texts

    @property
    def said(self) -> str:
        """See `TextBlock`."""
        return "\n".join((self.title, self.source, said(self.content)))


class ThoughtBlock(ReturnedModel):
    """The model's earlier reasoning; it is not shown to a model again."""

    type: Literal["thinking", "redacted_thinking"]


class ToolUseBlock(ReturnedModel):
    """A tool call made by the model."""

    type: Literal["tool_use"]
    id: _Id
    name: Annotated[str, Field(min_length=1)]
    input: dict[str, Any] = Field(default_factory=dict)


_READ = ("text", "document", "search_result")
_Read = (
    Annotated[TextBlock, Tag("block[text]")]
    | Annotated[DocumentBlock, Tag("block[document]")]
    | Annotated[SearchResultBlock, Tag("block[search_result]")]
)
_Result = Annotated[Annotated[_Read, _BY_KIND], _of_kinds("blocks of a tool's result", *_READ)]


class ToolResultBlock(ReturnedModel):
    """The result of a tool call."""

    type: Literal["tool_result"]
    tool_use_id: _Id
    content: (
        Annotated[_Str | Annotated[list[_Result], Tag("list[block]")], _TEXT_OR_BLOCKS] | None
    ) = None
    is_error: bool | None = None

    @property
    def said(self) -> str:
        """See `TextBlock`; the model is told of an error in words."""
        text = said(self.content or "")
        return f"Error: {text}" if self.is_error else text


Block = Annotated[
    Annotated[
        _Read
        | Annotated[ThoughtBlock, Tag("block[thinking]")]
        | Annotated[ThoughtBlock, Tag("block[redacted_thinking]")]
        | Annotated[ToolUseBlock, Tag("block[tool_use]")]
        | Annotated[ToolResultBlock, Tag("block[tool_result]")],
        _BY_KIND,
    ],
    _of_kinds("blocks", *_READ, "thinking", "redacted_thinking", "tool_use", "tool_result"),
]
Blocks = Annotated[_Str | Annotated[list[Block], Tag("list[block]")], _TEXT_OR_BLOCKS]


def said(content: Any) -> str:
    """The joined text of some blocks."""
    return content if isinstance(content, str) else "".join(block.said for block in content)
