"""Settings of each model: aliases, and defaults for its requests."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Mapping
from contextlib import asynccontextmanager
from typing import Annotated, Literal, Self

from enginehouse.api.call import PRIORITIES, Call, Routed
from enginehouse.api.defaults import ModelDefaults
from enginehouse.api.routing import ModelName
from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from enginehouse.requests.wire_types import MinP, Penalty, RepetitionPenalty, Temperature, TopP
from enginehouse.text.tool_calls import FORMATS


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

    def __init__(self, config: ModelsConfig) -> None:
        self._config = config
        # Once a model, not once a call.
        self._defaults = {name: _defaults_of(own) for name, own in config.settings.items()}

    @asynccontextmanager
    async def enter(self, call: Call) -> AsyncGenerator[None, None]:
        """See `Watcher`; of a call that is asked."""
        call.model = self.resolved(call.model)
        call.defaults = self.defaults(call.model)
        call.priority = call.priority or PRIORITIES[self.of(call.model).priority]
        yield

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
        return self._config.settings.get(self._model(name)) or PerModel()

    def defaults(self, name: str) -> ModelDefaults:
        """The same for a model's requests."""
        return self._defaults.get(self._model(name)) or ModelDefaults()

    def _model(self, name: str) -> str:
        return ModelName.parse(self.resolved(name)).model


def _defaults_of(own: PerModel) -> ModelDefaults:
    sampling = own.sampling.model_dump(exclude_none=True)
    return ModelDefaults(sampling, own.max_tokens, own.tool_format)


class RoutedDefaults:
    """Gives a call the defaults of the model that answers, which a fallback may have changed."""

    def __init__(self, settings: ModelSettings) -> None:
        self._settings = settings

    @asynccontextmanager
    async def enter(self, routed: Routed) -> AsyncGenerator[None, None]:
        """See `Watcher`."""
        routed.call.defaults = self._settings.defaults(routed.call.model)
        yield
