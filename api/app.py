"""Putting the adapter together."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from enginehouse.api import chat, completions, embeddings, health, models
from enginehouse.api.body_limit import BodyLimit
from enginehouse.api.directory import ModelDirectory
from enginehouse.api.errors import install_error_handlers
from enginehouse.api.metrics import ApiMetrics
from enginehouse.api.readiness import Readiness
from enginehouse.api.state import ApiState
from enginehouse.client import AsyncTritonClient, Deadlines
from enginehouse.registry import BundleCache, Registry
from fastapi import FastAPI

from enginehouse import __version__
from enginehouse.settings import Settings


def create_app(settings: Settings) -> FastAPI:
    """The ASGI application; it connects to Triton when it starts."""

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        limits = Deadlines(
            total_s=settings.api.request_timeout_s,
            first_token_s=settings.api.first_token_timeout_s,
            between_tokens_s=settings.api.between_tokens_timeout_s,
        )
        cache = BundleCache(settings.cache_dir, Registry(settings))
        address = settings.addresses.triton_grpc_url
        async with (
            AsyncTritonClient(address, deadlines=limits) as client,
            ModelDirectory(client, cache) as directory,
        ):
            readiness = Readiness(client, directory, settings.api.ready_cache_s)
            app.state.enginehouse = ApiState(
                settings.api, client, directory, readiness, ApiMetrics()
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
    for module in (chat, completions, embeddings, models, health):
        app.include_router(module.router)
    return app
