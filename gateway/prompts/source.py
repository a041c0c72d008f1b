"""Loads prompts from MLflow's registry."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

from enginehouse.gateway.prompts.config import PromptsConfig
from enginehouse.gateway.prompts.reference import RegistryPromptReference
from enginehouse.gateway.prompts.remembered import RefreshingCache
from enginehouse.gateway.prompts.template import PromptTemplate
from enginehouse.registry import Registry

from enginehouse.errors import InvalidRequestError

#: Loads a prompt, or None if it does not exist; it may block and raise RegistryError.
LoadPrompt = Callable[[RegistryPromptReference], PromptTemplate | None]


def prompts_of(registry: Registry) -> LoadPrompt:
    """Load from a registry."""

    def load(reference: RegistryPromptReference) -> PromptTemplate | None:
        with registry.session() as client:
            # `PromptSource` caches prompts, so MLflow's own cache is disabled.
            found = client.load_prompt(reference.uri, allow_missing=True, cache_ttl_seconds=0)
        return None if found is None else _template(found)

    return load


def _template(prompt: Any) -> PromptTemplate:
    raw = prompt.template
    if isinstance(raw, str):
        return PromptTemplate(prompt.name, prompt.version, (("system", raw),))
    messages = tuple((str(m["role"]), str(m.get("content") or "")) for m in raw)
    return PromptTemplate(prompt.name, prompt.version, messages)


class PromptSource:
    """Caches prompts: numbered versions without a limit of time, aliases for a few seconds."""

    def __init__(
        self,
        load: LoadPrompt,
        config: PromptsConfig,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._prompts = RefreshingCache(
            load,
            ttl_s=config.alias_ttl_s,
            timeout_s=config.timeout_s,
            most_kept=config.most_kept,
            forever=lambda reference, template: reference.numbered and template is not None,
            clock=clock,
        )

    async def get(self, reference: RegistryPromptReference) -> PromptTemplate:
        """The prompt of a reference.

        Raises:
            InvalidRequestError: if it does not exist.
            RegistryError: if the registry does not answer and the prompt is not cached.
        """
        template = await self._prompts.get(reference)
        if template is None:
            raise InvalidRequestError(
                f"there is no prompt {reference.uri!r} in MLflow's prompt registry: register it, "
                "set its alias, or name another version",
                field="prompt",
            )
        return template
