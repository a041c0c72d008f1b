"""Filters on what goes in and what comes out."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from enginehouse.api.registration import Opening, Registration
from enginehouse.gateway.content.config import ContentConfig
from enginehouse.gateway.content.log_filter import install_log_filter
from enginehouse.gateway.content.opening import open_content


@asynccontextmanager
async def _open(opening: Opening) -> AsyncIterator[None]:
    config: ContentConfig = opening.configured
    restore = install_log_filter(config.log)
    try:
        async with open_content(config, opening.registry) as content:
            # Without filters it would only cost time.
            if content.inputs or content.outputs:
                opening.stages.asked.add(80, content)
            yield
    finally:
        restore()


registration = Registration("content", 80, _open, ContentConfig)
