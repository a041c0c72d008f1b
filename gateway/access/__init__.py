"""Keys: who may call, and which models they may ask."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from enginehouse.api.registration import Opening, Registration, Surface
from enginehouse.gateway.access.config import AccessConfig
from enginehouse.gateway.database import shared_database


@asynccontextmanager
async def _open(opening: Opening) -> AsyncIterator[None]:
    from enginehouse.gateway.access.guard import open_access
    from enginehouse.gateway.access.model_access import ModelAccess
    from enginehouse.gateway.vouching import Vouching

    database = await shared_database(opening)
    async with open_access(opening.settings, opening.configured, database) as access:
        opening.app.state.access = access
        opening.services.offer(Vouching(access.keyring.still))
        opening.stages.asked.add(50, ModelAccess())
        yield


def _surface(surface: Surface) -> None:
    from enginehouse.gateway.access import admin
    from enginehouse.gateway.access.guard import Guard

    surface.routers.append(admin.router)
    surface.middleware.append((Guard, {}))


registration = Registration("access", 50, _open, AccessConfig, _surface)
