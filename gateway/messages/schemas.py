"""Request of `POST /v1/messages`; fields that are not supported are rejected by name."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from enginehouse.api.boundary import Hint, RequestModel, ReturnedModel
from enginehouse.api.refused import refused, refused_unless
from enginehouse.gateway.messages.blocks import Blocks, Texts
from pydantic import BeforeValidator, Field
from pydantic_core import PydanticCustomError

from enginehouse.requests.wire_types import Count, PositiveCount

_Name = Annotated[str, Field(min_length=1, max_length=64, pattern=r"^[A-Za-z0-9_-]+$")]
_NO_TOOLS_HERE = "nothing runs here but the model: describe it as a tool of your own"


class MessageParam(ReturnedModel):
    """One message; a system message is accepted at any position."""

    role: Literal["user", "assistant", "system"]
    content: Blocks


def _callers_own(value: Any) -> Any:
    """Reject tools that Anthropic defines by name; pydantic would only list the expected types."""
    kind = value.get("type") if isinstance(value, dict) else None
    if isinstance(kind, str) and kind != "custom":
        raise PydanticCustomError(
            "unsupported_tool",
            "tools of type '{kind}' are not supported: " + _NO_TOOLS_HERE,
            {"kind": kind},
        )
    return value


class ToolDefinition(ReturnedModel):
    """A tool that the caller runs; hints are ignored."""

    type: Literal["custom"] | None = None
    name: _Name
    description: str | None = None
    input_schema: dict[str, Any]
    strict: bool | None = None


class ToolChoiceParam(ReturnedModel):
    """`tool_choice`.

    Attributes:
        name: the tool that must be called, if the type is ``tool``.
    """

    type: Literal["auto", "any", "tool", "none"]
    name: str | None = None
    disable_parallel_tool_use: bool | None = None


class Thinking(ReturnedModel):
    """`thinking`: turns reasoning on or off if the chat template supports it.

    The budget is a hint.
    """

    type: Literal["enabled", "disabled", "adaptive", "between_tools"]
    budget_tokens: Count | None = None
    display: Literal["summarized", "omitted"] | None = None


class OutputFormat(RequestModel):
    """A JSON Schema for the answer; it is always enforced."""

    type: Literal["json_schema"]
    json_schema: Annotated[dict[str, Any], Field(alias="schema")]


class OutputConfig(RequestModel):
    """`output_config`."""

    effort: Literal["low", "medium", "high", "xhigh", "max"] | None = None
    format: OutputFormat | None = None
    task_budget: Hint = None


class Metadata(ReturnedModel):
    """`metadata`."""

    user_id: Annotated[str, Field(max_length=512)] | None = None


def _only_clears(value: Any) -> Any:
    kind = value.get("type") if isinstance(value, dict) else None
    if isinstance(kind, str) and not kind.startswith("clear_"):
        raise PydanticCustomError(
            "unsupported_edit", "edits of type '{kind}' are not supported here", {"kind": kind}
        )
    return value


class ContextManagement(ReturnedModel):
    """`context_management`: rules for clearing are accepted as hints.

    Summarizing is not supported.
    """

    edits: list[Annotated[dict[str, Any], BeforeValidator(_only_clears)]] | None = None


class MessagesPrompt(RequestModel):
    """The fields that determine the prompt; token counting uses only these.

    Attributes:
        output_format: older name of `output_config.format`.
        speed: ``fast`` selects the service tier of that name, if the caller may use it.
    """

    model: str
    messages: Annotated[list[MessageParam], Field(min_length=1)]
    system: Texts | None = None
    tools: list[Annotated[ToolDefinition, BeforeValidator(_callers_own)]] | None = None
    tool_choice: ToolChoiceParam | None = None
    thinking: Thinking | None = None
    output_config: OutputConfig | None = None
    output_format: OutputFormat | None = None
    context_management: ContextManagement | None = None
    speed: Literal["standard", "fast"] | None = None
    cache_control: Hint = None
    billing_policy: Hint = None
    mcp_servers: Annotated[
        Annotated[list[Any], Field(max_length=0)] | None, refused_unless([], _NO_TOOLS_HERE)
    ] = None
    compaction: Annotated[None, refused("conversations are not summed up here")] = None
    user_profile_id: Annotated[None, refused("there are no profiles: use metadata.user_id")] = None
    workspace_id: Annotated[None, refused("there are no workspaces: a key has a tenant")] = None


class MessagesRequest(MessagesPrompt):
    """The request.

    Attributes:
        max_tokens: may exceed the rest of the context; the answer then ends with the context.
    """

    max_tokens: PositiveCount
    temperature: Annotated[float, Field(ge=0.0, le=1.0)] | None = None
    top_p: Annotated[float, Field(ge=0.0, le=1.0)] | None = None
    top_k: Count | None = None
    stop_sequences: list[Annotated[str, Field(min_length=1)]] | None = None
    stream: bool | None = None
    metadata: Metadata | None = None
    service_tier: Literal["auto", "standard_only"] | None = None
    diagnostics: Hint = None
    container: Annotated[None, refused(_NO_TOOLS_HERE)] = None
    inference_geo: Annotated[
        None, refused("where this endpoint runs is for its operator to say")
    ] = None
    thread: Annotated[None, refused("no conversation is kept here: send it whole")] = None
    fallbacks: Annotated[
        Annotated[list[Any], Field(max_length=0)] | None,
        refused_unless([], "fallbacks are configured by the operator of this endpoint"),
    ] = None
    fallback_credit_token: Hint = None
