"""The stage that puts a version's own prompt before the conversations that it answers."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager

from enginehouse.api.call import Routed
from enginehouse.gateway.prompts.config import PromptsConfig
from enginehouse.gateway.prompts.reference import RegistryPromptReference
from enginehouse.gateway.prompts.remembered import RefreshingCache
from enginehouse.gateway.prompts.source import PromptSource
from enginehouse.gateway.prompts.written import put

from enginehouse.traffic.treatments import Treatment

#: On a registered version: the prompt that it is released with, ``NAME/NUMBER``.
TAG_PROMPT = "enginehouse.prompt"
_NAME = "released_prompt"


class ReleasedPrompt:
    """The prompt that a version is released with: a rollback brings back its prompt as well.

    It stands where a call is routed, since only then the version is known.
    """

    def __init__(
        self,
        config: PromptsConfig,
        source: PromptSource,
        tag_of: Callable[[str, int], str | None],
    ) -> None:
        """`tag_of` reads the tag of a model's version; it may block and raise RegistryError."""
        self._default_alias = config.default_alias
        self._source = source
        self._tags: RefreshingCache[tuple[str, int], str | None] = RefreshingCache(
            lambda key: tag_of(*key),
            ttl_s=config.alias_ttl_s,
            timeout_s=config.timeout_s,
            most_kept=config.most_kept,
        )

    @asynccontextmanager
    async def enter(self, routed: Routed) -> AsyncGenerator[None, None]:
        """See `Watcher`.

        Raises:
            InvalidRequestError: if the tag names no prompt, or one with variables.
            RegistryError: if the registry does not answer, and never has for this version.
        """
        call = routed.call
        if call.messages and not _has_own_prompt(routed.treatment):
            tag = await self._tags.get((routed.model, routed.version))
            if tag is not None:
                reference = RegistryPromptReference.parse(tag, None, self._default_alias)
                put(call, await self._source.get(reference), {}, _NAME)
        yield


def _has_own_prompt(treatment: Treatment | None) -> bool:
    """Whether an experiment's arm puts its own prompt in the place of the version's."""
    return treatment is not None and treatment.arm.system_prompt is not None
