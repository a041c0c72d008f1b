"""Putting the adapter together."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from functools import partial

from enginehouse.api import chat, completions, embeddings, feedback, health, internal, models
from enginehouse.api.aside_parts import open_aside
from enginehouse.api.body_limit import BodyLimit
from enginehouse.api.directory import ModelDirectory
from enginehouse.api.errors import install_error_handlers
from enginehouse.api.generation import Engine
from enginehouse.api.journal import Journal
from enginehouse.api.metrics import ApiMetrics
from enginehouse.api.pipeline import text_pipeline, whole_pipeline
from enginehouse.api.readiness import Readiness
from enginehouse.api.revision import Served, open_served
from enginehouse.api.route_files import RouteFiles
from enginehouse.api.routing import Router
from enginehouse.api.samples import SampleRing
from enginehouse.api.shadow import pairs_kept
from enginehouse.api.state import ApiState
from enginehouse.client import AsyncFleetClient, Deadlines, discovery_of
from enginehouse.client.members import ReplicaClient
from enginehouse.registry import BundleCache, Registry
from fastapi import FastAPI

from enginehouse import __version__
from enginehouse.admin_token import ensure_admin_token
from enginehouse.settings import Settings


def create_app(
    settings: Settings,
    *,
    connect: Callable[[str], ReplicaClient] | None = None,
    open_version: Callable[[str, int], Served] | None = None,
) -> FastAPI:
    """The ASGI application; it connects to the fleet when it starts.

    Args:
        connect: makes the client of a replica's ``host:port``; None is Triton's.
        open_version: reads a version's bundle; None takes the registry's verified copies.

    Raises:
        SettingsError: if ``ENGINEHOUSE_FLEET`` or ``ENGINEHOUSE_SHADOW_PAIRS`` cannot be used.
    """
    discovery = discovery_of(settings)
    pairs = pairs_kept(os.environ)

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        limits = Deadlines(
            total_s=settings.api.request_timeout_s,
            first_token_s=settings.api.first_token_timeout_s,
            between_tokens_s=settings.api.between_tokens_timeout_s,
        )
        # Whoever comes first makes the token; a home that refuses it fails here, not later.
        ensure_admin_token(settings)
        cache = BundleCache(settings.cache_dir, Registry(settings))
        opened = open_version or partial(open_served, cache)
        files = RouteFiles(settings.routes_dir)
        async with (
            AsyncFleetClient(discovery, deadlines=limits, connect=connect) as client,
            ModelDirectory(client, files, opened) as directory,
        ):
            metrics, samples = ApiMetrics(), SampleRing(settings.api.samples_kept)
            journal = Journal(settings.journal_dir)
            beside = open_aside(
                settings, directory, client, metrics.registry, samples, journal, pairs=pairs
            )
            async with beside as aside:
                router = Router(directory, pins=settings.api.pins)
                app.state.enginehouse = ApiState(
                    client=client,
                    directory=directory,
                    router=router,
                    readiness=Readiness(client, directory, settings.api.ready_cache_s),
                    metrics=metrics,
                    samples=samples,
                    journal=journal,
                    aside=aside,
                    engine=Engine(client, metrics, limits),
                    pipeline=whole_pipeline(),
                    text=text_pipeline(router, metrics, samples, aside),
                    admin_token=partial(ensure_admin_token, settings),
                )
                yield

    # The interactive pages would fetch their scripts from outside; /openapi.json stays.
    app = FastAPI(
        title="Enginehouse",
        version=__version__,
        lifespan=lifespan,
        docs_url=None,
        redoc_url=None,
    )
    app.add_middleware(BodyLimit, max_bytes=settings.api.max_body_bytes)
    install_error_handlers(app)
    for module in (chat, completions, embeddings, models, feedback, internal, health):
        app.include_router(module.router)
    return app
