"""Other names for models, and defaults of the requests to them."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from enginehouse.api.defaults import ModelNames
from enginehouse.api.registration import Opening, Registration
from enginehouse.gateway.models.settings import ModelsConfig, ModelSettings, RoutedDefaults
from enginehouse.gateway.per_model import SystemPrompts


@asynccontextmanager
async def _open(opening: Opening) -> AsyncIterator[None]:
    settings = ModelSettings(opening.configured)
    opening.services.offer(SystemPrompts(lambda model: settings.of(model).system_prompt))
    opening.services.offer(settings, ModelNames)
    opening.stages.asked.add(40, settings)
    for places in (opening.stages.routed, opening.stages.counted):
        places.add(10, RoutedDefaults(settings))
    yield


registration = Registration("models", 40, _open, ModelsConfig)
