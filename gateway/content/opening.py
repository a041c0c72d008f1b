"""From the configuration to a stage that is ready."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import assert_never

import httpx
from enginehouse.gateway.content.classifier import classifier_filter
from enginehouse.gateway.content.config import (
    ClassifierConfig,
    ContentConfig,
    EndpointConfig,
    EntryPointConfig,
    InjectionConfig,
    PatternsConfig,
    PiiConfig,
)
from enginehouse.gateway.content.endpoint import endpoint_filter
from enginehouse.gateway.content.entry_point import entry_point_filter
from enginehouse.gateway.content.filters import Filter
from enginehouse.gateway.content.injection import injection_filter
from enginehouse.gateway.content.metrics import ContentMetrics
from enginehouse.gateway.content.patterns import patterns_filter
from enginehouse.gateway.content.pii import pii_filter
from enginehouse.gateway.content.stage import ContentStage
from prometheus_client import CollectorRegistry

AnyConfig = (
    PatternsConfig
    | PiiConfig
    | ClassifierConfig
    | EndpointConfig
    | InjectionConfig
    | EntryPointConfig
)


@asynccontextmanager
async def open_content(
    config: ContentConfig, registry: CollectorRegistry
) -> AsyncIterator[ContentStage]:
    """The stage, while it may be used; without filters it only passes calls on.

    Raises:
        SettingsError: if a filter needs a package, an entry point or a variable that is missing.
    """
    async with httpx.AsyncClient() as client:
        # Weights and entry points are read from the disk.
        inputs = await asyncio.to_thread(_built, config.input, client)
        outputs = await asyncio.to_thread(_built, config.output, client)
        yield ContentStage(config, inputs, outputs, ContentMetrics(registry))


def _built(configs: Sequence[AnyConfig], client: httpx.AsyncClient) -> list[Filter]:
    return [_filter(config, client) for config in configs]


def _filter(config: AnyConfig, client: httpx.AsyncClient) -> Filter:
    match config:
        case PatternsConfig():
            return patterns_filter(config)
        case PiiConfig():
            return pii_filter(config)
        case ClassifierConfig():
            return classifier_filter(config)
        case EndpointConfig():
            return endpoint_filter(config, client)
        case InjectionConfig():
            return injection_filter(config)
        case EntryPointConfig():
            return entry_point_filter(config)
        case _:
            assert_never(config)
