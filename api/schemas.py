"""Requests of the OpenAI API, as far as they are served; the rest is refused by name."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from enginehouse.api.guides import Guided, ResponseFormat
from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from enginehouse.generation import Sampling
from enginehouse.manifest import GenerationDefaults

_MAX_STOPS = 16
_UINT64 = 2**64
_MAX_CHOICES = 16
_MAX_BIASES = 300
Bias = Annotated[float, Field(ge=-100.0, le=100.0)]
Penalty = Annotated[float, Field(ge=-2.0, le=2.0)]


class StreamOptions(BaseModel):
    """`stream_options`."""

    model_config = ConfigDict(extra="forbid")

    include_usage: bool = False


class _Common(Guided):
    """Fields of both endpoints.

    `top_k`, `min_p`, `repetition_penalty`, `min_tokens`, `ignore_eos` and those of `Guided` are
    not OpenAI's; they carry the names under which other servers of this API take them.
    """

    model_config = ConfigDict(extra="forbid", strict=False)

    model: str
    max_tokens: Annotated[int, Field(ge=1)] | None = None
    temperature: Annotated[float, Field(ge=0.0, le=2.0)] | None = None
    top_p: Annotated[float, Field(ge=0.0, le=1.0)] | None = None
    stream: bool | None = None
    stream_options: StreamOptions | None = None
    stop: str | list[str] | None = None
    seed: int | None = None
    presence_penalty: Penalty | None = None
    frequency_penalty: Penalty | None = None
    n: Annotated[int, Field(ge=1, le=_MAX_CHOICES)] | None = None
    logit_bias: Annotated[dict[int, Bias], Field(max_length=_MAX_BIASES)] | None = None
    user: str | None = None
    top_k: Annotated[int, Field(ge=0)] | None = None
    min_p: Annotated[float, Field(ge=0.0, lt=1.0)] | None = None
    repetition_penalty: Annotated[float, Field(gt=0.0, le=100.0)] | None = None
    min_tokens: Annotated[int, Field(ge=0)] | None = None
    ignore_eos: bool = False

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
            raise ValueError("stream_options needs stream: true")
        return self

    @property
    def stops(self) -> list[str]:
        """Stop strings as a list."""
        return [self.stop] if isinstance(self.stop, str) else list(self.stop or [])

    @property
    def include_usage(self) -> bool:
        """Whether the stream ends with a usage chunk."""
        return self.stream_options is not None and self.stream_options.include_usage

    def sampling(self, defaults: GenerationDefaults) -> Sampling:
        """Sampling for the engine; `temperature` 0 and `top_p` 0 are greedy."""
        temperature = defaults.temperature if self.temperature is None else self.temperature
        top_p = defaults.top_p if self.top_p is None else self.top_p
        return Sampling(
            temperature=temperature if top_p else 0.0,
            top_p=top_p or None,
            top_k=self.top_k or None,
            seed=None if self.seed is None else self.seed % _UINT64,
            repetition_penalty=self.repetition_penalty or 1.0,
            presence_penalty=self.presence_penalty or 0.0,
            frequency_penalty=self.frequency_penalty or 0.0,
            min_tokens=self.min_tokens or 0,
            min_p=self.min_p or 0.0,
        )


class TextPart(BaseModel):
    """A content part; text is the only kind that this engine reads."""

    model_config = ConfigDict(extra="forbid")

    type: Literal["text"]
    text: str


class Message(BaseModel):
    """One message of a conversation."""

    model_config = ConfigDict(extra="forbid")

    role: Literal["system", "developer", "user", "assistant"]
    content: str | list[TextPart] | None = None
    name: str | None = None
    refusal: str | None = None

    def for_template(self) -> dict[str, str]:
        """What chat templates take; `developer` is OpenAI's newer word for `system`."""
        content = self.content or ""
        text = content if isinstance(content, str) else "".join(part.text for part in content)
        return {"role": "system" if self.role == "developer" else self.role, "content": text}


class ChatRequest(_Common):
    """`POST /v1/chat/completions`."""

    messages: Annotated[list[Message], Field(min_length=1)]
    max_completion_tokens: Annotated[int, Field(ge=1)] | None = None
    logprobs: bool | None = None
    top_logprobs: Literal[0] | None = None
    response_format: ResponseFormat | None = None
    metadata: dict[str, str] | None = None
    store: Literal[False] | None = None

    @property
    def most_tokens(self) -> int | None:
        """`max_completion_tokens`, or its older name; None is the rest of the context."""
        return self.max_completion_tokens or self.max_tokens


class CompletionRequest(_Common):
    """`POST /v1/completions`: one prompt, as text or as token ids."""

    prompt: str | list[str] | list[int]
    logprobs: Literal[0] | None = None
    echo: Literal[False] | None = None
    best_of: Annotated[int, Field(ge=1, le=_MAX_CHOICES)] | None = None
    token_healing: bool = False

    @model_validator(mode="after")
    def _best_of_takes_more_than_it_keeps(self) -> CompletionRequest:
        if self.best_of is not None and self.best_of < (self.n or 1):
            raise ValueError(f"best_of is {self.best_of}, less than n, which is {self.n}")
        if self.stream and (self.best_of or 1) > (self.n or 1):
            raise ValueError("best_of above n cannot be streamed: the best is known at the end")
        return self

    @field_validator("prompt")
    @classmethod
    def _one_prompt(cls, value: str | list[str] | list[int]) -> Any:
        if isinstance(value, list):
            if not value:
                raise ValueError("the prompt is empty")
            if isinstance(value[0], str):
                if len(value) > 1:
                    raise ValueError("one prompt a request")
                return value[0]
        return value
