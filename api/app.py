"""Putting the adapter together."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager

from enginehouse.api import chat, completions, embeddings, health, internal, models
from enginehouse.api.assembly import Assembly
from enginehouse.api.body_limit import BodyLimit
from enginehouse.api.browsers.cors import allow_origins
from enginehouse.api.browsers.head import HeadAsGet
from enginehouse.api.bundles import VersionOpener
from enginehouse.api.configuration import load_sections
from enginehouse.api.errors import install_error_handlers
from enginehouse.api.registration import Registration, Surface, registered
from enginehouse.api.tracing.access_log import AccessLog
from enginehouse.api.tracing.request_ids import RequestIds
from enginehouse.client.members import ReplicaClient
from fastapi import FastAPI
from pydantic import BaseModel

from enginehouse import __version__
from enginehouse.errors import SettingsError
from enginehouse.settings import Settings

_ROUTES = (chat, completions, embeddings, models, internal, health)
#: The stage that checks keys.
_KEYS_STAGE = "access"


def create_app(
    settings: Settings,
    *,
    connect: Callable[[str], ReplicaClient] | None = None,
    open_version: VersionOpener | None = None,
    access_log: bool = False,
    stages: Sequence[Registration] | None = None,
    started: Callable[[], None] = lambda: None,
) -> FastAPI:
    """The ASGI application; it connects to the fleet when it starts.

    Args:
        connect: makes the client of a replica's ``host:port``; None is Triton's.
        open_version: reads a version's bundle; None takes the registry's verified copies.
        access_log: write a line for each request.
        stages: in their order; None is all that are installed.
        started: called once everything is open, before the first request.

    Raises:
        SettingsError: if a setting or the endpoint's file cannot be used.
    """
    found = registered() if stages is None else stages
    if settings.endpoint.keys and all(stage.name != _KEYS_STAGE for stage in found):
        raise SettingsError(
            f"ENGINEHOUSE_KEYS asks for keys, and no stage {_KEYS_STAGE!r} is installed that "
            "checks them: install enginehouse with its gateway, or set it to false"
        )
    sections = load_sections(settings, found)
    assembly = Assembly(settings, found, sections, connect, open_version)

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        async with assembly.open(app):
            started()
            yield

    # The interactive pages would fetch their scripts from outside; /openapi.json stays.
    app = FastAPI(
        title="Enginehouse",
        version=__version__,
        lifespan=lifespan,
        docs_url=None,
        redoc_url=None,
    )
    _add_surface(app, settings, _surfaces(settings, found, sections), access_log=access_log)
    install_error_handlers(app)
    allow_origins(app, settings.api.cors_origins)
    return app


def _surfaces(
    settings: Settings, found: Sequence[Registration], sections: Mapping[str, BaseModel]
) -> list[Surface]:
    surfaces = []
    for stage in found:
        surface = Surface(settings, sections[stage.name])
        stage.surface(surface)
        surfaces.append(surface)
    return surfaces


def _add_surface(
    app: FastAPI, settings: Settings, surfaces: Sequence[Surface], *, access_log: bool
) -> None:
    """Routes and middleware, the adapter's own outside; the last one added is the outermost."""
    larger = {path: size for one in surfaces for path, size in one.larger_bodies.items()}
    app.add_middleware(HeadAsGet)
    app.add_middleware(BodyLimit, max_bytes=settings.api.max_body_bytes, larger=larger)
    for surface in surfaces:
        for inner in surface.inner_middleware:
            app.add_middleware(inner)
    for surface in surfaces:
        for middleware, arguments in surface.middleware:
            app.add_middleware(middleware, **arguments)
    app.add_middleware(AccessLog, lines=access_log)
    app.add_middleware(RequestIds)
    for module in _ROUTES:
        app.include_router(module.router)
    for surface in surfaces:
        for router in surface.routers:
            app.include_router(router)
