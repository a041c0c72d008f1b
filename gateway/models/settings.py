"""Settings of each model: aliases, and defaults for its requests."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Mapping
from contextlib import aclosing
from typing import Annotated, Any, Literal, Self, TypeVar

from enginehouse.api.call import PRIORITIES, Call, Proceed
from enginehouse.api.generation import Piece
from enginehouse.api.routing import ModelName
from enginehouse.api.tools import FORMATS
from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from enginehouse.errors import InvalidRequestError
from enginehouse.requests.wire_types import MinP, Penalty, RepetitionPenalty, Temperature, TopP

_T = TypeVar("_T")
_Body = TypeVar("_Body", bound=BaseModel)
#: Request fields that limit the length of an answer, the newer name first.
_LIMITS = ("max_completion_tokens", "max_tokens")


class SamplingDefaults(BaseModel):
    """Defaults for sampling fields; None leaves a field to the version."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    temperature: Temperature | None = None
    top_p: TopP | None = None
    top_k: Annotated[int, Field(ge=0)] | None = None
    min_p: MinP | None = None
    repetition_penalty: RepetitionPenalty | None = None
    presence_penalty: Penalty | None = None
    frequency_penalty: Penalty | None = None


class PerModel(BaseModel):
    """Settings of one model; the default of every field changes nothing.

    Attributes:
        sampling: defaults for fields that callers leave out.
        max_tokens: most tokens of one answer. A request for more is rejected; it is also the limit
            of requests without one.
        tool_format: name of the format of tool calls; None takes it from the chat template.
        system_prompt: ``prompts:/NAME/3`` or ``prompts:/NAME@ALIAS`` in MLflow's prompt registry,
            put before every conversation.
        priority: priority class of requests that have no other.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    sampling: SamplingDefaults = SamplingDefaults()
    max_tokens: Annotated[int, Field(ge=1)] | None = None
    tool_format: str | None = None
    system_prompt: Annotated[str, Field(pattern=r"^prompts:/[^/@]+(/[1-9]\d*|@[^/@]+)$")] | None = (
        None
    )
    priority: Literal["low", "normal", "high"] = "normal"

    @field_validator("tool_format")
    @classmethod
    def _known_format(cls, value: str | None) -> str | None:
        if value is not None and value not in FORMATS:
            raise ValueError(f"there is no such format; there are {', '.join(sorted(FORMATS))}")
        return value


class ModelsConfig(BaseModel):
    """Section `models` of the endpoint's file.

    Attributes:
        default: first model in `/v1/models`, which clients without a configured model use; None
            is the first text generator by name.
        aliases: alias → ``model[@version][:adapter]``.
        settings: by model; they apply to all its versions and aliases.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    default: str | None = None
    aliases: dict[Annotated[str, Field(min_length=1, max_length=256)], str] = {}
    settings: dict[str, PerModel] = {}

    @model_validator(mode="after")
    def _plain_aliases(self) -> Self:
        for alias, target in self.aliases.items():
            if target in self.aliases or ModelName.parse(target).model in self.aliases:
                raise ValueError(f"aliases.{alias}: {target!r} is an alias itself: name a model")
        for name in self.settings:
            if name in self.aliases or ModelName.parse(name).model != name:
                raise ValueError(
                    f"settings.{name}: name a model, without alias, version and adapter"
                )
        return self


class ModelSettings:
    """Resolves aliases, and applies the settings of a model.

    The answer's field `model` contains the model instead of the alias, so that a reader knows which
    model answered.
    """

    name = "model_settings"

    def __init__(self, config: ModelsConfig) -> None:
        self._config = config

    async def __call__(self, call: Call, proceed: Proceed) -> AsyncGenerator[Piece, None]:
        """See `Stage`."""
        call.model = self.resolved(call.model)
        spoken = self.of(call.model).tool_format
        if spoken is not None:
            call.notes["tool_format"] = spoken
        call.priority = call.priority or PRIORITIES[self.of(call.model).priority]
        async with aclosing(proceed(call)) as pieces:
            async for piece in pieces:
                yield piece

    @property
    def default(self) -> str | None:
        """Name of the first model in lists."""
        return self._config.default

    @property
    def aliases(self) -> Mapping[str, str]:
        """Alias → its model."""
        return self._config.aliases

    def resolved(self, name: str) -> str:
        """The model that an alias stands for; any other name is returned unchanged.

        A version or an adapter may follow an alias that has none itself.
        """
        aliases = self._config.aliases
        if name in aliases:
            return aliases[name]
        model = ModelName.parse(name).model
        target = aliases.get(model)
        if target is None or ModelName.parse(target).model != target:
            return name
        return target + name.removeprefix(model)

    def of(self, name: str) -> PerModel:
        """The settings of a model, by any of its names."""
        model = ModelName.parse(self.resolved(name)).model
        return self._config.settings.get(model) or PerModel()

    def fingerprint(self, model: str) -> Any:
        """The settings that affect a model's answers, as JSON; part of cache keys."""
        found = self.of(model)
        return [found.sampling.model_dump(exclude_none=True), found.max_tokens, found.tool_format]


def aliases_among(aliases: Mapping[str, str], served: Mapping[str, _T]) -> dict[str, _T]:
    """The aliases of served models → the value of their model."""
    found = {alias: served.get(ModelName.parse(name).model) for alias, name in aliases.items()}
    return {alias: known for alias, known in found.items() if known is not None}


def settled(body: _Body, settings: PerModel) -> _Body:
    """The request, with the model's defaults for all fields that the caller left out.

    Raises:
        InvalidRequestError: if it asks for more tokens than the model may generate.
    """
    update = {
        name: value
        for name, value in settings.sampling.model_dump(exclude_none=True).items()
        if getattr(body, name, None) is None
    }
    if settings.max_tokens is not None:
        given = {name: getattr(body, name, None) for name in _LIMITS}
        for name, value in given.items():
            if value is not None and value > settings.max_tokens:
                raise InvalidRequestError(
                    f"{name} is {value}; this model gives {settings.max_tokens} tokens at most: "
                    "ask for fewer, or leave it out",
                    field=name,
                )
        if all(value is None for value in given.values()):
            update["max_tokens"] = settings.max_tokens
    return body.model_copy(update=update) if update else body
