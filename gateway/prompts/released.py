"""The stage that puts a version's own prompt before the conversations that it answers."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing

from enginehouse.api.call import Call, Proceed
from enginehouse.api.generation import Piece
from enginehouse.gateway.prompts.config import PromptsConfig
from enginehouse.gateway.prompts.reference import RegistryPromptReference
from enginehouse.gateway.prompts.remembered import RefreshingCache
from enginehouse.gateway.prompts.source import PromptSource
from enginehouse.gateway.prompts.written import put

#: On a registered version: the prompt that it is released with, ``NAME/NUMBER``.
TAG_PROMPT = "enginehouse.prompt"


class ReleasedPrompt:
    """The prompt that a version is released with: a rollback brings back its prompt as well.

    It stands behind `Routing`, since only then the version is known.
    """

    name = "released_prompt"

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

    async def __call__(self, call: Call, proceed: Proceed) -> AsyncGenerator[Piece, None]:
        """See `Stage`.

        Raises:
            InvalidRequestError: if the tag names no prompt, or one with variables.
            RegistryError: if the registry does not answer, and never has for this version.
        """
        if call.messages and not _tried(call):
            revision = call.revision
            tag = await self._tags.get((revision.target.model, revision.version))
            if tag is not None:
                reference = RegistryPromptReference.parse(tag, None, self._default_alias)
                put(call, await self._source.get(reference), {}, self.name)
        async with aclosing(proceed(call)) as pieces:
            async for piece in pieces:
                yield piece


def _tried(call: Call) -> bool:
    """Whether an experiment's arm puts its own prompt in the place of the version's."""
    treatment = None if call.route is None else call.route.treatment
    return treatment is not None and treatment.arm.system_prompt is not None
