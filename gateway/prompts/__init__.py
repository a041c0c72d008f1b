"""Prompts from MLflow's prompt registry."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from enginehouse.api.registration import Opening, Registration
from enginehouse.gateway.per_model import SystemPrompts
from enginehouse.gateway.prompts.config import PromptsConfig
from enginehouse.gateway.prompts.released import TAG_PROMPT, ReleasedPrompt
from enginehouse.gateway.prompts.source import PromptSource, prompts_of
from enginehouse.gateway.prompts.stage import PromptRegistry
from enginehouse.registry import Registry


@asynccontextmanager
async def _open(opening: Opening) -> AsyncIterator[None]:
    config: PromptsConfig = opening.configured
    registry = Registry(opening.settings)
    source = PromptSource(prompts_of(registry), config)
    own = opening.services.find(SystemPrompts) or SystemPrompts()
    opening.stages.asked.add(70, PromptRegistry(config, source, own.of))
    if config.released:

        def tag_of(model: str, version: int) -> str | None:
            return registry.version(model, version).tags.get(TAG_PROMPT)

        for places in (opening.stages.routed, opening.stages.counted):
            places.add(20, ReleasedPrompt(config, source, tag_of))
    yield


registration = Registration("prompts", 70, _open, PromptsConfig)
