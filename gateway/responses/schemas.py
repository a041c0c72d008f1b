"""Request of `POST /v1/responses`; fields that are not supported are rejected by name."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from enginehouse.api.boundary import Hint, NullsLeftOut, RequestModel, ReturnedModel
from enginehouse.api.guides import Guided
from enginehouse.api.hints import Hints
from enginehouse.api.json_depth import Schema
from enginehouse.api.refused import refused, refused_unless
from enginehouse.api.schemas import Bias, Metadata, PromptReference
from enginehouse.gateway.paths import Id
from enginehouse.gateway.responses.items import Input
from pydantic import Discriminator, Field, Tag, ValidationInfo, field_validator
from pydantic_core import PydanticCustomError

from enginehouse.requests.wire_types import (
    INT32_MAX,
    Count,
    MinP,
    Penalty,
    PositiveCount,
    RepetitionPenalty,
    Seed,
    Temperature,
    TokenId,
    TokenKey,
    TopP,
)

_Name = Annotated[str, Field(min_length=1, max_length=64, pattern=r"^[A-Za-z0-9_-]+$")]


class FunctionTool(ReturnedModel):
    """A function that the caller runs. There are no built-in tools; hints are ignored."""

    type: Literal["function"]
    name: _Name
    description: str | None = None
    parameters: dict[str, Any] | None = None
    strict: bool | None = None


class ToolChoiceFunction(RequestModel):
    """One function, by its name."""

    type: Literal["function"]
    name: _Name


class ToolChoiceAllowed(RequestModel):
    """Some of the tools."""

    type: Literal["allowed_tools"]
    mode: Literal["auto", "required"]
    tools: Annotated[list[ToolChoiceFunction], Field(min_length=1)]


def _choice_kind(value: Any) -> str:
    if isinstance(value, str):
        return "choice[str]"
    found = value.get("type") if isinstance(value, dict) else getattr(value, "type", None)
    return f"choice[{found}]"


ToolChoice = Annotated[
    Annotated[Literal["none", "auto", "required"], Tag("choice[str]")]
    | Annotated[ToolChoiceFunction, Tag("choice[function]")]
    | Annotated[ToolChoiceAllowed, Tag("choice[allowed_tools]")],
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
    """JSON that matches a schema; it is always enforced, whatever `strict` says."""

    type: Literal["json_schema"]
    name: _Name
    json_schema: Annotated[dict[str, Any], Field(alias="schema")]
    description: str | None = None
    strict: bool | None = None


class TextOptions(RequestModel):
    """`text`; `verbosity` is accepted and has no effect."""

    format: (
        Annotated[PlainFormat | JsonFormat | SchemaFormat, Field(discriminator="type")] | None
    ) = None
    verbosity: Literal["low", "medium", "high"] | None = None


class Reasoning(RequestModel):
    """`reasoning`.

    Attributes:
        summary, generate_summary: accepted; reasoning is returned in full instead of a summary.
        context: accepted; a model is never shown its reasoning of earlier turns.
    """

    effort: Literal["none", "minimal", "low", "medium", "high", "xhigh", "max"] | None = None
    summary: Literal["auto", "concise", "detailed"] | None = None
    generate_summary: Literal["auto", "concise", "detailed"] | None = None
    context: Literal["auto", "current_turn"] | None = None
    mode: Annotated[
        Literal["standard"] | None,
        refused_unless("standard", "a model has one way of reasoning: leave it at standard"),
    ] = None


class ResponseStreamOptions(RequestModel):
    """`stream_options`; nothing is obfuscated, whatever is asked."""

    include_obfuscation: bool | None = None


class BackgroundOptions(RequestModel):
    """`background_options`; a name for related requests is accepted and ignored."""

    completion_window: Annotated[
        Literal["soonest"] | None,
        refused_unless("soonest", "work that can wait is cheaper with /v1/batches"),
    ] = None
    continuation_id: str | None = None


class PromptCacheOptions(ReturnedModel):
    """`prompt_cache_options`: the prefix cache works without them, for prefixes of any length."""

    prewarm: Annotated[
        Literal[False] | None,
        refused_unless(False, "every request is answered: send one with max_output_tokens 1"),
    ] = None


#: Values of `include`. Most belong to tools that are not available here and add nothing.
Includable = Literal[
    "message.output_text.logprobs",
    "reasoning.encrypted_content",
    "file_search_call.results",
    "web_search_call.results",
    "web_search_call.action.sources",
    "message.input_image.image_url",
    "computer_call_output.output.image_url",
    "code_interpreter_call.outputs",
]
ServiceTier = Literal["auto", "default", "flex", "scale", "priority", "fast", "ultrafast"]
LOGPROBS: Includable = "message.output_text.logprobs"


class _Sampled(Guided, Hints):
    """Sampling fields with the same meaning as in the chat API.

    Most are not part of OpenAI's API; they have the names that other servers of this API use.
    """

    presence_penalty: Penalty | None = None
    frequency_penalty: Penalty | None = None
    seed: Seed | None = None
    stop: str | list[str] | None = None
    logit_bias: Annotated[dict[TokenKey, Bias], NullsLeftOut] | None = None
    top_k: Annotated[int, Field(ge=-1, le=INT32_MAX)] | None = None
    min_p: MinP | None = None
    repetition_penalty: RepetitionPenalty | None = None
    min_tokens: Count | None = None
    ignore_eos: bool | None = None
    stop_token_ids: list[TokenId] | None = None
    include_stop_str_in_output: bool | None = None


class ResponsePrompt(RequestModel):
    """Fields that say what the model is told; tokens are counted from them alone."""

    model: str
    input: Input
    instructions: str | None = None
    previous_response_id: Id | None = None
    tools: list[FunctionTool] | None = None
    tool_choice: ToolChoice | None = None
    parallel_tool_calls: bool | None = None
    text: TextOptions | None = None
    reasoning: Reasoning | None = None
    truncation: Literal["auto", "disabled"] | None = None
    chat_template_kwargs: Annotated[Schema, NullsLeftOut] | None = None
    continue_final_message: bool | None = None
    conversation: Annotated[
        None, refused("there are no conversations: continue with previous_response_id")
    ] = None

    @field_validator("tool_choice")
    @classmethod
    def _chooses_among_tools(cls, choice: Any, info: ValidationInfo) -> Any:
        known = [tool.name for tool in info.data.get("tools") or []]
        for name in _named(choice):
            if name not in known:
                raise PydanticCustomError(
                    "unknown_tool",
                    "it names '{name}', which is not in tools; there are: {known}",
                    {"name": name, "known": ", ".join(known) or "none"},
                )
        if choice == "required" and not known:
            raise PydanticCustomError(
                "no_tools", "it is 'required', and there are no tools: give tools"
            )
        return choice


def _named(choice: Any) -> list[str]:
    match choice:
        case ToolChoiceFunction(name=name):
            return [name]
        case ToolChoiceAllowed(tools=tools):
            return [tool.name for tool in tools]
        case _:
            return []


class TokenCountRequest(ResponsePrompt):
    """`POST /v1/responses/input_tokens`."""

    personality: Annotated[
        None, refused("a model has no personalities to choose from: use instructions")
    ] = None


class ResponseRequest(ResponsePrompt, _Sampled):
    """The request."""

    max_output_tokens: PositiveCount | None = None
    temperature: Temperature | None = None
    top_p: TopP | None = None
    top_logprobs: Annotated[
        Literal[0] | None,
        refused_unless(
            0, "the engine gives the chosen token's log-probability only: leave it at 0"
        ),
    ] = None
    include: list[Includable] | None = None
    stream: bool | None = None
    stream_options: ResponseStreamOptions | None = None
    store: bool | None = None
    metadata: Metadata | None = None
    user: str | None = None
    safety_identifier: Annotated[str, Field(max_length=128)] | None = None
    prompt: PromptReference | None = None
    service_tier: ServiceTier | None = None
    max_tool_calls: PositiveCount | None = None
    prompt_cache_key: str | None = None
    prompt_cache_options: PromptCacheOptions | None = None
    prompt_cache_retention: Literal["in_memory", "24h"] | None = None
    image: Hint = None
    background: Annotated[
        Literal[False] | None,
        refused_unless(
            False, "responses do not run in the background: send work that can wait to /v1/batches"
        ),
    ] = None
    background_options: BackgroundOptions | None = None
    access_programs: Annotated[
        None, refused("there are no access programs: a key says what it may ask")
    ] = None
    context_management: Annotated[
        None, refused('nothing is summed up: truncation "auto" drops the oldest items')
    ] = None
    moderation: Annotated[
        None, refused("content rules are configured by the operator of this endpoint: leave it out")
    ] = None

    @field_validator("stream_options")
    @classmethod
    def _only_of_a_stream(cls, options: Any, info: ValidationInfo) -> Any:
        if options is not None and not info.data.get("stream"):
            raise PydanticCustomError("not_streamed", "it needs stream: true")
        return options

    @property
    def shared(self) -> dict[str, Any]:
        """The fields that are passed to the chat API unchanged."""
        return self.model_dump(include=set(_Sampled.model_fields), exclude_none=True, by_alias=True)

    @property
    def kept(self) -> bool:
        """Whether the response is stored, which is the default."""
        return self.store is not False
