"""The stage that puts prompts of the registry before conversations."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable, Mapping
from contextlib import aclosing
from typing import Any

from enginehouse.api.call import Call, Proceed
from enginehouse.api.generation import Piece
from enginehouse.gateway.prompts.config import PromptsConfig
from enginehouse.gateway.prompts.reference import RegistryPromptReference
from enginehouse.gateway.prompts.released import TAG_PROMPT, ReleasedPrompt
from enginehouse.gateway.prompts.source import PromptSource, prompts_of
from enginehouse.gateway.prompts.written import put
from enginehouse.registry import Registry

from enginehouse.errors import InvalidRequestError

_FIELD = "prompt"


def open_prompts(
    config: PromptsConfig,
    registry: Registry,
    system_prompt_of: Callable[[str], str | None],
) -> tuple[PromptRegistry, ReleasedPrompt | None]:
    """The stage before the content filters, and the one behind `Routing` if it is wanted.

    Args:
        system_prompt_of: model, as a call names it → its setting `system_prompt`.
    """
    source = PromptSource(prompts_of(registry), config)
    stage = PromptRegistry(config, source, system_prompt_of)

    def tag_of(model: str, version: int) -> str | None:
        return registry.version(model, version).tags.get(TAG_PROMPT)

    return stage, ReleasedPrompt(config, source, tag_of) if config.released else None


class PromptRegistry:
    """The model's own system prompt, then the one that the request names, then the conversation."""

    name = "prompts"

    def __init__(
        self,
        config: PromptsConfig,
        source: PromptSource,
        system_prompt_of: Callable[[str], str | None],
    ) -> None:
        self._config = config
        self._source = source
        self._system_prompt_of = system_prompt_of

    async def __call__(self, call: Call, proceed: Proceed) -> AsyncGenerator[Piece, None]:
        """See `Stage`. What it finds in `call.notes`, with the caller's variables, it takes out.

        Raises:
            InvalidRequestError: if there is no such prompt, or not all of its variables.
            RegistryError: if the registry does not answer.
        """
        asked = call.notes.pop("prompt", None)
        if asked is not None:
            await self._asked(call, asked)
        own = self._system_prompt_of(call.model) if call.messages else None
        if own is not None:
            template = await self._source.get(RegistryPromptReference.parse(own, None, ""))
            put(call, template, {}, "system_prompt")
        async with aclosing(proceed(call)) as pieces:
            async for piece in pieces:
                yield piece

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
