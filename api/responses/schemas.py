"""`POST /v1/responses`, as far as it is served; the rest is refused by name."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from enginehouse.api.boundary import RequestModel, ReturnedModel
from enginehouse.api.refused import refused, refused_unless
from enginehouse.api.responses.items import Input
from enginehouse.api.schemas import Metadata, PromptReference
from enginehouse.api.wire_types import PositiveCount
from pydantic import (
    Discriminator,
    Field,
    Tag,
    model_validator,
)

_Name = Annotated[str, Field(min_length=1, max_length=64, pattern=r"^[A-Za-z0-9_-]+$")]
#: An id of ours; nothing else is looked up.
Id = Annotated[str, Field(pattern=r"^[A-Za-z0-9_-]{1,128}$")]


class FunctionTool(ReturnedModel):
    """A function of the caller's; there are no built-in tools."""

    type: Literal["function"]
    name: _Name
    description: str | None = None
    parameters: dict[str, Any] | None = None
    strict: bool | None = None


class NamedFunction(RequestModel):
    """One function, by its name."""

    type: Literal["function"]
    name: _Name


class AllowedTools(RequestModel):
    """Some of the tools."""

    type: Literal["allowed_tools"]
    mode: Literal["auto", "required"]
    tools: Annotated[list[NamedFunction], Field(min_length=1)]


def _choice_kind(value: Any) -> str:
    if isinstance(value, str):
        return "choice[str]"
    found = value.get("type") if isinstance(value, dict) else getattr(value, "type", None)
    return f"choice[{found}]"


ToolChoice = Annotated[
    Annotated[Literal["none", "auto", "required"], Tag("choice[str]")]
    | Annotated[NamedFunction, Tag("choice[function]")]
    | Annotated[AllowedTools, Tag("choice[allowed_tools]")],
    Discriminator(
        _choice_kind,
        custom_error_type="choice_type",
        custom_error_message="give none, auto, required, or an object of the type function or "
        "allowed_tools: there are no built-in tools",
    ),
]


class PlainFormat(RequestModel):
    """Any text."""

    type: Literal["text"]


class JsonFormat(RequestModel):
    """Any JSON object."""

    type: Literal["json_object"]


class SchemaFormat(RequestModel):
    """JSON of one schema, which is always enforced, whatever `strict` says."""

    type: Literal["json_schema"]
    name: _Name
    json_schema: Annotated[dict[str, Any], Field(alias="schema")]
    description: str | None = None
    strict: bool | None = None


class TextOptions(RequestModel):
    """`text`."""

    format: (
        Annotated[PlainFormat | JsonFormat | SchemaFormat, Field(discriminator="type")] | None
    ) = None
    verbosity: Annotated[
        Literal["medium"] | None,
        refused_unless("medium", "the model has no such setting: ask for it in the input"),
    ] = None


class Reasoning(RequestModel):
    """`reasoning`."""

    effort: Literal["none", "minimal", "low", "medium", "high", "xhigh", "max"] | None = None
    summary: Annotated[None, refused("reasoning is given as it is, not summed up")] = None


class StreamOptions(RequestModel):
    """`stream_options`; nothing is obfuscated, whatever is asked."""

    include_obfuscation: bool | None = None


class ResponseRequest(RequestModel):
    """The request."""

    model: str
    input: Input
    instructions: str | None = None
    previous_response_id: Id | None = None
    max_output_tokens: PositiveCount | None = None
    temperature: Annotated[float, Field(ge=0.0, le=2.0)] | None = None
    top_p: Annotated[float, Field(ge=0.0, le=1.0)] | None = None
    top_logprobs: Annotated[
        Literal[0] | None,
        refused_unless(
            0, "the engine gives the chosen token's log-probability only: leave it at 0"
        ),
    ] = None
    tools: list[FunctionTool] | None = None
    tool_choice: ToolChoice | None = None
    parallel_tool_calls: bool | None = None
    text: TextOptions | None = None
    reasoning: Reasoning | None = None
    include: list[Literal["message.output_text.logprobs"]] | None = None
    stream: bool | None = None
    stream_options: StreamOptions | None = None
    store: bool | None = None
    metadata: Metadata | None = None
    user: str | None = None
    safety_identifier: Annotated[str, Field(max_length=64)] | None = None
    prompt_cache_key: str | None = None
    prompt: PromptReference | None = None
    service_tier: Literal["auto", "default", "flex", "scale", "priority", "fast"] | None = None
    truncation: Annotated[
        Literal["disabled"] | None,
        refused_unless("disabled", "nothing is dropped from a conversation: shorten it yourself"),
    ] = None
    background: Annotated[
        Literal[False] | None,
        refused_unless(
            False, "a response is answered at once: send work that can wait to /v1/batches"
        ),
    ] = None
    context_management: Annotated[
        None, refused("nothing is dropped from a conversation: shorten it yourself")
    ] = None
    conversation: Annotated[
        None, refused("there are no conversations: continue with previous_response_id")
    ] = None
    max_tool_calls: Annotated[
        None, refused("it limits built-in tools, and there are none: leave it out")
    ] = None
    moderation: Annotated[
        None, refused("content rules are set by whoever runs this endpoint: leave it out")
    ] = None
    prompt_cache_options: Annotated[
        None, refused("the engine finds and keeps common prefixes by itself: leave it out")
    ] = None
    prompt_cache_retention: Annotated[
        Literal["in_memory"] | None,
        refused_unless("in_memory", "prefixes are kept in memory, as long as there is room"),
    ] = None

    @model_validator(mode="after")
    def _what_goes_together(self) -> ResponseRequest:
        if self.stream_options is not None and not self.stream:
            raise ValueError("stream_options needs stream: true")
        known = {tool.name for tool in self.tools or []}
        for name in self._chosen:
            if name not in known:
                raise ValueError(f"tool_choice names {name!r}, which is not among the tools")
        if self.tool_choice == "required" and not known:
            raise ValueError("tool_choice is 'required', and there are no tools")
        return self

    @property
    def _chosen(self) -> list[str]:
        match self.tool_choice:
            case NamedFunction(name=name):
                return [name]
            case AllowedTools(tools=tools):
                return [tool.name for tool in tools]
            case _:
                return []

    @property
    def kept(self) -> bool:
        """Whether the response is stored; it is unless the caller says no."""
        return self.store is not False
