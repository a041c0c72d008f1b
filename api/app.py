"""Putting the adapter together."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

from enginehouse.api import chat, completions, embeddings, health, internal, models
from enginehouse.api.assembly import Assembly
from enginehouse.api.body_limit import BodyLimit
from enginehouse.api.browsers.cors import allow_origins
from enginehouse.api.browsers.head import HeadAsGet
from enginehouse.api.configuration import load_endpoint_file
from enginehouse.api.errors import install_error_handlers
from enginehouse.api.revision import Served
from enginehouse.api.tracing.access_log import AccessLog
from enginehouse.api.tracing.request_ids import RequestIds
from enginehouse.client.members import ReplicaClient
from enginehouse.gateway.access import admin
from enginehouse.gateway.access.guard import Guard
from enginehouse.gateway.batches import routes as batches
from enginehouse.gateway.feedback import routes as feedback
from enginehouse.gateway.ledger import routes as usage
from enginehouse.gateway.messages import routes as messages
from enginehouse.gateway.messages.errors import MessagesErrors
from enginehouse.gateway.responses import routes as responses
from enginehouse.gateway.tokenize import routes as tokenize
from fastapi import FastAPI

from enginehouse import __version__
from enginehouse.settings import Settings

#: What a form has around the file in it.
_FORM_BYTES = 65_536
_ROUTES = (
    chat,
    completions,
    responses,
    messages,
    embeddings,
    models,
    tokenize,
    batches,
    feedback,
    admin,
    usage,
    internal,
    health,
)


def create_app(
    settings: Settings,
    *,
    connect: Callable[[str], ReplicaClient] | None = None,
    open_version: Callable[[str, int], Served] | None = None,
    access_log: bool = False,
) -> FastAPI:
    """The ASGI application; it connects to the fleet when it starts.

    Args:
        connect: makes the client of a replica's ``host:port``; None is Triton's.
        open_version: reads a version's bundle; None takes the registry's verified copies.
        access_log: write a line for each request.

    Raises:
        SettingsError: if a setting or the endpoint's file cannot be used.
    """
    configured = load_endpoint_file(settings)
    assembly = Assembly(settings, configured, connect, open_version)

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        async with assembly.open(app):
            yield

    # The interactive pages would fetch their scripts from outside; /openapi.json stays.
    app = FastAPI(
        title="Enginehouse",
        version=__version__,
        lifespan=lifespan,
        docs_url=None,
        redoc_url=None,
    )
    # The last one added is the outermost.
    larger = {"/v1/files": configured.batches.max_file_bytes + _FORM_BYTES}
    app.add_middleware(HeadAsGet)
    app.add_middleware(BodyLimit, max_bytes=settings.api.max_body_bytes, larger=larger)
    app.add_middleware(Guard)
    app.add_middleware(MessagesErrors)
    app.add_middleware(AccessLog, lines=access_log)
    app.add_middleware(RequestIds)
    install_error_handlers(app)
    for module in _ROUTES:
        app.include_router(module.router)
    allow_origins(app, settings.api.cors_origins)
    return app
