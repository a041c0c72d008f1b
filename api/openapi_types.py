"""What is answered, for the OpenAPI document; nothing is validated against it at run time."""

from __future__ import annotations

from http import HTTPStatus
from typing import Any, Literal

from pydantic import BaseModel

_ERRORS = {
    HTTPStatus.BAD_REQUEST: "A field is wrong, unknown or refused; `param` names it.",
    HTTPStatus.UNAUTHORIZED: "The key is missing, unknown, revoked or expired.",
    HTTPStatus.FORBIDDEN: "The caller may not ask for this.",
    HTTPStatus.NOT_FOUND: "There is no such model or object.",
    HTTPStatus.REQUEST_ENTITY_TOO_LARGE: "The body is too large.",
    HTTPStatus.TOO_MANY_REQUESTS: "A limit is reached, or the engine is full: see `Retry-After`.",
    HTTPStatus.INTERNAL_SERVER_ERROR: "Something broke; the adapter's log has the details.",
    HTTPStatus.SERVICE_UNAVAILABLE: "Nobody can answer right now: see `Retry-After`.",
    HTTPStatus.GATEWAY_TIMEOUT: "The time that the caller or the endpoint gives ran out.",
}


class ErrorDetail(BaseModel):
    """What went wrong."""

    message: str
    type: str
    param: str | None
    code: str | None


class ErrorBody(BaseModel):
    """OpenAI's error object."""

    error: ErrorDetail


class PromptTokensDetails(BaseModel):
    """Of the prompt's tokens."""

    cached_tokens: int


class CompletionTokensDetails(BaseModel):
    """Of the completion's tokens."""

    reasoning_tokens: int


class UsageBody(BaseModel):
    """Tokens of one request."""

    prompt_tokens: int
    completion_tokens: int
    total_tokens: int
    prompt_tokens_details: PromptTokensDetails
    completion_tokens_details: CompletionTokensDetails


class _Envelope(BaseModel):
    id: str
    created: int
    model: str
    system_fingerprint: str | None
    service_tier: str | None = None


class TokenLogprob(BaseModel):
    """The log-probability of a chosen token; alternatives are never given."""

    token: str
    logprob: float
    bytes: list[int] | None
    top_logprobs: list[Any]


class ChatLogprobs(BaseModel):
    """Log-probabilities of an answer's tokens."""

    content: list[TokenLogprob] | None
    refusal: None


class FunctionCallBody(BaseModel):
    """What is called, with JSON as the model wrote it."""

    name: str
    arguments: str


class ToolCallBody(BaseModel):
    """One call of a tool."""

    id: str
    type: Literal["function"]
    function: FunctionCallBody


class AssistantMessage(BaseModel):
    """An answer; `content` is null if it consists of calls."""

    role: Literal["assistant"]
    content: str | None
    refusal: None
    reasoning_content: str | None = None
    tool_calls: list[ToolCallBody] | None = None


FinishReasonName = Literal["stop", "length", "tool_calls", "content_filter", "cancelled"]


class ChatChoice(BaseModel):
    """One of the answers."""

    index: int
    message: AssistantMessage
    logprobs: ChatLogprobs | None
    finish_reason: FinishReasonName


class ChatCompletion(_Envelope):
    """A whole answer to a conversation."""

    object: Literal["chat.completion"]
    choices: list[ChatChoice]
    usage: UsageBody


class FunctionCallDelta(BaseModel):
    """More of a call; the chunks of `arguments` join to JSON."""

    name: str | None = None
    arguments: str


class ToolCallDelta(BaseModel):
    """More of the call with this index."""

    index: int
    id: str | None = None
    type: Literal["function"] | None = None
    function: FunctionCallDelta


class ChatDelta(BaseModel):
    """More of an answer."""

    role: Literal["assistant"] | None = None
    content: str | None = None
    refusal: None = None
    reasoning_content: str | None = None
    tool_calls: list[ToolCallDelta] | None = None


class ChatChunkChoice(BaseModel):
    """More of one of the answers."""

    index: int
    delta: ChatDelta
    logprobs: ChatLogprobs | None
    finish_reason: FinishReasonName | None


class ChatCompletionChunk(_Envelope):
    """One event of a streamed answer; the last holds the usage if that was asked for."""

    object: Literal["chat.completion.chunk"]
    choices: list[ChatChunkChoice]
    usage: UsageBody | None = None


class CompletionLogprobs(BaseModel):
    """Log-probabilities of a text's tokens; null for tokens of an echoed prompt."""

    tokens: list[str]
    token_logprobs: list[float | None]
    top_logprobs: None
    text_offset: list[int]


class CompletionChoice(BaseModel):
    """One of the texts."""

    index: int
    text: str
    logprobs: CompletionLogprobs | None
    finish_reason: FinishReasonName


class Completion(_Envelope):
    """Texts that continue their prompts."""

    object: Literal["text_completion"]
    choices: list[CompletionChoice]
    usage: UsageBody


class CompletionChunkChoice(BaseModel):
    """More of one of the texts."""

    index: int
    text: str
    logprobs: CompletionLogprobs | None
    finish_reason: FinishReasonName | None


class CompletionChunk(_Envelope):
    """One event of streamed texts; the last holds the usage if that was asked for."""

    object: Literal["text_completion"]
    choices: list[CompletionChunkChoice]
    usage: UsageBody | None = None


def error_responses() -> dict[int | str, dict[str, Any]]:
    """The errors of any route, for `responses=`; every error has the same body."""
    found: dict[int | str, dict[str, Any]] = {
        int(status): {"model": ErrorBody, "description": text} for status, text in _ERRORS.items()
    }
    found["default"] = {"model": ErrorBody, "description": "Any other error."}
    return found


def answer_responses(
    whole: type[BaseModel], chunk: type[BaseModel]
) -> dict[int | str, dict[str, Any]]:
    """Those of a route that answers whole, or as a stream of events with a `chunk` each."""
    schema = chunk.model_json_schema()
    event = _inlined(schema, schema.pop("$defs", {}))
    data = {"type": "string", "contentMediaType": "application/json", "contentSchema": event}
    return {
        200: {
            "model": whole,
            "description": "The answer. With `stream`, server-sent events: each is `data: ` and a "
            f"{chunk.__name__}, the last `data: [DONE]`. An error after the start is an event with "
            "an error object, and no `[DONE]` follows it.",
            "content": {"text/event-stream": {"schema": data}},
        },
        **error_responses(),
    }


def _inlined(schema: Any, definitions: dict[str, Any]) -> Any:
    """Without references, which would point to the root of the OpenAPI document."""
    if isinstance(schema, list):
        return [_inlined(item, definitions) for item in schema]
    if not isinstance(schema, dict):
        return schema
    if "$ref" in schema:
        return _inlined(definitions[schema["$ref"].rpartition("/")[2]], definitions)
    return {key: _inlined(value, definitions) for key, value in schema.items()}
