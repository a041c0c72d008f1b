"""Answers to questions that were asked before."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from enginehouse.api.registration import Opening, Registration
from enginehouse.gateway.cache.config import CacheConfig
from enginehouse.gateway.cache.stage import open_cache, routed_by


@asynccontextmanager
async def _open(opening: Opening) -> AsyncIterator[None]:
    config: CacheConfig = opening.configured
    if not config.enabled:
        yield
        return
    cache = open_cache(
        config,
        opening.registry,
        routed_by(opening.directory),
        redis_url=opening.settings.endpoint.redis_url,
    )
    async with cache as opened:
        opening.stages.routed.add(30, opened)
        yield


registration = Registration("cache", 100, _open, CacheConfig)
