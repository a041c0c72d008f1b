"""Who answers when the first choice cannot."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from enginehouse.api.registration import Opening, Registration
from enginehouse.gateway.fallback.config import FallbackConfig
from enginehouse.gateway.fallback.stage import open_fallback


@asynccontextmanager
async def _open(opening: Opening) -> AsyncIterator[None]:
    async with open_fallback(opening.configured, opening.registry) as fallback:
        opening.stages.text.add(10, fallback)
        yield


registration = Registration("fallback", 90, _open, FallbackConfig)
