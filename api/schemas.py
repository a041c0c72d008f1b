"""Requests of the OpenAI API, as far as they are served; the rest is refused by name."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Any, ClassVar, Literal

from enginehouse.api.boundary import NullsLeftOut, RequestModel
from enginehouse.api.guides import Guided, ResponseFormat
from enginehouse.api.hints import ChatHints, Hints
from enginehouse.api.messages import ChatForm, Message
from enginehouse.api.refused import refused, refused_unless, wrong
from enginehouse.api.tools.schema import Choice, Tools
from pydantic import (
    Field,
    StrictStr,
    field_validator,
    model_validator,
)

from enginehouse.generation import GREEDY_BELOW_TEMPERATURE, GREEDY_BELOW_TOP_P, Sampling
from enginehouse.manifest import GenerationDefaults
from enginehouse.requests.wire_types import (
    Count,
    CountOrOff,
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

_MAX_STOPS = 16
_UINT64 = 2**64
_MAX_CHOICES = 16
_MAX_BIASES = 300
_MAX_ANSWERS = 256
#: Fields that say who asks, how the answer is sent and what becomes of it.
_NO_IDENTITY = {
    "model", "messages", "prompt", "stream", "stream_options", "user", "metadata", "store",
    "service_tier", "safety_identifier", "prompt_cache_key", "prompt_cache_retention",
    "prompt_cache_options", "prediction", "verbosity",
}  # fmt: skip
Bias = Annotated[float, Field(ge=-100.0, le=100.0, allow_inf_nan=False)]


def _is_below(value: float | None, bound: float) -> bool:
    return value is not None and value < bound


class StreamOptions(RequestModel):
    """`stream_options`.

    Attributes:
        include_obfuscation: accepted; events are not padded either way.
        continuous_usage_stats: vLLM's: every chunk has the usage so far.
    """

    include_usage: bool | None = None
    include_obfuscation: bool | None = None
    continuous_usage_stats: bool | None = None


class _Common(Guided, Hints):
    """Fields of both endpoints.

    Those from `top_k` on, and those of `Guided` and `Hints`, are not OpenAI's; they carry the names
    under which other servers of this API take them.

    Attributes:
        top_k: -1 and 0 are off.
        stop_token_ids: end the answer as its last token; their text is part of it.
        include_stop_str_in_output: whether a stop string that was met is part of the answer.
        truncate_prompt_tokens: tokens of the prompt that are kept; -1 keeps what leaves room for
            the answer.
        truncation_side: which end is cut off, the left one by default.
    """

    model: str
    max_tokens: PositiveCount | None = None
    temperature: Temperature | None = None
    top_p: TopP | None = None
    stream: bool | None = None
    stream_options: StreamOptions | None = None
    stop: str | list[str] | None = None
    seed: Seed | None = None
    presence_penalty: Penalty | None = None
    frequency_penalty: Penalty | None = None
    n: Annotated[int, Field(ge=1, le=_MAX_CHOICES)] | None = None
    logit_bias: (
        Annotated[dict[TokenKey, Bias], Field(max_length=_MAX_BIASES), NullsLeftOut] | None
    ) = None
    user: str | None = None
    top_k: CountOrOff | None = None
    min_p: MinP | None = None
    repetition_penalty: RepetitionPenalty | None = None
    min_tokens: Count | None = None
    ignore_eos: bool | None = None
    stop_token_ids: Annotated[list[TokenId], Field(max_length=_MAX_STOPS)] | None = None
    include_stop_str_in_output: bool | None = None
    truncate_prompt_tokens: CountOrOff | None = None
    truncation_side: Literal["left", "right"] | None = None

    #: Fields that cannot change the answer.
    _no_identity: ClassVar[frozenset[str]] = frozenset(_NO_IDENTITY | Hints.model_fields.keys())

    @field_validator("truncate_prompt_tokens")
    @classmethod
    def _keeps_something(cls, value: int | None) -> int | None:
        if value == 0:
            raise ValueError("it is -1, or at least 1")
        return value

    @field_validator("stop")
    @classmethod
    def _few_stops(cls, value: str | list[str] | None) -> str | list[str] | None:
        if isinstance(value, list) and len(value) > _MAX_STOPS:
            raise ValueError(f"at most {_MAX_STOPS} stop strings")
        if value == "" or (isinstance(value, list) and "" in value):
            raise ValueError("a stop string must not be empty")
        return value

    @model_validator(mode="after")
    def _stream_options_need_stream(self) -> _Common:
        if self.stream_options is not None and not self.stream:
            raise wrong("stream_options", "it goes with stream: true")
        return self

    @property
    def identity(self) -> dict[str, Any]:
        """Every field that can change the answer, less model and prompt; JSON values."""
        return self.model_dump(
            mode="json", by_alias=True, exclude_none=True, exclude=set(self._no_identity)
        )

    @property
    def deterministic(self) -> bool:
        """Whether the same question has the same answer."""
        greedy = _is_below(self.temperature, GREEDY_BELOW_TEMPERATURE) or _is_below(
            self.top_p, GREEDY_BELOW_TOP_P
        )
        return (greedy or self.seed is not None) and (self.n or 1) == 1

    @property
    def stops(self) -> list[str]:
        """Stop strings as a list."""
        return [self.stop] if isinstance(self.stop, str) else list(self.stop or [])

    @property
    def include_usage(self) -> bool:
        """Whether the stream ends with a usage chunk."""
        return self.stream_options is not None and bool(self.stream_options.include_usage)

    @property
    def counts_on(self) -> bool:
        """Whether every chunk of the stream has the usage so far."""
        return self.stream_options is not None and bool(self.stream_options.continuous_usage_stats)

    def kept(self, ids: Sequence[int], context: int, most_tokens: int | None) -> Sequence[int]:
        """What `truncate_prompt_tokens` leaves of a prompt.

        Args:
            context: the model's, in tokens.
            most_tokens: of the answer, if that is bounded; else there is room for one at least.
        """
        wanted = self.truncate_prompt_tokens
        if wanted is None:
            return ids
        most = max(1, context - (most_tokens or 1)) if wanted < 0 else wanted
        if len(ids) <= most:
            return ids
        return ids[:most] if self.truncation_side == "right" else ids[-most:]

    def sampling(self, defaults: GenerationDefaults) -> Sampling:
        """Sampling for the engine; `temperature` 0 and `top_p` 0 are greedy."""
        temperature = defaults.temperature if self.temperature is None else self.temperature
        top_p = defaults.top_p if self.top_p is None else self.top_p
        return Sampling(
            temperature=temperature if top_p else 0.0,
            top_p=top_p or None,
            top_k=max(0, self.top_k or 0) or None,
            seed=None if self.seed is None else self.seed % _UINT64,
            repetition_penalty=self.repetition_penalty or 1.0,
            presence_penalty=self.presence_penalty or 0.0,
            frequency_penalty=self.frequency_penalty or 0.0,
            min_tokens=self.min_tokens or 0,
            min_p=self.min_p or 0.0,
        )


_NO_ALTERNATIVES = "the engine gives the chosen token's log-probability only: leave it at 0"
Metadata = Annotated[
    dict[Annotated[str, Field(max_length=64)], Annotated[str, Field(max_length=512)]],
    Field(max_length=16),
    NullsLeftOut,
]


class PromptReference(RequestModel):
    """A prompt of the registry, which is put before the messages."""

    id: str
    version: str | None = None
    variables: Annotated[dict[str, str], NullsLeftOut] | None = None


class ChatRequest(_Common, ChatForm, ChatHints):
    """`POST /v1/chat/completions`."""

    messages: Annotated[list[Message], Field(min_length=1)]
    max_completion_tokens: PositiveCount | None = None
    logprobs: bool | None = None
    top_logprobs: Annotated[Literal[0] | None, refused_unless(0, _NO_ALTERNATIVES)] = None
    response_format: ResponseFormat | None = None
    tools: Tools | None = None
    tool_choice: Choice | None = None
    parallel_tool_calls: bool | None = None
    reasoning_effort: Literal["none", "minimal", "low", "medium", "high", "xhigh", "max"] | None = (
        None
    )
    service_tier: Literal["auto", "default", "flex", "scale", "priority", "fast"] | None = None
    metadata: Metadata | None = None
    store: bool | None = None
    safety_identifier: Annotated[str, Field(max_length=64)] | None = None
    prompt_cache_key: str | None = None
    prompt: PromptReference | None = None
    modalities: Annotated[
        list[Literal["text"]] | None,
        refused_unless(["text"], "the model answers in text only: leave it at ['text']"),
    ] = None
    verbosity: Literal["low", "medium", "high"] | None = None
    prompt_cache_retention: Literal["in_memory", "24h"] | None = None
    prompt_cache_options: dict[str, Any] | None = None
    prediction: dict[str, Any] | None = None
    audio: Annotated[None, refused("the model hears and speaks no audio")] = None
    moderation: Annotated[
        None, refused("content rules are set by whoever runs this endpoint: leave it out")
    ] = None
    web_search_options: Annotated[None, refused("nothing is searched: give a tool")] = None
    functions: Annotated[
        Annotated[list[Any], Field(max_length=0)] | None,
        refused_unless([], "functions is the old form of tools, which is supported: use that"),
    ] = None
    function_call: Annotated[
        Literal["none", "auto"] | None,
        refused_unless(
            "auto",
            "function_call is the old form of tool_choice, which is supported: use that",
            "none",
        ),
    ] = None

    _no_identity: ClassVar[frozenset[str]] = frozenset(_NO_IDENTITY | ChatHints.model_fields.keys())

    @property
    def identity(self) -> dict[str, Any]:
        """See `_Common.identity`."""
        return super().identity | ({"continue_final_message": True} if self.continues else {})

    @property
    def most_tokens(self) -> int | None:
        """`max_completion_tokens`, or its older name; None is the rest of the context."""
        return self.max_completion_tokens or self.max_tokens

    @property
    def limit_field(self) -> str:
        """The field that `most_tokens` comes from."""
        return "max_tokens" if self.max_completion_tokens is None else "max_completion_tokens"

    @property
    def end_user(self) -> str | None:
        """Who asks behind the caller: `user`, or its newer name."""
        return self.user or self.safety_identifier


Ids = Annotated[list[TokenId], Field(min_length=1)]


#: OpenAI's default of `max_tokens` for completions; chat has none.
DEFAULT_COMPLETION_TOKENS = 16


class CompletionRequest(_Common):
    """`POST /v1/completions`: one prompt or several, as text or as token ids.

    Attributes:
        max_tokens: with 0 nothing is generated: for `echo`.
    """

    max_tokens: Count | None = None

    prompt: StrictStr | list[StrictStr] | Ids | list[Ids]
    logprobs: Annotated[Literal[0] | None, refused_unless(0, _NO_ALTERNATIVES)] = None
    echo: bool | None = None
    best_of: Annotated[int, Field(ge=1, le=_MAX_CHOICES)] | None = None
    token_healing: bool | None = None
    add_special_tokens: bool | None = None
    suffix: Annotated[
        None, refused("the model writes what follows a text, not what stands between two")
    ] = None

    @property
    def prompts(self) -> list[str | list[int]]:
        """All prompts, in their order."""
        if isinstance(self.prompt, str):
            return [self.prompt]
        ids: list[int] = []
        several: list[str | list[int]] = []
        for item in self.prompt:
            if isinstance(item, int):
                ids.append(item)
            else:
                several.append(item)
        return [ids] if ids else several

    @property
    def deterministic(self) -> bool:
        """See `_Common.deterministic`."""
        return super().deterministic and (self.best_of or 1) == 1

    @field_validator("prompt")
    @classmethod
    def _some_prompts(cls, value: Any) -> Any:
        if value in ("", []) or (isinstance(value, list) and "" in value):
            raise ValueError("the prompt is empty")
        return value

    @model_validator(mode="after")
    def _best_of_takes_more_than_it_keeps(self) -> CompletionRequest:
        if self.best_of is not None and self.best_of < (self.n or 1):
            raise wrong("best_of", f"it is {self.best_of}, less than n, which is {self.n}")
        if self.stream and (self.best_of or 1) > (self.n or 1):
            raise wrong("best_of", "above n it cannot be streamed: the best is known at the end")
        answers = len(self.prompts) * (self.best_of or self.n or 1)
        if answers > _MAX_ANSWERS:
            raise wrong(
                "prompt",
                f"{answers} answers are asked for, prompts times n; at most {_MAX_ANSWERS} fit "
                "one request: split it",
            )
        return self
