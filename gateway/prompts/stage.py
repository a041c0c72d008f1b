"""The stage that puts prompts of the registry before conversations."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable, Mapping
from contextlib import asynccontextmanager
from typing import Any

from enginehouse.api.call import Call
from enginehouse.gateway.prompts.config import PromptsConfig
from enginehouse.gateway.prompts.reference import RegistryPromptReference
from enginehouse.gateway.prompts.source import PromptSource
from enginehouse.gateway.prompts.written import put

from enginehouse.errors import InvalidRequestError

_FIELD = "prompt"


class PromptRegistry:
    """The model's own system prompt, then the one that the request names, then the conversation."""

    def __init__(
        self,
        config: PromptsConfig,
        source: PromptSource,
        system_prompt_of: Callable[[str], str | None],
    ) -> None:
        self._config = config
        self._source = source
        self._system_prompt_of = system_prompt_of

    @asynccontextmanager
    async def enter(self, call: Call) -> AsyncGenerator[None, None]:
        """See `Watcher`.

        Raises:
            InvalidRequestError: if there is no such prompt, or not all of its variables.
            RegistryError: if the registry does not answer.
        """
        if call.managed_prompt is not None:
            await self._asked(call, call.managed_prompt)
        own = self._system_prompt_of(call.model) if call.messages else None
        if own is not None:
            template = await self._source.get(RegistryPromptReference.parse(own, None, ""))
            put(call, template, {}, "system_prompt")
        yield

    async def _asked(self, call: Call, asked: Mapping[str, Any]) -> None:
        if not self._config.enabled:
            raise InvalidRequestError(
                "this endpoint takes no prompts by name: send the messages themselves",
                field=_FIELD,
            )
        reference = RegistryPromptReference.parse(
            str(asked["id"]), asked.get("version"), self._config.default_alias
        )
        names = self._config.names
        if names is not None and reference.name not in names:
            raise InvalidRequestError(
                f"prompt {reference.name!r} may not be used here; prompts: "
                f"{', '.join(sorted(names)) or 'none'}",
                field=_FIELD,
            )
        template = await self._source.get(reference)
        put(call, template, _texts(asked.get("variables") or {}), "prompt")


def _texts(variables: Mapping[str, Any]) -> dict[str, str]:
    """Values of variables: texts, or the content parts that the Responses API takes."""
    found = {}
    for name, value in variables.items():
        text = value.get("text") if isinstance(value, Mapping) else value
        if not isinstance(text, str):
            raise InvalidRequestError(
                f"prompt.variables.{name} is not a string: give a string", field=_FIELD
            )
        found[name] = text
    return found
