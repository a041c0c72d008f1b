"""The Responses API."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from enginehouse.api.registration import Opening, Registration, Surface
from enginehouse.gateway.database import shared_database
from enginehouse.gateway.responses import routes
from enginehouse.gateway.responses.config import ResponsesConfig
from enginehouse.gateway.responses.store import open_responses


@asynccontextmanager
async def _open(opening: Opening) -> AsyncIterator[None]:
    database = await shared_database(opening)
    async with open_responses(database, opening.configured) as store:
        opening.app.state.responses = store
        yield


def _surface(surface: Surface) -> None:
    surface.routers.append(routes.router)


registration = Registration("responses", 110, _open, ResponsesConfig, _surface)
